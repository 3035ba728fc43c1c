// Softmax attention inside each sequence, in f32, without the matrix of scores.
//
// A block owns a tile of rows of one head and one sequence, and walks over tiles of the other side.
// Thread (ty, tx) of 16 x 8 owns rows 2 ty and 2 ty + 1 of a tile and the columns tx + 8 j, so that
// sums over a row stay within eight lanes. Biases of queries, keys and values are added when a tile is
// read. Backward recomputes the probabilities from the logarithm `lse` of the sum of exponentials.
#include "common.cuh"

#define TILE 32
#define THREADS 128
#define LANES 8

// A sequence: its rows of queries, and its rows of keys and values.
struct Sequence {
    int q_start, q_len, k_start, k_len;
};

// A matrix of which head h owns the columns h * size to (h + 1) * size, from `values`, `stride` apart.
struct View {
    const float *values, *bias;
    int stride;
};

__device__ View view(const float *values, const float *bias, int stride, int column, long long row) {
    View v;
    v.values = values + row * stride + column;
    v.bias = bias ? bias + column : 0;
    v.stride = stride;
    return v;
}

__device__ __forceinline__ float lanes_sum(float v) {
    for (int o = LANES / 2; o > 0; o >>= 1) v += __shfl_xor_sync(FULL, v, o);
    return v;
}

__device__ __forceinline__ float lanes_max(float v) {
    for (int o = LANES / 2; o > 0; o >>= 1) v = fmaxf(v, __shfl_xor_sync(FULL, v, o));
    return v;
}

// Rows `first` to `first + TILE` of a view, zero beyond `rows` and `size`.
template <int SIZE>
__device__ void load(float (*to)[SIZE + 1], View from, int first, int rows, int size, float scale) {
#pragma unroll 2
    for (int i = threadIdx.x; i < TILE * SIZE; i += THREADS) {
        int r = first + i / SIZE, c = i % SIZE;
        float v = 0.f;
        if (r < rows && c < size) v = (from.values[(long long)r * from.stride + c] + (from.bias ? from.bias[c] : 0.f)) * scale;
        to[i / SIZE][c] = v;
    }
}

// out[r][j] = row (2 ty + r) of a . row (tx + 8 j) of b.
template <int SIZE>
__device__ void scores(float (*a)[SIZE + 1], float (*b)[SIZE + 1], int ty, int tx, float out[2][TILE / LANES]) {
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int j = 0; j < TILE / LANES; j++) out[r][j] = 0.f;
#pragma unroll 4
    for (int c = 0; c < SIZE; c++)
#pragma unroll
        for (int j = 0; j < TILE / LANES; j++) {
            float v = b[tx + LANES * j][c];
            out[0][j] += a[2 * ty][c] * v;
            out[1][j] += a[2 * ty + 1][c] * v;
        }
}

// out[r][j] += row (2 ty + r) of p . column (tx + 8 j) of b.
template <int SIZE>
__device__ void accumulate(float (*p)[TILE + 1], float (*b)[SIZE + 1], int ty, int tx, float out[2][SIZE / LANES]) {
#pragma unroll 2
    for (int k = 0; k < TILE; k++)
#pragma unroll
        for (int j = 0; j < SIZE / LANES; j++) {
            float v = b[k][tx + LANES * j];
            out[0][j] += p[2 * ty][k] * v;
            out[1][j] += p[2 * ty + 1][k] * v;
        }
}

// Writes the valid part of a thread's rows, each times its factor.
template <int SIZE>
__device__ void store(float *to, int stride, int first, int rows, int size, int ty, int tx,
                      float values[2][SIZE / LANES], const float factor[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int j = 0; j < SIZE / LANES; j++) {
            int row = first + 2 * ty + r, c = tx + LANES * j;
            if (row < rows && c < size) to[(long long)row * stride + c] = values[r][j] * factor[r];
        }
}

