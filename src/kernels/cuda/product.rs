//! Matrix products by cuBLAS on row-major matrices.
//!
//! cuBLAS reads column-major: to it a row-major matrix is its transpose, hence the order of operands.

use std::ffi::c_void;

use cudarc::cublas::sys::{self, cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cudaDataType};

use super::super::MatmulPrecision;

use super::gpu::{Done, Gpu};
use super::values::{At, Values};

const PLAIN: cublasOperation_t = cublasOperation_t::CUBLAS_OP_N;
const TRANSPOSED: cublasOperation_t = cublasOperation_t::CUBLAS_OP_T;

/// Sizes of a linear map: rows of activations, columns before and after.
#[derive(Clone, Copy, Debug)]
pub struct Map {
    /// Rows of activations.
    pub rows: usize,
    /// Columns before the map.
    pub inputs: usize,
    /// Columns after it.
    pub outputs: usize,
    /// Of the inputs of the products.
    pub precision: MatmulPrecision,
}

/// A product (n, k) (k, m) to (n, m) of row-major matrices, each transposed if so noted.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// n, k and m.
    pub sizes: [usize; 3],
    /// Whether the left and the right one are transposes of what lies in memory.
    pub transposed: [bool; 2],
    /// Of both factors.
    pub precision: MatmulPrecision,
}

impl Product {
    /// Another product of the same precision.
    pub fn of(self, sizes: [usize; 3], transposed: [bool; 2]) -> Product {
        Product { sizes, transposed, ..self }
    }

    /// Operation and leading dimension of cuBLAS's left factor, which is the right one here, and of its right one.
    fn column_major(self) -> [(cublasOperation_t, usize); 2] {
        let ([n, k, m], [turn_a, turn_b]) = (self.sizes, self.transposed);
        let factor = |turned, plain: usize, other: usize| {
            if turned { (TRANSPOSED, other) } else { (PLAIN, plain) }
        };
        [factor(turn_b, m, k), factor(turn_a, k, n)]
    }
}

/// For f32 operands, which cuBLAS rounds on their way to tensor cores.
fn compute_type(precision: MatmulPrecision) -> cublasComputeType_t {
    match precision {
        MatmulPrecision::F32 => cublasComputeType_t::CUBLAS_COMPUTE_32F,
        MatmulPrecision::Tf32 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_16BF,
    }
}

impl Gpu {
    /// `c = alpha op(a) op(b) + beta c` for `count` products of f32, the matrices of each operand one after the other.
    pub fn products(
        &self,
        count: usize,
        p: Product,
        (alpha, a, b): (f32, At, At),
        (beta, c): (f32, At),
    ) -> Done<()> {
        let ([n, k, m], [(op_b, ldb), (op_a, lda)]) = (p.sizes, p.column_major());
        let (int, stride) = (|n: usize| n as i32, |n: usize| n as i64);
        let pointer = |address: At| address as *const c_void;
        let number = |value: &f32| (value as *const f32).cast();
        let float = cudaDataType::CUDA_R_32F;
        self.driver.bind_to_thread()?;
        // SAFETY: a live handle on the current context; the addresses hold matrices of these sizes, one after the other.
        let status = unsafe {
            sys::cublasGemmStridedBatchedEx(
                *self.blas.handle(),
                op_b,
                op_a,
                int(m),
                int(n),
                int(k),
                number(&alpha),
                pointer(b),
                float,
                int(ldb),
                stride(k * m),
                pointer(a),
                float,
                int(lda),
                stride(n * k),
                number(&beta),
                pointer(c).cast_mut(),
                float,
                int(m),
                stride(n * m),
                int(count),
                compute_type(p.precision),
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        Ok(status.result()?)
    }

    /// `c = op(a) op(b)`, or `c += op(a) op(b)`.
    pub fn product(&self, p: Product, a: At, b: At, c: At, accumulate: bool) -> Done<()> {
        let [a, b, c] = [a, b, c].map(Values::from);
        let ([n, k, m], [left, right]) = (p.sizes, p.column_major());
        let beta = if accumulate { 1.0 } else { 0.0 };
        self.gemm(p.precision, [left.0, right.0], [m, n, k], (b, left.1), (a, right.1), (beta, c, m))
    }

    /// `y = x w'`: x (rows, inputs), w (outputs, inputs), y (rows, outputs).
    pub fn map(&self, m: Map, x: impl Into<Values>, w: impl Into<Values>, y: impl Into<Values>) -> Done<()> {
        let (x, w, y) = (x.into(), w.into(), y.into());
        let sizes = [m.outputs, m.rows, m.inputs];
        self.gemm(m.precision, [TRANSPOSED, PLAIN], sizes, (w, m.inputs), (x, m.inputs), (0.0, y, m.outputs))
    }

    /// `dx = dy w`, or `dx += dy w`.
    pub fn map_back(
        &self,
        m: Map,
        dy: impl Into<Values>,
        w: impl Into<Values>,
        dx: impl Into<Values>,
        accumulate: bool,
    ) -> Done<()> {
        let (dy, w, dx) = (dy.into(), w.into(), dx.into());
        let sizes = [m.inputs, m.rows, m.outputs];
        let beta = if accumulate { 1.0 } else { 0.0 };
        self.gemm(m.precision, [PLAIN, PLAIN], sizes, (w, m.inputs), (dy, m.outputs), (beta, dx, m.inputs))
    }

    /// `dw += dy' x`.
    pub fn map_weight(&self, m: Map, dy: impl Into<Values>, x: impl Into<Values>, dw: At) -> Done<()> {
        let (dy, x) = (dy.into(), x.into());
        let sizes = [m.inputs, m.outputs, m.rows];
        self.gemm(
            m.precision,
            [PLAIN, TRANSPOSED],
            sizes,
            (x, m.inputs),
            (dy, m.outputs),
            (1.0, dw.into(), m.inputs),
        )
    }

    /// `c = op(a) op(b) + beta c` for column-major matrices with their leading dimensions; `c` is
    /// m x n, the inner dimension k; `a` and `b` are both f32, and so is `c`, or both bfloat16.
    fn gemm(
        &self,
        precision: MatmulPrecision,
        [op_a, op_b]: [cublasOperation_t; 2],
        [m, n, k]: [usize; 3],
        (a, lda): (Values, usize),
        (b, ldb): (Values, usize),
        (beta, c, ldc): (f32, Values, usize),
    ) -> Done<()> {
        if m * n * k == 0 {
            return Ok(());
        }
        let (one, int) = (1.0f32, |n: usize| n as i32);
        let at = |address: At| address as *const c_void;
        let number = |value: &f32| (value as *const f32).cast();
        let float = cudaDataType::CUDA_R_32F;
        debug_assert_eq!(a.is_half(), b.is_half(), "operands of one type");
        let kind = |values: Values| if values.is_half() { cudaDataType::CUDA_R_16BF } else { float };
        let compute =
            if a.is_half() { cublasComputeType_t::CUBLAS_COMPUTE_32F } else { compute_type(precision) };
        self.driver.bind_to_thread()?;
        // SAFETY: a live handle on the current context; the addresses hold matrices of these sizes.
        let status = unsafe {
            sys::cublasGemmEx(
                *self.blas.handle(),
                op_a,
                op_b,
                int(m),
                int(n),
                int(k),
                number(&one),
                at(a.at()),
                kind(a),
                int(lda),
                at(b.at()),
                kind(b),
                int(ldb),
                number(&beta),
                at(c.at()).cast_mut(),
                kind(c),
                int(ldc),
                compute,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        Ok(status.result()?)
    }
}
