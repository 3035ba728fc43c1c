// Rows picked, rows summed and means of rows.
#include "common.cuh"

#define NONE 0xffffffffu

// out[i] (+)= x[index[i]], nothing where the index is NONE.
extern "C" __global__ void gather_rows(const float *x, const unsigned *index, float *out, long long count, int d,
                                       int accumulate) {
    long long at = element();
    if (at >= count) return;
    unsigned from = index[at / d];
    float v = from == NONE ? 0.f : x[(long long)from * d + at % d];
    out[at] = accumulate ? out[at] + v : v;
}

// out[map[l]] (+)= sum of x[list[i]] for i in starts[l] .. starts[l + 1], in order; one block per list.
extern "C" __global__ void sum_rows(const float *x, const unsigned *starts, const unsigned *list,
                                    const unsigned *map, float *out, int d, int accumulate) {
    unsigned l = blockIdx.x, first = starts[l], last = starts[l + 1];
    float *to = out + (long long)map[l] * d;
    for (int c = threadIdx.x; c < d; c += blockDim.x) {
        float sum = 0.f;
        for (unsigned i = first; i < last; i++) sum += x[(long long)list[i] * d + c];
        to[c] = accumulate ? to[c] + sum : sum;
    }
}

// out[g] = mean of the rows g * rows .. (g + 1) * rows of x, added as doubles in order; one thread per value.
extern "C" __global__ void mean_rows(const float *x, float *out, long long count, int rows, int d) {
    long long at = element();
    if (at >= count) return;
    const float *from = x + at / d * rows * d + at % d;
    double sum = 0.0;
    for (int i = 0; i < rows; i++) sum += from[(long long)i * d];
    out[at] = (float)(sum / rows);
}
