// Spread of rows around their mean, in f64 and in two stages: one thread per column adds a chunk of rows,
// then one block per group of rows adds its chunks. Rows are counted from a base that is near them, which
// makes the sum of squares minus the square of the sum exact enough, and 0 for rows that are all the same.
#include "common.cuh"

// Rows `first` .. `first + count` of a list: x[order[rows + i]] minus minus[order[others + i]]. A negative
// `rows` stands for row i itself, a negative `others` for row 0.
struct Chunk {
    const float *x, *minus;
    int rows, others, first, count;
};

// part (chunks, 2, d): sums and sums of squares of the differences, per column; x and minus (any, d).
extern "C" __global__ void spread_parts(const Chunk *chunks, const unsigned *order, double *part, int d) {
    int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= d) return;
    Chunk c = chunks[blockIdx.x];
    double sum = 0.0, squares = 0.0;
    for (int i = c.first; i < c.first + c.count; i++) {
        long long row = c.rows < 0 ? i : order[c.rows + i], other = c.others < 0 ? 0 : order[c.others + i];
        double v = (double)c.x[row * d + column] - (double)c.minus[other * d + column];
        sum += v;
        squares += v * v;
    }
    double *to = part + 2LL * blockIdx.x * d + column;
    to[0] = sum;
    to[d] = squares;
}

// So many rows in the chunks `from` .. `to`.
struct Group {
    int from, to, rows, unused;
};

// out (groups, 3): squared distance of the rows to their mean; standard deviations, added over the columns;
// sum of squares, mean not taken off. One block per group.
extern "C" __global__ void spread(const Group *groups, const double *part, double *out, int d) {
    Group g = groups[blockIdx.x];
    double distance = 0.0, deviation = 0.0, square = 0.0;
    for (int column = threadIdx.x; column < d; column += BLOCK) {
        double sum = 0.0, squares = 0.0;
        for (int chunk = g.from; chunk < g.to; chunk++) {
            const double *p = part + 2LL * chunk * d + column;
            sum += p[0];
            squares += p[d];
        }
        double off = squares - sum * sum / g.rows;
        // Rounding can leave less than nothing; what is not a number stays so.
        if (off < 0.0) off = 0.0;
        distance += off;
        deviation += sqrt(off / g.rows);
        square += squares;
    }
    const double sums[3] = {block_sum(distance), block_sum(deviation), block_sum(square)};
    if (threadIdx.x == 0)
        for (int k = 0; k < 3; k++) out[3 * blockIdx.x + k] = sums[k];
}
