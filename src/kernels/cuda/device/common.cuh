// What the kernels share. They are deterministic: no atomics, every sum in an order that depends on
// sizes alone. Matrices are row-major; `long long` where rows times columns may pass 2^31.
#pragma once

// Threads of a warp, and a mask that names them all.
#define WARP 32
#define FULL 0xffffffffu

// The sum over the warp, in every lane.
__device__ __forceinline__ float warp_sum(float v) {
    for (int o = WARP / 2; o > 0; o >>= 1) v += __shfl_xor_sync(FULL, v, o);
    return v;
}

// Threads of a block that adds up.
#define BLOCK 256

// The sum over a block of BLOCK threads, in thread 0.
__device__ inline double block_sum(double sum) {
    __shared__ double sums[BLOCK];
    // An earlier sum may not have been read yet.
    __syncthreads();
    sums[threadIdx.x] = sum;
    for (int half = BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    return sums[0];
}

// One warp per row: the row of this thread.
__device__ __forceinline__ int warp_row() { return (int)(((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP); }

// One thread per element: the element of this thread.
__device__ __forceinline__ long long element() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
