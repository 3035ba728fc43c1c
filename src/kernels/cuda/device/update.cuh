// The table of tensors that updates go through; each owns a run of blocks.
#pragma once
#include "common.cuh"

// Values per block.
#define SPAN 4096

// A parameter, its gradient, its moments, and what follows it as an average; null what does not take part.
// `first` is its first block; `decays` says whether weight decay applies.
struct Entry {
    float *p, *g, *m, *v, *follower;
    unsigned n, first;
    long long decays;
};

// The tensor of this block, and its values from..to.
__device__ Entry find(const Entry *table, int count, unsigned *from, unsigned *to) {
    int low = 0, high = count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (table[middle].first <= blockIdx.x) low = middle;
        else high = middle - 1;
    }
    Entry e = table[low];
    *from = (blockIdx.x - e.first) * SPAN;
    *to = *from + SPAN < e.n ? *from + SPAN : e.n;
    return e;
}