template <int SIZE>
__device__ void forward(const float *q, const float *q_bias, int q_stride, const float *k, const float *v,
                        const float *k_bias, const float *v_bias, int kv_stride, const Sequence *sequences, float *o,
                        float *lse, int rows, int tiles, int size, float scale) {
    __shared__ float Q[TILE][SIZE + 1], B[TILE][SIZE + 1], P[TILE][TILE + 1];
    Sequence s = sequences[blockIdx.x / tiles];
    int first = blockIdx.x % tiles * TILE, head = blockIdx.y, tx = threadIdx.x % LANES, ty = threadIdx.x / LANES;
    if (first >= s.q_len) return;
    View kv = view(k, k_bias, kv_stride, head * size, s.k_start), vv = view(v, v_bias, kv_stride, head * size, s.k_start);
    load<SIZE>(Q, view(q, q_bias, q_stride, head * size, s.q_start), first, s.q_len, size, scale);
    float out[2][SIZE / LANES], most[2] = {-INFINITY, -INFINITY}, sum[2] = {0.f, 0.f};
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int j = 0; j < SIZE / LANES; j++) out[r][j] = 0.f;
    for (int start = 0; start < s.k_len; start += TILE) {
        load<SIZE>(B, kv, start, s.k_len, size, 1.f);
        __syncthreads();
        float p[2][TILE / LANES];
        scores<SIZE>(Q, B, ty, tx, p);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float m = most[r], part = 0.f;
#pragma unroll
            for (int j = 0; j < TILE / LANES; j++)
                if (start + tx + LANES * j < s.k_len) m = fmaxf(m, p[r][j]);
            m = lanes_max(m);
#pragma unroll
            for (int j = 0; j < TILE / LANES; j++) {
                float e = start + tx + LANES * j < s.k_len ? expf(p[r][j] - m) : 0.f;
                P[2 * ty + r][tx + LANES * j] = e;
                part += e;
            }
            float shrink = expf(most[r] - m);
            sum[r] = sum[r] * shrink + lanes_sum(part);
            most[r] = m;
#pragma unroll
            for (int j = 0; j < SIZE / LANES; j++) out[r][j] *= shrink;
        }
        __syncthreads();
        load<SIZE>(B, vv, start, s.k_len, size, 1.f);
        __syncthreads();
        accumulate<SIZE>(P, B, ty, tx, out);
        __syncthreads();
    }
    float share[2] = {1.f / sum[0], 1.f / sum[1]};
    int width = gridDim.y * size;
    store<SIZE>(o + (long long)s.q_start * width + head * size, width, first, s.q_len, size, ty, tx, out, share);
    for (int r = 0; r < 2; r++)
        if (tx == 0 && first + 2 * ty + r < s.q_len)
            lse[(long long)head * rows + s.q_start + first + 2 * ty + r] = most[r] + logf(sum[r]);
}

// Gradients of a tile of queries (dq), or with KEYS of a tile of keys and values (dk, dv).
//
// a and a2 are the tile's own side (queries with d_o, or keys with values), b and b2 the other one;
// scores are a . b, their gradients before the softmax a2 . b2.
template <int SIZE, bool KEYS>
__device__ void backward(View a, View a2, View b, View b2, int own, int other, const float *lse, const float *delta,
                         float *d1, float *d2, int stride, int tiles, int size, float scale) {
    __shared__ float A[TILE][SIZE + 1], A2[TILE][SIZE + 1], B[TILE][SIZE + 1], P[TILE][TILE + 1];
    int first = blockIdx.x % tiles * TILE, tx = threadIdx.x % LANES, ty = threadIdx.x / LANES;
    float one[2] = {1.f, 1.f}, factor[2] = {scale, scale};
    load<SIZE>(A, a, first, own, size, KEYS ? 1.f : scale);
    load<SIZE>(A2, a2, first, own, size, 1.f);
    float g1[2][SIZE / LANES], g2[2][SIZE / LANES];
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int j = 0; j < SIZE / LANES; j++) g1[r][j] = g2[r][j] = 0.f;
    for (int start = 0; start < other; start += TILE) {
        float s[2][TILE / LANES], d[2][TILE / LANES];
        load<SIZE>(B, b, start, other, size, KEYS ? scale : 1.f);
        __syncthreads();
        scores<SIZE>(A, B, ty, tx, s);
        __syncthreads();
        load<SIZE>(B, b2, start, other, size, 1.f);
        __syncthreads();
        scores<SIZE>(A2, B, ty, tx, d);
#pragma unroll
        for (int r = 0; r < 2; r++)
#pragma unroll
            for (int j = 0; j < TILE / LANES; j++) {
                int mine = first + 2 * ty + r, theirs = start + tx + LANES * j, query = KEYS ? theirs : mine;
                bool valid = mine < own && theirs < other;
                float p = valid ? expf(s[r][j] - lse[query]) : 0.f;
                s[r][j] = valid ? p * (d[r][j] - delta[query]) : 0.f;
                if (KEYS) P[2 * ty + r][tx + LANES * j] = p;
            }
        __syncthreads();
        if (KEYS) {
            accumulate<SIZE>(P, B, ty, tx, g2);
            __syncthreads();
        }
#pragma unroll
        for (int r = 0; r < 2; r++)
#pragma unroll
            for (int j = 0; j < TILE / LANES; j++) P[2 * ty + r][tx + LANES * j] = s[r][j];
        load<SIZE>(B, b, start, other, size, KEYS ? scale : 1.f);
        __syncthreads();
        accumulate<SIZE>(P, B, ty, tx, g1);
        __syncthreads();
    }
    store<SIZE>(d1, stride, first, own, size, ty, tx, g1, KEYS ? one : factor);
    if (KEYS) store<SIZE>(d2, stride, first, own, size, ty, tx, g2, one);
}

