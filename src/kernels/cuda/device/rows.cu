// Rows picked, rows summed and means of rows.
#include "common.cuh"

#define NONE 0xffffffffu

// Rows to be picked by an index for every row that comes out.
struct Term {
    const float *rows;
    const unsigned *index;
};

#define MOST_TERMS 4

struct Terms {
    Term all[MOST_TERMS];
};

// out[i] (+)= sum over `count` terms of rows[index[i]], nothing where an index is NONE; one warp per row.
extern "C" __global__ void gather_sum(Terms terms, int count, float *out, int rows, int d, int accumulate) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    out += (long long)row * d;
    const float *from[MOST_TERMS];
#pragma unroll
    for (int k = 0; k < MOST_TERMS; k++) {
        unsigned which = k < count ? terms.all[k].index[row] : NONE;
        from[k] = which == NONE ? 0 : terms.all[k].rows + (long long)which * d;
    }
    for (int i = lane; i < d; i += WARP) {
        float sum = accumulate ? out[i] : 0.f;
#pragma unroll
        for (int k = 0; k < MOST_TERMS; k++)
            if (from[k]) sum += from[k][i];
        out[i] = sum;
    }
}

// A rounded copy of n values.
extern "C" __global__ void round_rows(const float *values, unsigned short *half, long long n) {
    long long i = element();
    if (i < n) half[i] = Values::rounded(values[i]);
}

// Rows of bfloat16 numbers: to[i] = from[index[i]]; one warp per row.
extern "C" __global__ void pick_rows(const unsigned short *from, const unsigned *index, unsigned short *to, int rows,
                                     int d) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    from += (long long)index[row] * d;
    to += (long long)row * d;
    for (int i = lane; i < d; i += WARP) to[i] = from[i];
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
