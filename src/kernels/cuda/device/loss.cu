// Losses between predicted and target rows, one warp per row of d columns.
#include "common.cuh"

#define L2 0
#define SMOOTH_L1 1
#define COSINE 2

// Below this norm a row counts as having this norm, as in PyTorch's `cosine_similarity`.
#define COSINE_EPS 1e-8f

struct Cosine {
    float dot, p_norm, t_norm;
};

__device__ Cosine cosine_of(const float *p, const float *t, int d, int lane) {
    float dot = 0.f, pp = 0.f, tt = 0.f;
    for (int i = lane; i < d; i += WARP) {
        dot += p[i] * t[i];
        pp += p[i] * p[i];
        tt += t[i] * t[i];
    }
    Cosine c;
    c.dot = warp_sum(dot);
    c.p_norm = fmaxf(sqrtf(warp_sum(pp)), COSINE_EPS);
    c.t_norm = fmaxf(sqrtf(warp_sum(tt)), COSINE_EPS);
    return c;
}

// out (rows): the part of each row before the mean.
extern "C" __global__ void loss_rows(const float *p, const float *t, float *out, int rows, int d, int kind,
                                     float beta) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    p += (long long)row * d;
    t += (long long)row * d;
    float value = 0.f;
    if (kind == COSINE) {
        Cosine c = cosine_of(p, t, d, lane);
        value = 1.f - c.dot / (c.p_norm * c.t_norm);
    } else {
        for (int i = lane; i < d; i += WARP) {
            float e = fabsf(p[i] - t[i]);
            if (kind == L2) value += e * e;
            else value += e < beta ? 0.5f * e * e / beta : e - 0.5f * beta;
        }
        value = warp_sum(value);
    }
    if (lane == 0) out[row] = value;
}

// dp += dloss * weight * d(row's part)/dp.
extern "C" __global__ void loss_backward(const float *p, const float *t, const float *dloss, float *dp, int rows,
                                         int d, int kind, float beta, float weight) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    p += (long long)row * d;
    t += (long long)row * d;
    dp += (long long)row * d;
    float w = dloss[0] * weight;
    if (kind == COSINE) {
        Cosine c = cosine_of(p, t, d, lane);
        float along = c.dot / (c.p_norm * c.t_norm) / c.p_norm;
        for (int i = lane; i < d; i += WARP) dp[i] += w * (along * p[i] - t[i] / c.t_norm) / c.p_norm;
        return;
    }
    for (int i = lane; i < d; i += WARP) {
        float e = p[i] - t[i];
        if (kind == L2) dp[i] += 2.f * w * e;
        else dp[i] += w * fminf(fmaxf(e / beta, -1.f), 1.f);
    }
}

// y = (accumulate ? y : 0) + factor x, of one number.
extern "C" __global__ void scale(const float *x, float *y, float factor, int accumulate) {
    y[0] = (accumulate ? y[0] : 0.f) + factor * x[0];
}
