// What the operators to compose from need besides products, attention and gathers. Where `accumulate` is set the
// result is added to what is there, which is how gradients arrive.
#include "common.cuh"

// The functions of `Function`, in its order, and their constants a and b.
#define AFFINE 0
#define GELU 1
#define SILU 2
#define RELU 3
#define TANH 4
#define SQUARE 5
#define SIN 6
#define COS 7
#define STD_HINGE 8

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

// A number below or at zero becomes zero; NaN stays.
__device__ __forceinline__ float positive(float x) { return x <= 0.f ? 0.f : x; }

// The range of sine and cosine; NaN stays.
__device__ __forceinline__ float within(float x) { return x > 1e6f ? 1e6f : x < -1e6f ? -1e6f : x; }

__device__ float function_value(float x, int kind, float a, float b) {
    switch (kind) {
        case AFFINE: return a * x + b;
        case GELU: return x * 0.5f * erfcf(-0.70710678f * x);
        case SILU: return x * sigmoid(x);
        case RELU: return positive(x);
        case TANH: return tanhf(x);
        case SQUARE: return x * x;
        case SIN: return sinf(within(x));
        case COS: return cosf(within(x));
        default: return positive(a - sqrtf(x + b));
    }
}

__device__ float function_slope(float x, int kind, float a, float b) {
    switch (kind) {
        case AFFINE: return a;
        case GELU: return 0.5f * erfcf(-0.70710678f * x) + x * 0.39894228f * expf(-0.5f * x * x);
        case SILU: {
            float s = sigmoid(x);
            return s * (1.f + x * (1.f - s));
        }
        case RELU: return x > 0.f ? 1.f : 0.f;
        case TANH: {
            float t = tanhf(x);
            return 1.f - t * t;
        }
        case SQUARE: return 2.f * x;
        case SIN: return cosf(within(x));
        case COS: return -sinf(within(x));
        default: {
            float s = sqrtf(x + b);
            return s >= a ? 0.f : -0.5f / s;
        }
    }
}

// y = f(x); one thread per element.
extern "C" __global__ void map_forward(const float *x, float *y, long long n, int kind, float a, float b) {
    long long i = element();
    if (i < n) y[i] = function_value(x[i], kind, a, b);
}

// dx += dy f'(x).
extern "C" __global__ void map_backward(const float *x, const float *dy, float *dx, long long n, int kind, float a,
                                        float b) {
    long long i = element();
    if (i < n) dx[i] += dy[i] * function_slope(x[i], kind, a, b);
}

// out = x + y; out may be x.
extern "C" __global__ void add_elements(const float *x, const float *y, float *out, long long n) {
    long long i = element();
    if (i < n) out[i] = x[i] + y[i];
}

// out (+)= x y.
extern "C" __global__ void multiply_elements(const float *x, const float *y, float *out, long long n, int accumulate) {
    long long i = element();
    if (i < n) out[i] = (accumulate ? out[i] : 0.f) + x[i] * y[i];
}

// out += from[0], at n places.
extern "C" __global__ void add_number(const float *from, float *out, long long n) {
    long long i = element();
    if (i < n) out[i] += from[0];
}

// out (+)= x times a factor for every column, or for every row; the other is null. One warp per row.
extern "C" __global__ void scale_matrix(const float *x, const float *of_columns, const float *of_rows, float *out,
                                        int rows, int d, int accumulate) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    long long at = (long long)row * d;
    float factor = of_rows ? of_rows[row] : 1.f;
    for (int i = lane; i < d; i += WARP) {
        float v = x[at + i] * (of_columns ? of_columns[i] : factor);
        out[at + i] = (accumulate ? out[at + i] : 0.f) + v;
    }
}

// out (+)= x with every pair of columns turned: of each group of w columns, pair k by the cosine turns[row, k] and
// `sign` times the sine turns[row, w / 2 + k]. One warp per row.
extern "C" __global__ void rotate_pairs(const float *x, const float *turns, float *out, int rows, int d, int w,
                                        float sign, int accumulate) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    x += (long long)row * d;
    out += (long long)row * d;
    turns += (long long)row * w;
    for (int pair = lane; pair < d / 2; pair += WARP) {
        int k = pair % (w / 2);
        float c = turns[k], s = sign * turns[w / 2 + k], a = x[2 * pair], b = x[2 * pair + 1];
        float first = c * a - s * b, second = s * a + c * b;
        out[2 * pair] = (accumulate ? out[2 * pair] : 0.f) + first;
        out[2 * pair + 1] = (accumulate ? out[2 * pair + 1] : 0.f) + second;
    }
}

