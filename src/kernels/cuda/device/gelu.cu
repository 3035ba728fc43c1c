// Bias and the exact GELU: x Phi(x), Phi by the error function.
#include "common.cuh"

// exp(-x^2 / 2).
__device__ __forceinline__ float bell(float x) { return exp2f(-0.72134752f * x * x); }

// Phi(x) from bell(x): Phi(-|x|) = bell(x) P(t), t = 1 / (1 + |x| 0.4 / sqrt 2), as Hastings writes the error function
// (Approximations for digital computers, 1955). P is the polynomial of degree six without a constant term whose
// largest error, times bell(x)^0.6, is least: 2e-8, below what f32 loses. It takes a third of the instructions of
// erfcf, for which this kernel waited.
__device__ __forceinline__ float cdf(float x, float bell) {
    float t = __fdividef(1.f, 1.f + 0.28284271f * fabsf(x));
    float p = -0.101490594f;
    p = p * t + 0.360265013f;
    p = p * t - 0.194916673f;
    p = p * t + 0.241953759f;
    p = p * t + 0.077704824f;
    p = p * t + 0.11648365f;
    float tail = p * t * bell;
    return x > 0.f ? 1.f - tail : tail;
}

__device__ __forceinline__ float gelu(float x) { return x * cdf(x, bell(x)); }

// Phi(x) + x phi(x).
__device__ __forceinline__ float gelu_slope(float x) {
    float b = bell(x);
    return cdf(x, b) + x * 0.39894228f * b;
}

// a = gelu(h + bias), both (rows, n); one warp per row. Four columns at a time where rows begin at multiples of four.
extern "C" __global__ void gelu_forward(Values h, const float *bias, Values a, int rows, int n) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    h = h.from((long long)row * n);
    a = a.from((long long)row * n);
    if (n % 4 == 0) {
        for (int i = lane; i < n / 4; i += WARP) {
            float4 x = h.get_four(4 * i), b = ((const float4 *)bias)[i];
            x.x += b.x, x.y += b.y, x.z += b.z, x.w += b.w;
            x.x = gelu(x.x), x.y = gelu(x.y), x.z = gelu(x.z), x.w = gelu(x.w);
            a.put_four(4 * i, x);
        }
        return;
    }
    for (int i = lane; i < n; i += WARP) {
        a.put(i, gelu(h.get(i) + bias[i]));
    }
}

// Rows that are read before those behind are written.
#define ROWS_AHEAD 8

// da becomes dh = da (Phi(x) + x phi(x)), x = h + bias; part (chunks, n) receives the column sums of dh. One thread
// per column, or per two where rows begin at multiples of two.
extern "C" __global__ void gelu_backward(Values h, const float *bias, Values da, float *part, int rows, int n,
                                         int chunk) {
    int first = blockIdx.y * chunk, last = first + chunk < rows ? first + chunk : rows;
    part += (long long)blockIdx.y * n;
    if (n % 2 == 0) {
        int i = 2 * (int)element();
        if (i >= n) return;
        float2 sum = {0.f, 0.f}, b = {bias[i], bias[i + 1]};
        for (int row = first; row < last; row += ROWS_AHEAD) {
            float2 x[ROWS_AHEAD], dh[ROWS_AHEAD];
#pragma unroll
            for (int k = 0; k < ROWS_AHEAD; k++) {
                if (row + k >= last) continue;
                x[k] = h.get_two((long long)(row + k) * n + i);
                dh[k] = da.get_two((long long)(row + k) * n + i);
            }
#pragma unroll
            for (int k = 0; k < ROWS_AHEAD; k++) {
                if (row + k >= last) continue;
                dh[k].x *= gelu_slope(x[k].x + b.x), dh[k].y *= gelu_slope(x[k].y + b.y);
                da.put_two((long long)(row + k) * n + i, dh[k]);
                sum.x += dh[k].x, sum.y += dh[k].y;
            }
        }
        part[i] = sum.x, part[i + 1] = sum.y;
        return;
    }
    int i = (int)element();
    if (i >= n) return;
    float sum = 0.f;
    for (int row = first; row < last; row++) {
        long long at = (long long)row * n + i;
        float dh = da.get(at) * gelu_slope(h.get(at) + bias[i]);
        da.put(at, dh);
        sum += dh;
    }
    part[i] = sum;
}
