// Products of small matrices on tensor cores, nearly as exact as f32.
//
// A tensor core multiplies TF32 numbers, which have 11 significant bits, and adds up in f32. An f32 is the sum of
// two TF32 numbers but for about 2^-23 of its size, and three products of such parts leave out only that of the two
// small ones: what CUTLASS calls 3xTF32.
//
// Of a 16 x 8 matrix a, lane 4 g + t of a warp holds the elements (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4); of
// an 8 x 8 matrix b (t, g), (t + 4, g); of the 16 x 8 result (g, 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1)
// (PTX ISA, "Matrix Fragments for mma.m16n8k8").
#pragma once
#include "common.cuh"

#ifdef __CUDACC__
// The nearest TF32 number.
__device__ __forceinline__ float tf32(float v) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
    return __uint_as_float(bits);
}

// c += a b, of TF32 numbers; by all lanes of a warp.
__device__ __forceinline__ void mma(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}
#endif

// A lane's elements, each as the sum of two TF32 numbers.
template <int N>
struct Parts {
    float big[N], small[N];
};

template <int N>
__device__ __forceinline__ Parts<N> split(const float (&v)[N]) {
    Parts<N> p;
#pragma unroll
    for (int i = 0; i < N; i++) {
        p.big[i] = tf32(v[i]);
        p.small[i] = tf32(v[i] - p.big[i]);
    }
    return p;
}

// c += a b; small terms first.
__device__ __forceinline__ void multiply(float (&c)[4], const Parts<4> &a, const Parts<2> &b) {
    mma(c, a.small, b.big);
    mma(c, a.big, b.small);
    mma(c, a.big, b.big);
}