// delta (heads, rows): d_o . o of every row and head, both (rows, heads * size); one warp each.
extern "C" __global__ void attention_delta(const float *d_o, const float *o, float *delta, int rows, int heads,
                                           int size) {
    int row = warp_row(), lane = threadIdx.x % WARP, head = blockIdx.y;
    if (row >= rows) return;
    long long at = (long long)row * heads * size + head * size;
    float sum = 0.f;
    for (int i = lane; i < size; i += WARP) sum += d_o[at + i] * o[at + i];
    sum = warp_sum(sum);
    if (lane == 0) delta[(long long)head * rows + row] = sum;
}

// Grid: (sequences * tiles, heads). One set of kernels per padded head size.
#define ATTENTION(SIZE)                                                                                               \
    extern "C" __global__ void attention_forward_##SIZE(                                                              \
        const float *q, const float *q_bias, int q_stride, const float *k, const float *v, const float *k_bias,       \
        const float *v_bias, int kv_stride, const Sequence *sequences, float *o, float *lse, int rows, int tiles,     \
        int size, float scale) {                                                                                      \
        forward<SIZE>(q, q_bias, q_stride, k, v, k_bias, v_bias, kv_stride, sequences, o, lse, rows, tiles, size,     \
                      scale);                                                                                         \
    }                                                                                                                 \
    extern "C" __global__ void attention_queries_##SIZE(                                                              \
        const float *q, const float *q_bias, int q_stride, const float *k, const float *v, const float *k_bias,       \
        const float *v_bias, int kv_stride, const Sequence *sequences, const float *d_o, const float *lse,            \
        const float *delta, float *dq, int dq_stride, int rows, int tiles, int size, float scale) {                   \
        Sequence s = sequences[blockIdx.x / tiles];                                                                   \
        int column = blockIdx.y * size;                                                                               \
        if ((int)(blockIdx.x % tiles) * TILE >= s.q_len) return;                                                      \
        long long at = (long long)blockIdx.y * rows + s.q_start;                                                      \
        backward<SIZE, false>(view(q, q_bias, q_stride, column, s.q_start),                                           \
                              view(d_o, 0, gridDim.y * size, column, s.q_start),                                      \
                              view(k, k_bias, kv_stride, column, s.k_start),                                          \
                              view(v, v_bias, kv_stride, column, s.k_start), s.q_len, s.k_len, lse + at, delta + at,  \
                              dq + (long long)s.q_start * dq_stride + column, 0, dq_stride, tiles, size, scale);      \
    }                                                                                                                 \
    extern "C" __global__ void attention_keys_##SIZE(                                                                 \
        const float *q, const float *q_bias, int q_stride, const float *k, const float *v, const float *k_bias,       \
        const float *v_bias, int kv_stride, const Sequence *sequences, const float *d_o, const float *lse,            \
        const float *delta, float *dk, float *dv, int dkv_stride, int rows, int tiles, int size, float scale) {       \
        Sequence s = sequences[blockIdx.x / tiles];                                                                   \
        int column = blockIdx.y * size;                                                                               \
        if ((int)(blockIdx.x % tiles) * TILE >= s.k_len) return;                                                      \
        long long at = (long long)blockIdx.y * rows + s.q_start, to = (long long)s.k_start * dkv_stride + column;     \
        backward<SIZE, true>(view(k, k_bias, kv_stride, column, s.k_start),                                           \
                             view(v, v_bias, kv_stride, column, s.k_start),                                           \
                             view(q, q_bias, q_stride, column, s.q_start),                                            \
                             view(d_o, 0, gridDim.y * size, column, s.q_start), s.k_len, s.q_len, lse + at,           \
                             delta + at, dk + to, dv + to, dkv_stride, tiles, size, scale);                           \
    }

ATTENTION(16)
ATTENTION(32)
ATTENTION(64)
ATTENTION(96)
