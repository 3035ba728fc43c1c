// Softmax attention inside each sequence, without the matrix of scores.
//
// A block owns ROWS rows of one head and one sequence, sixteen for each warp, and walks over tiles of the other side
// in shared memory. Products are those of `mma.cuh`, with its lanes (g, t): of a warp's rows a lane sees g and g + 8,
// and sums over a row stay within four lanes. Biases of queries, keys and values are added when rows are read.
// Backward recomputes the probabilities from the logarithm `lse` of the sum of exponentials.
#include "mma.cuh"

#define TILE 32
#define ROWS 64
#define THREADS 128
// Columns of shared memory beyond those of a head: lanes (g, t) then read from different banks.
#define PAD 4

// A sequence: its rows of queries, and its rows of keys and values.
struct Sequence {
    int q_start, q_len, k_start, k_len;
};

// `rows` rows of a matrix of which head h owns the columns h * size to (h + 1) * size, from `values`, `stride` apart;
// times `scale`.
struct View {
    const float *values, *bias;
    int stride, rows, size;
    float scale;
};

__device__ View view(const float *values, const float *bias, int stride, int head, int size, long long start, int rows,
                     float scale) {
    View v;
    v.values = values + start * stride + head * size;
    v.bias = bias ? bias + head * size : 0;
    v.stride = stride;
    v.rows = rows;
    v.size = size;
    v.scale = scale;
    return v;
}

// An element, zero outside.
__device__ __forceinline__ float value(View v, int row, int c) {
    if (row >= v.rows || c >= v.size) return 0.f;
    return (v.values[(long long)row * v.stride + c] + (v.bias ? v.bias[c] : 0.f)) * v.scale;
}

// The first of this warp's rows.
__device__ __forceinline__ int warp_rows(int tiles) {
    return (int)(blockIdx.x % tiles) * ROWS + (int)(threadIdx.x / WARP) * (ROWS * WARP / THREADS);
}

__device__ __forceinline__ float quad_sum(float v) {
    for (int o = 2; o > 0; o >>= 1) v += __shfl_xor_sync(FULL, v, o);
    return v;
}

__device__ __forceinline__ float quad_max(float v) {
    for (int o = 2; o > 0; o >>= 1) v = fmaxf(v, __shfl_xor_sync(FULL, v, o));
    return v;
}

template <int N>
__device__ __forceinline__ void zero(float (&values)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) values[n][i] = 0.f;
}

// Rows `first` to `first + TILE` of a view to shared memory, by the whole block.
template <int SIZE>
__device__ void load(float (&to)[TILE][SIZE + PAD], View from, int first) {
#pragma unroll 4
    for (int i = threadIdx.x; i < TILE * SIZE; i += THREADS)
        to[i / SIZE][i % SIZE] = value(from, first + i / SIZE, i % SIZE);
}

// Sixteen rows from `first` on as left operands.
template <int SIZE>
__device__ void hold(float (&to)[SIZE / 8][4], View from, int first, int g, int t) {
#pragma unroll
    for (int c = 0; c < SIZE / 8; c++)
#pragma unroll
        for (int i = 0; i < 4; i++) to[c][i] = value(from, first + g + i % 2 * 8, 8 * c + t + i / 2 * 4);
}

// out = a b': products of the warp's rows with the rows of a tile.
template <int SIZE>
__device__ void scores(const float (&a)[SIZE / 8][4], const float (&b)[TILE][SIZE + PAD], float (&out)[TILE / 8][4],
                       int g, int t) {
    zero(out);
#pragma unroll
    for (int c = 0; c < SIZE / 8; c++) {
        Parts<4> left = split(a[c]);
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) {
            const float *row = b[8 * n + g] + 8 * c + t, right[2] = {row[0], row[4]};
            multiply(out[n], left, split(right));
        }
    }
}

// out += p b, where p has the layout that `scores` leaves. As a left operand its columns 2 t and 2 t + 1 count as
// t and t + 4, and so the rows of b do.
template <int SIZE>
__device__ void accumulate(const float (&p)[TILE / 8][4], const float (&b)[TILE][SIZE + PAD], float (&out)[SIZE / 8][4],
                           int g, int t) {
#pragma unroll
    for (int n = 0; n < TILE / 8; n++) {
        const float own[4] = {p[n][0], p[n][2], p[n][1], p[n][3]};
        Parts<4> left = split(own);
#pragma unroll
        for (int c = 0; c < SIZE / 8; c++) {
            const float right[2] = {b[8 * n + 2 * t][8 * c + g], b[8 * n + 2 * t + 1][8 * c + g]};
            multiply(out[c], left, split(right));
        }
    }
}

