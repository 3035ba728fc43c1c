// Sums over rows in two stages: one thread per column adds a chunk of rows, then one adds the chunks.
#include "common.cuh"

// Column sums of dy (rows, d) in chunks of rows: to part (chunks, d) those of dy, or, where it is the gradient
// of a layer norm of `x`, to part (chunks, 2 d) what the norm's gain and bias receive. The sums own the blocks
// from `first` on: each of their warps takes a chunk of 32 columns.
struct RowSums {
    const float *x, *stats;
    Values dy;
    float *part;
    int rows, d, chunk, first;
};

#define MOST_ROW_SUMS 8

struct AllRowSums {
    RowSums sums[MOST_ROW_SUMS];
};

// Rows that are read before the first of them is added: a chain of reads that wait for each other takes longer than
// all of them together.
#define AHEAD 8

// add(row values) for the rows from `first` to `last` in order, where read(row) gives the values of one.
template <class Read, class Add>
__device__ __forceinline__ void in_order(int first, int last, Read read, Add add) {
    int row = first;
    for (; row + AHEAD <= last; row += AHEAD) {
        float2 v[AHEAD];
#pragma unroll
        for (int k = 0; k < AHEAD; k++) v[k] = read(row + k);
#pragma unroll
        for (int k = 0; k < AHEAD; k++) add(v[k]);
    }
    for (; row < last; row++) add(read(row));
}

extern "C" __global__ void row_sums(AllRowSums all, int count) {
    int which = count - 1;
    while (all.sums[which].first > (int)blockIdx.x) which--;
    RowSums s = all.sums[which];
    int across = (s.d + WARP - 1) / WARP;
    int share = (((int)blockIdx.x - s.first) * (int)blockDim.x + (int)threadIdx.x) / WARP;
    int piece = share / across, i = share % across * WARP + (int)threadIdx.x % WARP;
    if (i >= s.d) return;
    int first = piece * s.chunk, last = first + s.chunk < s.rows ? first + s.chunk : s.rows;
    if (first >= last) return;
    float gain = 0.f, bias = 0.f;
    auto add = [&](float2 v) { gain += v.x, bias += v.y; };
    // What a row adds to gain and bias. Which of the three cases it is, is decided once.
    auto normed = [&](int row) {
        long long at = (long long)row * s.d + i;
        float2 stats = *(const float2 *)(s.stats + 2 * (long long)row);
        float dy = s.dy.full[at];
        float2 v = {dy * (s.x[at] - stats.x) * stats.y, dy};
        return v;
    };
    auto full = [&](int row) {
        float2 v = {0.f, s.dy.full[(long long)row * s.d + i]};
        return v;
    };
    auto half = [&](int row) {
        float2 v = {0.f, Values::number(s.dy.half[(long long)row * s.d + i])};
        return v;
    };
    if (s.x) in_order(first, last, normed, add);
    else if (s.dy.full) in_order(first, last, full, add);
    else in_order(first, last, half, add);
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
#pragma unroll 16
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
