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

// Rows of numbers that are f32, or, where products round to it, bfloat16: one of both is null.
struct Values {
    float *full;
    unsigned short *half;

    __device__ Values() : full(0), half(0) {}
    __device__ Values(float *full, unsigned short *half) : full(full), half(half) {}
    __device__ bool any() const { return full || half; }
    // Those from here on.
    __device__ Values from(long long at) const { return Values(full ? full + at : 0, half ? half + at : 0); }

    __device__ float get(long long at) const { return full ? full[at] : number(half[at]); }
    __device__ void put(long long at, float v) const {
        if (full) full[at] = v;
        else half[at] = rounded(v);
    }

    // Two from a multiple of two on.
    __device__ float2 get_two(long long at) const {
        if (full) return *(const float2 *)(full + at);
        return numbers(*(const unsigned *)(half + at));
    }
    __device__ void put_two(long long at, float2 v) const {
        if (full) *(float2 *)(full + at) = v;
        else *(unsigned *)(half + at) = both(v.x, v.y);
    }

    // Four from a multiple of four on.
    __device__ float4 get_four(long long at) const {
        if (full) return *(const float4 *)(full + at);
        uint2 pairs = *(const uint2 *)(half + at);
        float2 low = numbers(pairs.x), high = numbers(pairs.y);
        float4 four = {low.x, low.y, high.x, high.y};
        return four;
    }
    __device__ void put_four(long long at, float4 v) const {
        uint2 pairs = {both(v.x, v.y), both(v.z, v.w)};
        if (full) *(float4 *)(full + at) = v;
        else *(uint2 *)(half + at) = pairs;
    }

    // The nearest bfloat16 number, the even one of two; not a number stays so.
    static __device__ unsigned short rounded(float v) {
        unsigned bits = __float_as_uint(v);
        if (v != v) return 0x7fff;
        return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
    }
    static __device__ unsigned both(float low, float high) { return rounded(low) | (unsigned)rounded(high) << 16; }
    static __device__ float number(unsigned half) { return __uint_as_float(half << 16); }
    static __device__ float2 numbers(unsigned pair) {
        float2 two = {number(pair & 0xffff), number(pair >> 16)};
        return two;
    }
};
