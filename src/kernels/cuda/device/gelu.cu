// Bias and the exact GELU: x Phi(x), Phi by the error function.
#include "common.cuh"

__device__ __forceinline__ float cdf(float x) { return 0.5f * erfcf(-0.70710678f * x); }

// a = gelu(h + bias), both (rows, n); one warp per row. Four columns at a time where rows begin at multiples of four.
extern "C" __global__ void gelu_forward(const float *h, const float *bias, float *a, int rows, int n) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    h += (long long)row * n;
    a += (long long)row * n;
    if (n % 4 == 0) {
        for (int i = lane; i < n / 4; i += WARP) {
            float4 x = ((const float4 *)h)[i], b = ((const float4 *)bias)[i];
            x.x += b.x, x.y += b.y, x.z += b.z, x.w += b.w;
            x.x *= cdf(x.x), x.y *= cdf(x.y), x.z *= cdf(x.z), x.w *= cdf(x.w);
            ((float4 *)a)[i] = x;
        }
        return;
    }
    for (int i = lane; i < n; i += WARP) {
        float x = h[i] + bias[i];
        a[i] = x * cdf(x);
    }
}

// da becomes dh = da (Phi(x) + x phi(x)); part (chunks, n) receives the column sums of dh. What is read and written
// does not overlap, so that rows ahead can be read before those behind are written.
extern "C" __global__ void gelu_backward(const float *__restrict__ h, const float *__restrict__ bias,
                                         float *__restrict__ da, float *__restrict__ part, int rows, int n, int chunk) {
    int i = (int)element();
    if (i >= n) return;
    int first = blockIdx.y * chunk, last = first + chunk < rows ? first + chunk : rows;
    float sum = 0.f, b = bias[i];
#pragma unroll 4
    for (int row = first; row < last; row++) {
        long long at = (long long)row * n + i;
        float x = h[at] + b;
        float dh = da[at] * (cdf(x) + x * 0.39894228f * expf(-0.5f * x * x));
        da[at] = dh;
        sum += dh;
    }
    part[(long long)blockIdx.y * n + i] = sum;
}
