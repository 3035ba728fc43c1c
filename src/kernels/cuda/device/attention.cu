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
#define LOG2E 1.44269504f

// A sequence: its rows of queries, and its rows of keys and values.
struct Sequence {
    int q_start, q_len, k_start, k_len;
};

// `rows` rows of a matrix of which head h owns the columns h * size to (h + 1) * size, from `values`, `stride` apart;
// times `scale`. `quads`: whether four columns at a time lie at multiples of 16 bytes.
struct View {
    const float *values, *bias;
    int stride, rows, size;
    float scale;
    bool quads;
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
    v.quads = size % 4 == 0 && stride % 4 == 0;
    return v;
}

// An element, zero outside.
__device__ __forceinline__ float value(const View &v, int row, int c) {
    if (row >= v.rows || c >= v.size) return 0.f;
    return (v.values[(long long)row * v.stride + c] + (v.bias ? v.bias[c] : 0.f)) * v.scale;
}

// Two elements of a row from column c on, a multiple of two.
__device__ __forceinline__ float2 two(const View &v, int row, int c) {
    float2 x = {0.f, 0.f}, b = x;
    if (!v.quads) {
        x.x = value(v, row, c), x.y = value(v, row, c + 1);
    } else if (row < v.rows && c < v.size) {
        x = *(const float2 *)(v.values + (long long)row * v.stride + c);
        if (v.bias) b = *(const float2 *)(v.bias + c);
        x.x = (x.x + b.x) * v.scale, x.y = (x.y + b.y) * v.scale;
    }
    return x;
}

// Four elements of a row from column c on, a multiple of four.
__device__ __forceinline__ float4 quad(const View &v, int row, int c) {
    float4 x = {0.f, 0.f, 0.f, 0.f}, b = x;
    if (!v.quads) {
        x.x = value(v, row, c), x.y = value(v, row, c + 1), x.z = value(v, row, c + 2), x.w = value(v, row, c + 3);
    } else if (row < v.rows && c < v.size) {
        x = *(const float4 *)(v.values + (long long)row * v.stride + c);
        if (v.bias) b = *(const float4 *)(v.bias + c);
        x.x = (x.x + b.x) * v.scale, x.y = (x.y + b.y) * v.scale;
        x.z = (x.z + b.z) * v.scale, x.w = (x.w + b.w) * v.scale;
    }
    return x;
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

// Rows of this warp as left operands, and a tile of rows of the other side in shared memory as right operands: of a
// product with its transpose (`scores`), and of one with itself (`accumulate`). Beyond the columns of a head a row has
// more, so that lanes (g, t) read from different banks.
template <int SIZE, Rounding R>
struct Rows {
    struct __align__(16) Tile {
        float at[TILE][SIZE + 4];
    };
    float own[SIZE / 8][4];

    // Rows `first` to `first + TILE` of a view, by the whole block.
    static __device__ void load(Tile &to, const View &from, int first) {
#pragma unroll
        for (int i = threadIdx.x; i < TILE * SIZE / 4; i += THREADS) {
            int row = i / (SIZE / 4), c = i % (SIZE / 4) * 4;
            *(float4 *)&to.at[row][c] = quad(from, first + row, c);
        }
    }

    // Sixteen rows from `first` on.
    __device__ void hold(const View &from, int first, int g, int t) {
#pragma unroll
        for (int c = 0; c < SIZE / 8; c++)
#pragma unroll
            for (int i = 0; i < 4; i++) own[c][i] = value(from, first + g + i % 2 * 8, 8 * c + t + i / 2 * 4);
    }

    // out = own b'.
    __device__ void scores(const Tile &b, float (&out)[TILE / 8][4], int g, int t) const {
        zero(out);
#pragma unroll
        for (int c = 0; c < SIZE / 8; c++) {
            Parts<4> left = split<R>(own[c]);
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) {
                const float *row = b.at[8 * n + g] + 8 * c + t, right[2] = {row[0], row[4]};
                multiply<R>(out[n], left, split<R>(right));
            }
        }
    }

    // out += p b, where p has the layout that `scores` leaves. As a left operand its columns 2 t and 2 t + 1 count as
    // t and t + 4, and so the rows of b do.
    static __device__ void accumulate(const float (&p)[TILE / 8][4], const Tile &b, float (&out)[SIZE / 8][4], int g,
                                      int t) {
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) {
            const float mine[4] = {p[n][0], p[n][2], p[n][1], p[n][3]};
            Parts<4> left = split<R>(mine);
#pragma unroll
            for (int c = 0; c < SIZE / 8; c++) {
                const float right[2] = {b.at[8 * n + 2 * t][8 * c + g], b.at[8 * n + 2 * t + 1][8 * c + g]};
                multiply<R>(out[c], left, split<R>(right));
            }
        }
    }
};

