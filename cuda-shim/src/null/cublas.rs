//! Matrix products, carried out only where kernels are too.

use std::ffi::{c_int, c_void};

use super::{EXECUTE, bind_to, count};
use crate::symbols::CUBLAS;

/// `CUBLAS_STATUS_INVALID_VALUE`.
const INVALID_VALUE: c_int = 7;

pub fn bind() {
    bind_to(
        CUBLAS,
        &[
            ("cublasCreate_v2", create as *const c_void),
            ("cublasDestroy_v2", succeed as *const c_void),
            ("cublasSetMathMode", succeed as *const c_void),
            ("cublasSetStream_v2", succeed as *const c_void),
            ("cublasGemmEx", gemm as *const c_void),
            ("cublasGemmStridedBatchedEx", gemms as *const c_void),
        ],
    );
}

extern "C" fn succeed() -> c_int {
    0
}

unsafe extern "C" fn create(handle: *mut *mut c_void) -> c_int {
    // SAFETY: cuBLAS's contract: `handle` can be written.
    unsafe { handle.write(std::ptr::without_provenance_mut(1)) };
    0
}

/// `CUDA_R_32F` and `CUDA_R_16BF`, and the compute types `CUBLAS_COMPUTE_32F`, `..._FAST_16BF` and `..._FAST_TF32`.
const FLOAT: c_int = 0;
const BF16: c_int = 14;
const COMPUTE_F32: c_int = 68;
const COMPUTE_BF16: c_int = 75;
const COMPUTE_TF32: c_int = 77;

/// A column-major operand, transposed or not.
struct Operand {
    /// Values of f32, or their high halves.
    values: *const c_void,
    kind: c_int,
    transposed: bool,
    leading: usize,
    /// Bits of the fraction that are rounded away.
    dropped: u32,
}

impl Operand {
    /// # Safety
    /// The entry lies inside the matrix.
    unsafe fn at(&self, row: usize, col: usize) -> f32 {
        let (row, col) = if self.transposed { (col, row) } else { (row, col) };
        let at = row + col * self.leading;
        // SAFETY: the caller says so.
        unsafe {
            if self.kind == BF16 {
                return f32::from_bits(u32::from(*self.values.cast::<u16>().add(at)) << 16);
            }
            rounded(*self.values.cast::<f32>().add(at), self.dropped)
        }
    }
}

/// The nearest number whose last `dropped` bits are zero.
fn rounded(value: f32, dropped: u32) -> f32 {
    if dropped == 0 {
        return value;
    }
    let half = 1 << (dropped - 1);
    f32::from_bits(value.to_bits().wrapping_add(half) >> dropped << dropped)
}

/// The nearest bfloat16 number, the even one of two.
fn bfloat16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() { 0x7fff } else { ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16 }
}

/// [`gemm`] for several matrices of f32, each `stride` values after the one before.
#[allow(clippy::too_many_arguments)]
unsafe extern "C" fn gemms(
    handle: *mut c_void,
    a_transposed: c_int,
    b_transposed: c_int,
    m: c_int,
    n: c_int,
    k: c_int,
    alpha: *const f32,
    a: *const c_void,
    a_type: c_int,
    lda: c_int,
    a_stride: i64,
    b: *const c_void,
    b_type: c_int,
    ldb: c_int,
    b_stride: i64,
    beta: *const f32,
    c: *mut c_void,
    c_type: c_int,
    ldc: c_int,
    c_stride: i64,
    products: c_int,
    compute: c_int,
    algorithm: c_int,
) -> c_int {
    if [a_type, b_type, c_type] != [FLOAT; 3] || products <= 0 {
        return INVALID_VALUE;
    }
    for i in 0..products as usize {
        // SAFETY: cuBLAS's contract: every matrix lies so far behind the first.
        let status = unsafe {
            let at = |first: *const c_void, stride: i64| {
                first.cast::<f32>().wrapping_add(i * stride as usize).cast::<c_void>()
            };
            let (a, b) = (at(a, a_stride), at(b, b_stride));
            let c = at(c, c_stride).cast_mut();
            gemm(
                handle,
                a_transposed,
                b_transposed,
                m,
                n,
                k,
                alpha,
                a,
                a_type,
                lda,
                b,
                b_type,
                ldb,
                beta,
                c,
                c_type,
                ldc,
                compute,
                algorithm,
            )
        };
        if status != 0 {
            return status;
        }
    }
    // One launch, whatever its number of products.
    count(|c| c.products -= products as usize - 1);
    0
}

/// `c = alpha op(a) op(b) + beta c`, column-major; `a` and `b` both f32 in memory, and so is `c`, or both bfloat16.
#[allow(clippy::too_many_arguments)]
unsafe extern "C" fn gemm(
    _handle: *mut c_void,
    a_transposed: c_int,
    b_transposed: c_int,
    m: c_int,
    n: c_int,
    k: c_int,
    alpha: *const f32,
    a: *const c_void,
    a_type: c_int,
    lda: c_int,
    b: *const c_void,
    b_type: c_int,
    ldb: c_int,
    beta: *const f32,
    c: *mut c_void,
    c_type: c_int,
    ldc: c_int,
    compute: c_int,
    _algorithm: c_int,
) -> c_int {
    count(|c| c.products += 1);
    let dropped = match compute {
        COMPUTE_F32 => 0,
        COMPUTE_TF32 => 13,
        COMPUTE_BF16 => 16,
        _ => return INVALID_VALUE,
    };
    // Of bfloat16 numbers every product is exact.
    let known = a_type == FLOAT || a_type == BF16 && compute == COMPUTE_F32;
    if !known || b_type != a_type || ![FLOAT, a_type].contains(&c_type) {
        return INVALID_VALUE;
    }
    let (a_rows, b_rows) = (if a_transposed == 0 { m } else { k }, if b_transposed == 0 { k } else { n });
    if m <= 0 || n <= 0 || k <= 0 || lda < a_rows || ldb < b_rows || ldc < m {
        return INVALID_VALUE;
    }
    if EXECUTE.get().is_none() {
        return 0;
    }
    let a =
        Operand { values: a, kind: a_type, transposed: a_transposed != 0, leading: lda as usize, dropped };
    let b =
        Operand { values: b, kind: b_type, transposed: b_transposed != 0, leading: ldb as usize, dropped };
    for col in 0..n as usize {
        for row in 0..m as usize {
            // SAFETY: cuBLAS's contract, whose sizes were checked above.
            unsafe {
                let term = |i: usize| f64::from(a.at(row, i)) * f64::from(b.at(i, col));
                let sum = (0..k as usize).map(term).sum::<f64>() as f32;
                let at = row + col * ldc as usize;
                if c_type == BF16 {
                    // Nothing that is added to is kept in bfloat16.
                    assert!(*beta == 0.0);
                    c.cast::<u16>().add(at).write(bfloat16(*alpha * sum));
                    continue;
                }
                let to = c.cast::<f32>().add(at);
                let before = if *beta == 0.0 { 0.0 } else { *beta * *to };
                *to = *alpha * sum + before;
            }
        }
    }
    0
}