// Writes the valid part of the warp's rows, those of g and those of g + 8 times a factor each.
template <int SIZE>
__device__ void store(float *to, int stride, int first, int rows, int size, const float (&values)[SIZE / 8][4],
                      float factor, float factor8, int g, int t) {
#pragma unroll
    for (int c = 0; c < SIZE / 8; c++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int row = first + g + i / 2 * 8, column = 8 * c + 2 * t + i % 2;
            if (row < rows && column < size)
                to[(long long)row * stride + column] = values[c][i] * (i < 2 ? factor : factor8);
        }
}

// The next tile of scores `s`, of which the first `valid` columns count, as exponentials; `most` and `sum` are the
// largest so far and a lane's part of the sum, and earlier results must be multiplied by `shrink`.
__device__ void exponentials(float (&s)[TILE / 8][4], int valid, float (&most)[2], float (&sum)[2], float (&shrink)[2],
                             int t) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float m = most[r];
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++)
                if (8 * n + 2 * t + i < valid) m = fmaxf(m, s[n][2 * r + i]);
        m = quad_max(m);
        shrink[r] = expf(most[r] - m);
        most[r] = m;
        sum[r] *= shrink[r];
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float e = 8 * n + 2 * t + i < valid ? expf(s[n][2 * r + i] - m) : 0.f;
                s[n][2 * r + i] = e;
                sum[r] += e;
            }
    }
}

template <int SIZE>
__device__ void forward(View q, View k, View v, float *o, float *lse, int width, int tiles) {
    __shared__ float K[TILE][SIZE + PAD], V[TILE][SIZE + PAD];
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4, first = warp_rows(tiles);
    bool active = first < q.rows;
    float own[SIZE / 8][4], out[SIZE / 8][4], most[2] = {-INFINITY, -INFINITY}, sum[2] = {0.f, 0.f};
    hold<SIZE>(own, q, first, g, t);
    zero(out);
    for (int start = 0; start < k.rows; start += TILE) {
        load<SIZE>(K, k, start);
        load<SIZE>(V, v, start);
        __syncthreads();
        if (active) {
            float s[TILE / 8][4], shrink[2];
            scores<SIZE>(own, K, s, g, t);
            exponentials(s, k.rows - start, most, sum, shrink, t);
#pragma unroll
            for (int c = 0; c < SIZE / 8; c++)
#pragma unroll
                for (int i = 0; i < 4; i++) out[c][i] *= shrink[i / 2];
            accumulate<SIZE>(s, V, out, g, t);
        }
        __syncthreads();
    }
    if (!active) return;
    for (int r = 0; r < 2; r++) sum[r] = quad_sum(sum[r]);
    store<SIZE>(o, width, first, q.rows, q.size, out, 1.f / sum[0], 1.f / sum[1], g, t);
    for (int r = 0; r < 2; r++)
        if (t == 0 && first + g + 8 * r < q.rows) lse[first + g + 8 * r] = most[r] + logf(sum[r]);
}

