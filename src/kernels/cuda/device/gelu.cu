// Bias and the exact GELU: x Phi(x), Phi by the error function.
#include "common.cuh"

__device__ __forceinline__ float cdf(float x) { return 0.5f * erfcf(-0.70710678f * x); }

// a = gelu(h + bias), both (rows, n).
extern "C" __global__ void gelu_forward(const float *h, const float *bias, float *a, long long count, int n) {
    long long at = element();
    if (at >= count) return;
    float x = h[at] + bias[at % n];
    a[at] = x * cdf(x);
}

// da becomes dh = da (Phi(x) + x phi(x)); part (chunks, n) receives the column sums of dh.
extern "C" __global__ void gelu_backward(const float *h, const float *bias, float *da, float *part, int rows, int n,
                                         int chunk) {
    int i = (int)element();
    if (i >= n) return;
    int first = blockIdx.y * chunk, last = first + chunk < rows ? first + chunk : rows;
    float sum = 0.f;
    for (int row = first; row < last; row++) {
        long long at = (long long)row * n + i;
        float x = h[at] + bias[i];
        float dh = da[at] * (cdf(x) + x * 0.39894228f * expf(-0.5f * x * x));
        da[at] = dh;
        sum += dh;
    }
    part[(long long)blockIdx.y * n + i] = sum;
}
