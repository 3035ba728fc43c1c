// Sums over rows in two stages: one thread per column adds a chunk of rows, then one adds the chunks.
#include "common.cuh"

// Column sums of dy (rows, d) in chunks of rows: to part (chunks, d) those of dy, or, where it is the gradient
// of a layer norm of `x`, to part (chunks, 2 d) what the norm's gain and bias receive. The sums own the blocks
// from `first` on: for every chunk one block per blockDim.x columns.
struct RowSums {
    const float *x, *stats, *dy;
    float *part;
    int rows, d, chunk, first;
};

#define MOST_ROW_SUMS 8

struct AllRowSums {
    RowSums sums[MOST_ROW_SUMS];
};

extern "C" __global__ void row_sums(AllRowSums all, int count) {
    int which = count - 1;
    while (all.sums[which].first > (int)blockIdx.x) which--;
    RowSums s = all.sums[which];
    int across = (s.d + (int)blockDim.x - 1) / (int)blockDim.x, block = (int)blockIdx.x - s.first;
    int i = block % across * (int)blockDim.x + (int)threadIdx.x, piece = block / across;
    if (i >= s.d) return;
    int first = piece * s.chunk, last = first + s.chunk < s.rows ? first + s.chunk : s.rows;
    float gain = 0.f, bias = 0.f;
    for (int row = first; row < last; row++) {
        long long at = (long long)row * s.d + i;
        if (s.x) gain += s.dy[at] * (s.x[at] - s.stats[2 * (long long)row]) * s.stats[2 * (long long)row + 1];
        bias += s.dy[at];
    }
    float *to = s.part + (long long)piece * (s.x ? 2 * s.d : s.d);
    if (s.x) {
        to[i] = gain;
        to += s.d;
    }
    to[i] = bias;
}

// Partial sums that wait to be added: `chunks` vectors of n values, `stride` apart, to be added to `to` by
// the blocks from `first` on.
struct Pending {
    const float *part;
    float *to;
    int n, chunks, stride, first;
};

#define MOST_PENDING 12

struct AllPending {
    Pending sums[MOST_PENDING];
};

// Adds the chunks of up to MOST_PENDING vectors, in order.
extern "C" __global__ void add_chunks(AllPending all, int count) {
    int which = count - 1;
    while (all.sums[which].first > (int)blockIdx.x) which--;
    Pending p = all.sums[which];
    int i = (blockIdx.x - p.first) * blockDim.x + threadIdx.x;
    if (i >= p.n) return;
    float sum = 0.f;
    for (int k = 0; k < p.chunks; k++) sum += p.part[(long long)k * p.stride + i];
    p.to[i] += sum;
}

// out = weight * sum of n values: one block, each thread a stride, then halves.
extern "C" __global__ void weighted_sum(const float *values, float *out, int n, float weight) {
    double sum = 0.0;
    for (int i = threadIdx.x; i < n; i += BLOCK) sum += values[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[0] = (float)(sum * weight);
}