// Gradients of queries (d1), or with KEYS of keys and values (d1, d2).
//
// a and a2 are the block's own side (queries with d_o, or keys with values), b and b2 the other one; scores are
// a . b, their gradients before the softmax a2 . b2. d1 is written times `factor`.
template <int SIZE, bool KEYS>
__device__ void backward(View a, View a2, View b, View b2, const float *lse, const float *delta, float *d1, float *d2,
                         int stride, float factor, int tiles) {
    __shared__ float B[TILE][SIZE + PAD], B2[TILE][SIZE + PAD];
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4, first = warp_rows(tiles);
    bool active = first < a.rows;
    float own[SIZE / 8][4], own2[SIZE / 8][4], g1[SIZE / 8][4], g2[SIZE / 8][4];
    hold<SIZE>(own, a, first, g, t);
    hold<SIZE>(own2, a2, first, g, t);
    zero(g1);
    zero(g2);
    for (int start = 0; start < b.rows; start += TILE) {
        load<SIZE>(B, b, start);
        load<SIZE>(B2, b2, start);
        __syncthreads();
        if (active) {
            float p[TILE / 8][4], d[TILE / 8][4];
            scores<SIZE>(own, B, p, g, t);
            scores<SIZE>(own2, B2, d, g, t);
#pragma unroll
            for (int n = 0; n < TILE / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int mine = first + g + i / 2 * 8, theirs = start + 8 * n + 2 * t + i % 2;
                    int query = KEYS ? theirs : mine;
                    bool valid = mine < a.rows && theirs < b.rows;
                    p[n][i] = valid ? expf(p[n][i] - lse[query]) : 0.f;
                    d[n][i] = valid ? p[n][i] * (d[n][i] - delta[query]) : 0.f;
                }
            if (KEYS) accumulate<SIZE>(p, B2, g2, g, t);
            accumulate<SIZE>(d, B, g1, g, t);
        }
        __syncthreads();
    }
    if (!active) return;
    store<SIZE>(d1, stride, first, a.rows, a.size, g1, factor, factor, g, t);
    if (KEYS) store<SIZE>(d2, stride, first, a.rows, a.size, g2, 1.f, 1.f, g, t);
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
    extern "C" __global__ void __launch_bounds__(THREADS) attention_forward_##SIZE(                                   \
        const float *q, const float *q_bias, int q_stride, const float *k, const float *v, const float *k_bias,       \
        const float *v_bias, int kv_stride, const Sequence *sequences, float *o, float *lse, int rows, int tiles,     \
        int size, float scale) {                                                                                      \
        Sequence s = sequences[blockIdx.x / tiles];                                                                   \
        int head = blockIdx.y, width = gridDim.y * size;                                                              \
        if ((int)(blockIdx.x % tiles) * ROWS >= s.q_len) return;                                                      \
        forward<SIZE>(view(q, q_bias, q_stride, head, size, s.q_start, s.q_len, scale),                               \
                      view(k, k_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f),                                \
                      view(v, v_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f),                                \
                      o + (long long)s.q_start * width + head * size, lse + (long long)head * rows + s.q_start,       \
                      width, tiles);                                                                                  \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS) attention_queries_##SIZE(                                   \
        const float *q, const float *q_bias, int q_stride, const float *k, const float *v, const float *k_bias,       \
        const float *v_bias, int kv_stride, const Sequence *sequences, const float *d_o, const float *lse,            \
        const float *delta, float *dq, int dq_stride, int rows, int tiles, int size, float scale) {                   \
        Sequence s = sequences[blockIdx.x / tiles];                                                                   \
        int head = blockIdx.y;                                                                                        \
        if ((int)(blockIdx.x % tiles) * ROWS >= s.q_len) return;                                                      \
        long long at = (long long)head * rows + s.q_start;                                                            \
        backward<SIZE, false>(view(q, q_bias, q_stride, head, size, s.q_start, s.q_len, scale),                       \
                              view(d_o, 0, gridDim.y * size, head, size, s.q_start, s.q_len, 1.f),                    \
                              view(k, k_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f),                        \
                              view(v, v_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f), lse + at, delta + at,  \
                              dq + (long long)s.q_start * dq_stride + head * size, 0, dq_stride, scale, tiles);       \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS) attention_keys_##SIZE(                                      \
        const float *q, const float *q_bias, int q_stride, const float *k, const float *v, const float *k_bias,       \
        const float *v_bias, int kv_stride, const Sequence *sequences, const float *d_o, const float *lse,            \
        const float *delta, float *dk, float *dv, int dkv_stride, int rows, int tiles, int size, float scale) {       \
        Sequence s = sequences[blockIdx.x / tiles];                                                                   \
        int head = blockIdx.y;                                                                                        \
        if ((int)(blockIdx.x % tiles) * ROWS >= s.k_len) return;                                                      \
        long long at = (long long)head * rows + s.q_start;                                                            \
        long long to = (long long)s.k_start * dkv_stride + head * size;                                               \
        backward<SIZE, true>(view(k, k_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f),                         \
                             view(v, v_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f),                         \
                             view(q, q_bias, q_stride, head, size, s.q_start, s.q_len, scale),                        \
                             view(d_o, 0, gridDim.y * size, head, size, s.q_start, s.q_len, 1.f), lse + at,           \
                             delta + at, dk + to, dv + to, dkv_stride, 1.f, tiles);                                   \
    }

ATTENTION(16)
ATTENTION(32)
ATTENTION(64)
ATTENTION(96)
