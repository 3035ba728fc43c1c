// Muon around its products: every matrix of a table in one launch. Of an entry p is the matrix, g its gradient, m the
// average gradient, and v receives u, what is orthogonalised.
#include "update.cuh"

// m = keep m + take g, u = keep m + take g once more if `nesterov`, else u = m; part (blocks): sums of squares of u.
extern "C" __global__ void muon_momentum(const Entry *table, int count, float keep, float take, int nesterov,
                                         double *part) {
    unsigned from, to;
    Entry e = find(table, count, &from, &to);
    double sum = 0.0;
    for (unsigned i = from + threadIdx.x; i < to; i += BLOCK) {
        float g = e.g[i], m = keep * e.m[i] + take * g;
        float u = nesterov ? keep * m + take * g : m;
        e.m[i] = m;
        e.v[i] = u;
        sum += (double)u * u;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

// u /= |u| of every matrix, from the parts of its blocks; zero stays zero.
extern "C" __global__ void muon_unit(const Entry *table, int count, const double *part) {
    __shared__ double norm;
    unsigned from, to;
    Entry e = find(table, count, &from, &to);
    double sum = 0.0;
    for (unsigned i = threadIdx.x; i < (e.n + SPAN - 1) / SPAN; i += BLOCK) sum += part[e.first + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) norm = sqrt(sum);
    __syncthreads();
    for (unsigned i = from + threadIdx.x; i < to; i += BLOCK) e.v[i] = norm > 0.0 ? (float)(e.v[i] / norm) : 0.f;
}

// p = decay p - rate u.
extern "C" __global__ void muon_move(const Entry *table, int count, float decay, float rate) {
    unsigned from, to;
    Entry e = find(table, count, &from, &to);
    for (unsigned i = from + threadIdx.x; i < to; i += BLOCK) e.p[i] = decay * e.p[i] - rate * e.v[i];
}
