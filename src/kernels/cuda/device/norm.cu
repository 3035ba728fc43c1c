// Residual sums and layer norm, one warp per row of `d` columns.
#include "common.cuh"

// Columns of a lane that stay in registers, so that rows of up to HELD * WARP columns are read once.
#define HELD 8

// body(k, i) for each of this lane's columns i, the kth; all k are known when the loop is unrolled.
template <class Body>
__device__ __forceinline__ void held_columns(int d, Body body) {
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int i = threadIdx.x % WARP + k * WARP;
        if (i < d) body(k, i);
    }
}

// The same of a row of any number of columns; k is 0.
template <class Body>
__device__ __forceinline__ void columns(int d, Body body) {
    for (int i = threadIdx.x % WARP; i < d; i += WARP) body(0, i);
}

// x = residual[index[row]] + t + t_bias, then y = (x - mean) / std * gain + bias.
//
// Each of `residual`, `index`, `t`, `x`, `gain` (with `bias`), `y` and `stats` may be null and then
// plays no part. stats (rows, 2) receives mean and 1 / std for backward.
extern "C" __global__ void residual_norm(const float *residual, const unsigned *index, const float *t,
                                         const float *t_bias, float *x, const float *gain, const float *bias,
                                         Values y, float *stats, int rows, int d, float eps) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    long long at = (long long)row * d;
    const float *r = residual ? residual + (index ? (long long)index[row] * d : at) : 0;
    const float *from = t ? x + at : r;
    bool held = d <= HELD * WARP;
    float v[HELD];
    auto sum_up = [&](int k, int i) {
        float sum = (t ? t[at + i] + t_bias[i] : 0.f) + (r ? r[i] : 0.f);
        if (t) x[at + i] = sum;
        if (held) v[k] = sum;
    };
    if (held) held_columns(d, sum_up);
    else if (t) columns(d, sum_up);
    if (!y.any()) return;
    float sum = 0.f, squares = 0.f, mean, rstd;
    auto add = [&](float value) { sum += value; };
    auto square = [&](float value) { squares += (value - mean) * (value - mean); };
    auto write = [&](int i, float value) {
        float h = (value - mean) * rstd;
        y.put(at + i, gain ? h * gain[i] + bias[i] : h);
    };
    if (held) held_columns(d, [&](int k, int) { add(v[k]); });
    else columns(d, [&](int, int i) { add(from[i]); });
    mean = warp_sum(sum) / d;
    if (held) held_columns(d, [&](int k, int) { square(v[k]); });
    else columns(d, [&](int, int i) { square(from[i]); });
    rstd = 1.f / sqrtf(warp_sum(squares) / d + eps);
    if (held) held_columns(d, [&](int k, int i) { write(i, v[k]); });
    else columns(d, [&](int, int i) { write(i, from[i]); });
    if (stats && lane == 0) {
        stats[2 * (long long)row] = mean;
        stats[2 * (long long)row + 1] = rstd;
    }
}

// Gradient of the normalised rows: dx = (accumulate ? dx : 0) + pass + rstd (v - mean(v) - h mean(v h)),
// where h = (x - mean) rstd and v = dy gain. `pass`, the gradient that goes around the norm, may be null, and so may
// `half`, which receives dx rounded for products.
extern "C" __global__ void norm_backward(const float *x, const float *stats, const float *gain, const float *dy,
                                         const float *pass, float *dx, unsigned short *half, int rows, int d,
                                         int accumulate) {
    int row = warp_row();
    if (row >= rows) return;
    long long at = (long long)row * d;
    float mean = stats[2 * (long long)row], rstd = stats[2 * (long long)row + 1];
    bool held = d <= HELD * WARP;
    float own_v[HELD], own_h[HELD], a = 0.f, c = 0.f;
    auto add = [&](int k, int i) {
        float v = dy[at + i] * gain[i], h = (x[at + i] - mean) * rstd;
        a += v;
        c += v * h;
        if (held) own_v[k] = v, own_h[k] = h;
    };
    if (held) held_columns(d, add);
    else columns(d, add);
    a = warp_sum(a) / d;
    c = warp_sum(c) / d;
    auto write = [&](int i, float v, float h) {
        float sum = (accumulate ? dx[at + i] : 0.f) + (pass ? pass[at + i] : 0.f);
        sum += rstd * (v - a - h * c);
        dx[at + i] = sum;
        if (half) half[at + i] = Values::rounded(sum);
    };
    if (held) held_columns(d, [&](int k, int i) { write(i, own_v[k], own_h[k]); });
    else columns(d, [&](int, int i) { write(i, dy[at + i] * gain[i], (x[at + i] - mean) * rstd); });
}
