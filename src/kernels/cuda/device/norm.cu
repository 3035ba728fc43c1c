// Residual sums and layer norm, one warp per row of `d` columns.
#include "common.cuh"

// x = residual[index[row]] + t + t_bias, then y = (x - mean) / std * gain + bias.
//
// Each of `residual`, `index`, `t`, `x`, `gain` (with `bias`), `y` and `stats` may be null and then
// plays no part. stats (rows, 2) receives mean and 1 / std for backward.
extern "C" __global__ void residual_norm(const float *residual, const unsigned *index, const float *t,
                                         const float *t_bias, float *x, const float *gain, const float *bias,
                                         float *y, float *stats, int rows, int d, float eps) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    long long at = (long long)row * d;
    const float *r = residual ? residual + (index ? (long long)index[row] * d : at) : 0;
    const float *from = r;
    if (t) {
        for (int i = lane; i < d; i += WARP) x[at + i] = t[at + i] + t_bias[i] + (r ? r[i] : 0.f);
        from = x + at;
    }
    if (!y) return;
    float sum = 0.f, squares = 0.f;
    for (int i = lane; i < d; i += WARP) sum += from[i];
    float mean = warp_sum(sum) / d;
    for (int i = lane; i < d; i += WARP) squares += (from[i] - mean) * (from[i] - mean);
    float rstd = 1.f / sqrtf(warp_sum(squares) / d + eps);
    for (int i = lane; i < d; i += WARP) {
        float h = (from[i] - mean) * rstd;
        y[at + i] = gain ? h * gain[i] + bias[i] : h;
    }
    if (stats && lane == 0) {
        stats[2 * (long long)row] = mean;
        stats[2 * (long long)row + 1] = rstd;
    }
}

// Gradient of the normalised rows: dx = (accumulate ? dx : 0) + pass + rstd (v - mean(v) - h mean(v h)),
// where h = (x - mean) rstd and v = dy gain. `pass`, the gradient that goes around the norm, may be null.
extern "C" __global__ void norm_backward(const float *x, const float *stats, const float *gain, const float *dy,
                                         const float *pass, float *dx, int rows, int d, int accumulate) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    long long at = (long long)row * d;
    float mean = stats[2 * (long long)row], rstd = stats[2 * (long long)row + 1];
    float a = 0.f, c = 0.f;
    for (int i = lane; i < d; i += WARP) {
        float v = dy[at + i] * gain[i];
        a += v;
        c += v * (x[at + i] - mean) * rstd;
    }
    a = warp_sum(a) / d;
    c = warp_sum(c) / d;
    for (int i = lane; i < d; i += WARP) {
        float h = (x[at + i] - mean) * rstd;
        float sum = (accumulate ? dx[at + i] : 0.f) + (pass ? pass[at + i] : 0.f);
        dx[at + i] = sum + rstd * (dy[at + i] * gain[i] - a - h * c);
    }
}