// The same of bfloat16 numbers, in pairs along the inner dimension: columns of a row for `scores`, rows for
// `accumulate`.
template <int SIZE>
struct Rows<SIZE, BF16> {
    struct __align__(16) Tile {
        unsigned across[TILE][SIZE / 2 + 4], down[TILE / 2][SIZE + 8];
    };
    unsigned own[SIZE / 16][4];

    static __device__ void load(Tile &to, const View &from, int first) {
#pragma unroll
        for (int i = threadIdx.x; i < TILE / 2 * SIZE / 4; i += THREADS) {
            int row = i / (SIZE / 4) * 2, c = i % (SIZE / 4) * 4;
            float4 x = quad(from, first + row, c), y = quad(from, first + row + 1, c);
            to.across[row][c / 2] = pair(x.x, x.y), to.across[row][c / 2 + 1] = pair(x.z, x.w);
            to.across[row + 1][c / 2] = pair(y.x, y.y), to.across[row + 1][c / 2 + 1] = pair(y.z, y.w);
            unsigned *down = to.down[row / 2] + c;
            down[0] = pair(x.x, y.x), down[1] = pair(x.y, y.y), down[2] = pair(x.z, y.z), down[3] = pair(x.w, y.w);
        }
    }

    __device__ void hold(const View &from, int first, int g, int t) {
#pragma unroll
        for (int c = 0; c < SIZE / 16; c++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int row = first + g + i % 2 * 8, column = 16 * c + 2 * t + i / 2 * 8;
                float2 x = two(from, row, column);
                own[c][i] = pair(x.x, x.y);
            }
    }

    __device__ void scores(const Tile &b, float (&out)[TILE / 8][4], int g, int t) const {
        zero(out);
#pragma unroll
        for (int c = 0; c < SIZE / 16; c++)
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) {
                const unsigned *row = b.across[8 * n + g] + 8 * c + t, right[2] = {row[0], row[4]};
                mma(out[n], own[c], right);
            }
    }

    // The layout that `scores` leaves is that of pairs of a left operand, from two parts of eight columns.
    static __device__ void accumulate(const float (&p)[TILE / 8][4], const Tile &b, float (&out)[SIZE / 8][4], int g,
                                      int t) {
#pragma unroll
        for (int n = 0; n < TILE / 8; n += 2) {
            const unsigned left[4] = {pair(p[n][0], p[n][1]), pair(p[n][2], p[n][3]), pair(p[n + 1][0], p[n + 1][1]),
                                      pair(p[n + 1][2], p[n + 1][3])};
#pragma unroll
            for (int c = 0; c < SIZE / 8; c++) {
                const unsigned right[2] = {b.down[4 * n + t][8 * c + g], b.down[4 * n + t + 4][8 * c + g]};
                mma(out[c], left, right);
            }
        }
    }
};

// Writes the valid part of the warp's rows, those of g and those of g + 8 times a factor each.
template <int SIZE>
__device__ void store(Values to, int stride, int first, int rows, int size, const float (&values)[SIZE / 8][4],
                      float factor, float factor8, int g, int t) {
    bool pairs = size % 2 == 0 && stride % 2 == 0;
#pragma unroll
    for (int c = 0; c < SIZE / 8; c++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = first + g + half * 8, column = 8 * c + 2 * t;
            if (row >= rows || column >= size) continue;
            float f = half ? factor8 : factor;
            float2 v = {values[c][2 * half] * f, values[c][2 * half + 1] * f};
            long long at = (long long)row * stride + column;
            if (pairs) {
                to.put_two(at, v);
            } else {
                to.put(at, v.x);
                if (column + 1 < size) to.put(at + 1, v.y);
            }
        }
}