// y = x r gain with r = 1 / sqrt(mean(x^2) + eps), of groups of w values; one warp per group. r goes to `scales`.
extern "C" __global__ void rms_forward(const float *x, const float *gain, float *y, float *scales, int groups, int w,
                                       float eps) {
    int group = warp_row(), lane = threadIdx.x % WARP;
    if (group >= groups) return;
    long long at = (long long)group * w;
    float squares = 0.f;
    for (int i = lane; i < w; i += WARP) squares += x[at + i] * x[at + i];
    float r = 1.f / sqrtf(warp_sum(squares) / w + eps);
    for (int i = lane; i < w; i += WARP) y[at + i] = x[at + i] * r * gain[i];
    if (lane == 0) scales[group] = r;
}

// dx += r (dy gain - x r^2 mean(dy gain x)), and what the gain receives of every group: part = dy x r (groups, w).
extern "C" __global__ void rms_backward(const float *x, const float *scales, const float *gain, const float *dy,
                                        float *dx, float *part, int groups, int w) {
    int group = warp_row(), lane = threadIdx.x % WARP;
    if (group >= groups) return;
    long long at = (long long)group * w;
    float r = scales[group], along = 0.f;
    for (int i = lane; i < w; i += WARP) along += dy[at + i] * gain[i] * x[at + i];
    along = r * r * warp_sum(along) / w;
    for (int i = lane; i < w; i += WARP) {
        part[at + i] = dy[at + i] * x[at + i] * r;
        dx[at + i] += r * (dy[at + i] * gain[i] - x[at + i] * along);
    }
}

// Rows of `width` values from a matrix to another, each with its distance between rows; one warp per row.
extern "C" __global__ void move_columns(const float *from, int from_stride, float *to, int to_stride, int rows,
                                        int width, int accumulate) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    from += (long long)row * from_stride;
    to += (long long)row * to_stride;
    for (int i = lane; i < width; i += WARP) to[i] = (accumulate ? to[i] : 0.f) + from[i];
}

// out[s] = mean of the rows starts[s] .. starts[s + 1] of x, added as doubles in order; one thread per value.
extern "C" __global__ void segment_means(const float *x, const unsigned *starts, float *out, int segments, int d) {
    long long at = element();
    if (at >= (long long)segments * d) return;
    unsigned first = starts[at / d], last = starts[at / d + 1];
    double sum = 0.0;
    for (unsigned row = first; row < last; row++) sum += x[(long long)row * d + at % d];
    out[at] = (float)(sum / (last - first));
}

// dx += the share of each row in the gradient of the mean of its segment; one thread per value of dy.
extern "C" __global__ void segment_shares(const float *dy, const unsigned *starts, float *dx, int segments, int d) {
    long long at = element();
    if (at >= (long long)segments * d) return;
    unsigned first = starts[at / d], last = starts[at / d + 1];
    float share = dy[at] / (float)(last - first);
    for (unsigned row = first; row < last; row++) dx[(long long)row * d + at % d] += share;
}

// part (chunks, d): sums of every chunk of rows, of x, or of (x - mean)^2 where there is a mean; one thread per
// column and chunk.
extern "C" __global__ void column_parts(const float *x, const float *mean, double *part, int rows, int d, int chunk) {
    int i = (int)element();
    if (i >= d) return;
    int first = blockIdx.y * chunk, last = first + chunk < rows ? first + chunk : rows;
    double sum = 0.0, middle = mean ? mean[i] : 0.0;
    for (int row = first; row < last; row++) {
        double v = x[(long long)row * d + i] - middle;
        sum += mean ? v * v : v;
    }
    part[(long long)blockIdx.y * d + i] = sum;
}

// out[i] = the sum of the chunks, in order, over `divisor`.
extern "C" __global__ void column_means(const double *part, float *out, int chunks, int d, double divisor) {
    int i = (int)element();
    if (i >= d) return;
    double sum = 0.0;
    for (int k = 0; k < chunks; k++) sum += part[(long long)k * d + i];
    out[i] = (float)(sum / divisor);
}

// y (+)= factor[j] (x - mean), the factor 1 where there is none, else 2 dv[j] / (rows - 1): the gradient of a variance.
extern "C" __global__ void center(const float *x, const float *mean, const float *dv, float *y, int rows, int d,
                                  int accumulate) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    long long at = (long long)row * d;
    for (int i = lane; i < d; i += WARP) {
        float v = (x[at + i] - mean[i]) * (dv ? 2.f * dv[i] / (float)(rows - 1) : 1.f);
        y[at + i] = (accumulate ? y[at + i] : 0.f) + v;
    }
}

// out (rows): the sum of each row; one warp per row.
extern "C" __global__ void row_totals(const float *x, float *out, int rows, int d) {
    int row = warp_row(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    float sum = 0.f;
    for (int i = lane; i < d; i += WARP) sum += x[(long long)row * d + i];
    sum = warp_sum(sum);
    if (lane == 0) out[row] = sum;
}
