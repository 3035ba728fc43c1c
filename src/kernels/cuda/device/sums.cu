// Sums over rows in two stages: one thread per column adds a chunk of rows, then one adds the chunks.
#include "common.cuh"

// The rows of a chunk are blockIdx.y * chunk to that plus `chunk`.
#define CHUNK_ROWS(rows, chunk) \
    int first = blockIdx.y * (chunk), last = first + (chunk) < (rows) ? first + (chunk) : (rows)

// part (chunks, d): column sums of x (rows, d).
extern "C" __global__ void column_sums(const float *x, float *part, int rows, int d, int chunk) {
    int i = (int)element();
    if (i >= d) return;
    CHUNK_ROWS(rows, chunk);
    float sum = 0.f;
    for (int row = first; row < last; row++) sum += x[(long long)row * d + i];
    part[(long long)blockIdx.y * d + i] = sum;
}

// part (chunks, 2 d): what the gain and the bias of a layer norm receive.
extern "C" __global__ void norm_sums(const float *x, const float *stats, const float *dy, float *part, int rows,
                                     int d, int chunk) {
    int i = (int)element();
    if (i >= d) return;
    CHUNK_ROWS(rows, chunk);
    float gain = 0.f, bias = 0.f;
    for (int row = first; row < last; row++) {
        long long at = (long long)row * d + i;
        gain += dy[at] * (x[at] - stats[2 * (long long)row]) * stats[2 * (long long)row + 1];
        bias += dy[at];
    }
    part[(long long)blockIdx.y * 2 * d + i] = gain;
    part[(long long)blockIdx.y * 2 * d + d + i] = bias;
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
    __shared__ double sums[256];
    double sum = 0.0;
    for (int i = threadIdx.x; i < n; i += 256) sum += values[i];
    sums[threadIdx.x] = sum;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) out[0] = (float)(sums[0] * weight);
}