// The next tile of scores `s`, of which the first `valid` columns count, as exponentials; `most` and `sum` are the
// largest so far and a lane's part of the sum, and earlier results must be multiplied by `shrink`. What does not count
// is minus infinity, whose exponential is zero: no branch.
__device__ void exponentials(float (&s)[TILE / 8][4], int valid, float (&most)[2], float (&sum)[2], float (&shrink)[2],
                             int t) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float m = most[r];
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float &v = s[n][2 * r + i];
                v = 8 * n + 2 * t + i < valid ? v : -INFINITY;
                m = fmaxf(m, v);
            }
        m = quad_max(m);
        shrink[r] = exp2f((most[r] - m) * LOG2E);
        most[r] = m;
        sum[r] *= shrink[r];
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float e = exp2f((s[n][2 * r + i] - m) * LOG2E);
                s[n][2 * r + i] = e;
                sum[r] += e;
            }
    }
}

template <int SIZE, Rounding R>
__device__ void forward(View q, View k, View v, Values o, float *lse, int width, int tiles) {
    __shared__ typename Rows<SIZE, R>::Tile K, V;
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4, first = warp_rows(tiles);
    bool active = first < q.rows;
    Rows<SIZE, R> own;
    float out[SIZE / 8][4], most[2] = {-INFINITY, -INFINITY}, sum[2] = {0.f, 0.f};
    if (active) own.hold(q, first, g, t);
    zero(out);
    for (int start = 0; start < k.rows; start += TILE) {
        own.load(K, k, start);
        own.load(V, v, start);
        __syncthreads();
        if (active) {
            float s[TILE / 8][4], shrink[2];
            own.scores(K, s, g, t);
            exponentials(s, k.rows - start, most, sum, shrink, t);
#pragma unroll
            for (int c = 0; c < SIZE / 8; c++)
#pragma unroll
                for (int i = 0; i < 4; i++) out[c][i] *= shrink[i / 2];
            __syncwarp();
            own.accumulate(s, V, out, g, t);
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
// a . b, their gradients before the softmax a2 . b2. d1 is written times `factor`. A query that is not there has a
// logarithm of infinity, so that its probabilities are zero.
template <int SIZE, Rounding R, bool KEYS>
__device__ void backward(View a, View a2, View b, View b2, const float *lse, const float *delta, Values d1, Values d2,
                         int stride, float factor, int tiles) {
    __shared__ typename Rows<SIZE, R>::Tile B, B2;
    __shared__ float logs[TILE], deltas[TILE];
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4, first = warp_rows(tiles);
    bool active = first < a.rows;
    Rows<SIZE, R> own, own2;
    float g1[SIZE / 8][4], g2[SIZE / 8][4], my_log[2] = {}, my_delta[2] = {};
    if (active) {
        own.hold(a, first, g, t);
        own2.hold(a2, first, g, t);
        for (int r = 0; r < 2 && !KEYS; r++) {
            int row = first + g + 8 * r;
            my_log[r] = row < a.rows ? lse[row] : INFINITY;
            my_delta[r] = row < a.rows ? delta[row] : 0.f;
        }
    }
    zero(g1);
    zero(g2);
    for (int start = 0; start < b.rows; start += TILE) {
        own.load(B, b, start);
        own.load(B2, b2, start);
        if (KEYS && threadIdx.x < TILE) {
            int row = start + threadIdx.x;
            logs[threadIdx.x] = row < b.rows ? lse[row] : INFINITY;
            deltas[threadIdx.x] = row < b.rows ? delta[row] : 0.f;
        }
        __syncthreads();
        if (active) {
            float p[TILE / 8][4], d[TILE / 8][4];
            own.scores(B, p, g, t);
            own2.scores(B2, d, g, t);
#pragma unroll
            for (int n = 0; n < TILE / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int theirs = 8 * n + 2 * t + i % 2;
                    float log = KEYS ? logs[theirs] : my_log[i / 2], mean = KEYS ? deltas[theirs] : my_delta[i / 2];
                    float e = exp2f((p[n][i] - log) * LOG2E);
                    p[n][i] = KEYS || start + theirs < b.rows ? e : 0.f;
                    d[n][i] = p[n][i] * (d[n][i] - mean);
                }
            __syncwarp();
            if (KEYS) own.accumulate(p, B2, g2, g, t);
            own.accumulate(d, B, g1, g, t);
        }
        __syncthreads();
    }
    if (!active) return;
    store<SIZE>(d1, stride, first, a.rows, a.size, g1, factor, factor, g, t);
    if (KEYS) store<SIZE>(d2, stride, first, a.rows, a.size, g2, 1.f, 1.f, g, t);
}

// delta (heads, rows): d_o . o of every row and head, both (rows, heads * size); one warp each.
extern "C" __global__ void attention_delta(const float *d_o, Values o, float *delta, int rows, int heads, int size) {
    int row = warp_row(), lane = threadIdx.x % WARP, head = blockIdx.y;
    if (row >= rows) return;
    long long at = (long long)row * heads * size + head * size;
    float sum = 0.f;
    for (int i = lane; i < size; i += WARP) sum += d_o[at + i] * o.get(at + i);
    sum = warp_sum(sum);
    if (lane == 0) delta[(long long)head * rows + row] = sum;
}

// Grid: (sequences * tiles, heads). One set of kernels per padded head size and rounding.
#define ATTENTION(SIZE, R, NAME)                                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS) attention_forward_##NAME(                                    \
        const float *q, const float *q_bias, int q_stride, const float *k, const float *v, const float *k_bias,        \
        const float *v_bias, int kv_stride, const Sequence *sequences, Values o, float *lse, int rows, int tiles,      \
        int size, float scale) {                                                                                       \
        Sequence s = sequences[blockIdx.x / tiles];                                                                    \
        int head = blockIdx.y, width = gridDim.y * size;                                                               \
        if ((int)(blockIdx.x % tiles) * ROWS >= s.q_len) return;                                                       \
        forward<SIZE, R>(view(q, q_bias, q_stride, head, size, s.q_start, s.q_len, scale),                             \
                      view(k, k_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f),                                 \
                      view(v, v_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f),                                 \
                      o.from((long long)s.q_start * width + head * size), lse + (long long)head * rows + s.q_start,    \
                      width, tiles);                                                                                   \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS) attention_queries_##NAME(                                    \
        const float *q, const float *q_bias, int q_stride, const float *k, const float *v, const float *k_bias,        \
        const float *v_bias, int kv_stride, const Sequence *sequences, const float *d_o, const float *lse,             \
        const float *delta, Values dq, int dq_stride, int rows, int tiles, int size, float scale) {                    \
        Sequence s = sequences[blockIdx.x / tiles];                                                                    \
        int head = blockIdx.y;                                                                                         \
        if ((int)(blockIdx.x % tiles) * ROWS >= s.q_len) return;                                                       \
        long long at = (long long)head * rows + s.q_start;                                                             \
        backward<SIZE, R, false>(view(q, q_bias, q_stride, head, size, s.q_start, s.q_len, scale),                     \
                              view(d_o, 0, gridDim.y * size, head, size, s.q_start, s.q_len, 1.f),                     \
                              view(k, k_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f),                         \
                              view(v, v_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f), lse + at, delta + at,   \
                              dq.from((long long)s.q_start * dq_stride + head * size), Values(), dq_stride, scale, tiles); \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS) attention_keys_##NAME(                                       \
        const float *q, const float *q_bias, int q_stride, const float *k, const float *v, const float *k_bias,        \
        const float *v_bias, int kv_stride, const Sequence *sequences, const float *d_o, const float *lse,             \
        const float *delta, Values dk, Values dv, int dkv_stride, int rows, int tiles, int size, float scale) {        \
        Sequence s = sequences[blockIdx.x / tiles];                                                                    \
        int head = blockIdx.y;                                                                                         \
        if ((int)(blockIdx.x % tiles) * ROWS >= s.k_len) return;                                                       \
        long long at = (long long)head * rows + s.q_start;                                                             \
        long long to = (long long)s.k_start * dkv_stride + head * size;                                                \
        backward<SIZE, R, true>(view(k, k_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f),                       \
                             view(v, v_bias, kv_stride, head, size, s.k_start, s.k_len, 1.f),                          \
                             view(q, q_bias, q_stride, head, size, s.q_start, s.q_len, scale),                         \
                             view(d_o, 0, gridDim.y * size, head, size, s.q_start, s.q_len, 1.f), lse + at,            \
                             delta + at, dk.from(to), dv.from(to), dkv_stride, 1.f, tiles);                            \
    }

#define ROUNDINGS(SIZE)                \
    ATTENTION(SIZE, EXACT, SIZE)       \
    ATTENTION(SIZE, TF32, SIZE##_tf32) \
    ATTENTION(SIZE, BF16, SIZE##_bf16)

ROUNDINGS(16)
ROUNDINGS(32)
ROUNDINGS(64)
ROUNDINGS(96)
