// Updates of all parameters at once.
#include "update.cuh"

// part (blocks): sums of squares of g.
extern "C" __global__ void square_sums(const Entry *table, int count, double *part) {
    unsigned from, to;
    Entry e = find(table, count, &from, &to);
    double sum = 0.0;
    for (unsigned i = from + threadIdx.x; i < to; i += BLOCK) sum += (double)e.g[i] * e.g[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

// out = root of the sum of n parts; one block.
extern "C" __global__ void root_of_sum(const double *part, double *out, int n) {
    double sum = 0.0;
    for (int i = threadIdx.x; i < n; i += BLOCK) sum += part[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[0] = sqrt(sum);
}

// g = 0.
extern "C" __global__ void clear(const Entry *table, int count) {
    unsigned from, to;
    Entry e = find(table, count, &from, &to);
    for (unsigned i = from + threadIdx.x; i < to; i += BLOCK) e.g[i] = 0.f;
}

// `lerp` and `addcmul` of PyTorch's single-tensor AdamW. Gradients of a `norm` above `limit` are scaled
// down to it; null: they are taken as they are. `decay` is 1 - rate * weight decay. Then follower = keep *
// follower + take * p.
extern "C" __global__ void adamw(const Entry *table, int count, float decay, float take1, float beta2, float take2,
                                 float step_size, float root_scale, float eps, const double *norm, double limit,
                                 float keep, float take) {
    float grad_scale = norm ? (float)fmin(limit / (norm[0] + 1e-6), 1.0) : 1.f;
    unsigned from, to;
    Entry e = find(table, count, &from, &to);
    if (!e.decays) decay = 1.f;
    for (unsigned i = from + threadIdx.x; i < to; i += BLOCK) {
        float g = e.g[i] * grad_scale;
        float m = e.m[i] + take1 * (g - e.m[i]);
        float v = beta2 * e.v[i] + take2 * g * g;
        e.m[i] = m;
        e.v[i] = v;
        float p = e.p[i] * decay - step_size * m / (sqrtf(v) * root_scale + eps);
        e.p[i] = p;
        if (e.follower) e.follower[i] = keep * e.follower[i] + take * p;
    }
}

// follower = keep * follower + take * p, alone.
extern "C" __global__ void ema(const Entry *table, int count, float keep, float take) {
    unsigned from, to;
    Entry e = find(table, count, &from, &to);
    for (unsigned i = from + threadIdx.x; i < to; i += BLOCK) e.follower[i] = keep * e.follower[i] + take * e.p[i];
}

// Copies of parameters, rounded for products: what follows one here are bfloat16 numbers.
extern "C" __global__ void round_values(const Entry *table, int count) {
    unsigned from, to;
    Entry e = find(table, count, &from, &to);
    unsigned short *half = (unsigned short *)e.follower;
    for (unsigned i = from + threadIdx.x; i < to; i += BLOCK) half[i] = Values::rounded(e.p[i]);
}
