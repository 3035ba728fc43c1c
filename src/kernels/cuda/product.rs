//! Matrix products by cuBLAS on row-major matrices.
//!
//! cuBLAS reads column-major: to it a row-major matrix is its transpose, hence the order of operands.

use std::ffi::c_void;

use cudarc::cublas::sys::{self, cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cudaDataType};

use super::super::MatmulPrecision;

use super::address::At;
use super::gpu::{Done, Gpu};

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
}

impl Gpu {
    /// `c = op(a) op(b)`, or `c += op(a) op(b)`.
    pub fn product(&self, p: Product, a: At, b: At, c: At, accumulate: bool) -> Done<()> {
        let ([n, k, m], [turn_a, turn_b]) = (p.sizes, p.transposed);
        let beta = if accumulate { 1.0 } else { 0.0 };
        let left = if turn_b { (TRANSPOSED, k) } else { (PLAIN, m) };
        let right = if turn_a { (TRANSPOSED, n) } else { (PLAIN, k) };
        self.gemm(p.precision, [left.0, right.0], [m, n, k], (b, left.1), (a, right.1), (beta, c, m))
    }

    /// `y = x w'`: x (rows, inputs), w (outputs, inputs), y (rows, outputs).
    pub fn map(&self, m: Map, x: At, w: At, y: At) -> Done<()> {
        let sizes = [m.outputs, m.rows, m.inputs];
        self.gemm(m.precision, [TRANSPOSED, PLAIN], sizes, (w, m.inputs), (x, m.inputs), (0.0, y, m.outputs))
    }

    /// `dx = dy w`, or `dx += dy w`.
    pub fn map_back(&self, m: Map, dy: At, w: At, dx: At, accumulate: bool) -> Done<()> {
        let sizes = [m.inputs, m.rows, m.outputs];
        let beta = if accumulate { 1.0 } else { 0.0 };
        self.gemm(m.precision, [PLAIN, PLAIN], sizes, (w, m.inputs), (dy, m.outputs), (beta, dx, m.inputs))
    }

    /// `dw += dy' x`.
    pub fn map_weight(&self, m: Map, dy: At, x: At, dw: At) -> Done<()> {
        let sizes = [m.inputs, m.outputs, m.rows];
        self.gemm(
            m.precision,
            [PLAIN, TRANSPOSED],
            sizes,
            (x, m.inputs),
            (dy, m.outputs),
            (1.0, dw, m.inputs),
        )
    }

    /// `c = op(a) op(b) + beta c` for column-major matrices with their leading dimensions; `c` is
    /// m x n, the inner dimension k.
    fn gemm(
        &self,
        precision: MatmulPrecision,
        [op_a, op_b]: [cublasOperation_t; 2],
        [m, n, k]: [usize; 3],
        (a, lda): (At, usize),
        (b, ldb): (At, usize),
        (beta, c, ldc): (f32, At, usize),
    ) -> Done<()> {
        if m * n * k == 0 {
            return Ok(());
        }
        let (one, int) = (1.0f32, |n: usize| n as i32);
        let at = |address: At| address as *const c_void;
        let number = |value: &f32| (value as *const f32).cast();
        let float = cudaDataType::CUDA_R_32F;
        // Inputs and outputs are f32 in memory; cuBLAS rounds inputs on their way to tensor cores.
        let compute = match precision {
            MatmulPrecision::F32 => cublasComputeType_t::CUBLAS_COMPUTE_32F,
            MatmulPrecision::Tf32 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            MatmulPrecision::Bf16 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_16BF,
        };
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
                at(a),
                float,
                int(lda),
                at(b),
                float,
                int(ldb),
                number(&beta),
                at(c).cast_mut(),
                float,
                int(ldc),
                compute,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        Ok(status.result()?)
    }
}
