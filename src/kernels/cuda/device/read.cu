// Numbers brought together, so that the host reads them in one copy.
#include "common.cuh"

// out[i] = the number at from[i]: a float for the first `floats`, then a double; one block.
extern "C" __global__ void collect(const unsigned long long *from, double *out, int floats, int count) {
    for (int i = threadIdx.x; i < count; i += blockDim.x)
        out[i] = i < floats ? (double)*(const float *)from[i] : *(const double *)from[i];
}
