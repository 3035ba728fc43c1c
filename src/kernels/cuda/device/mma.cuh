// Products of small matrices on tensor cores.
//
// A tensor core multiplies TF32 numbers, which have 11 significant bits, or bfloat16 numbers, which have 8, and adds up
// in f32. An f32 is the sum of two TF32 numbers but for about 2^-22 of its size, and three products of such parts leave
// out only that of the two small ones: what CUTLASS calls 3xTF32, nearly as exact as f32.
//
// Of a 16 x 8 matrix a, lane 4 g + t of a warp holds the elements (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4); of
// an 8 x 8 matrix b (t, g), (t + 4, g); of the 16 x 8 result (g, 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1)
// (PTX ISA, "Matrix Fragments for mma.m16n8k8"). Of bfloat16 numbers it holds pairs: of a 16 x 16 matrix a those from
// (g, 2 t), (g + 8, 2 t), (g, 2 t + 8), (g + 8, 2 t + 8) to the right; of a 16 x 8 matrix b those from (2 t, g),
// (2 t + 8, g) down ("for mma.m16n8k16").
#pragma once
#include "common.cuh"

#ifdef __CUDACC__
// c += a b, of TF32 numbers: of f32 the last 13 bits are dropped. By all lanes of a warp.
__device__ __forceinline__ void mma(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
                   "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}

// c += a b, of pairs of bfloat16 numbers. By all lanes of a warp.
__device__ __forceinline__ void mma(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Two numbers rounded to bfloat16, the first in the low half.
__device__ __forceinline__ unsigned pair(float low, float high) {
    unsigned bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}
#endif

// How inputs of products are rounded: as the sum of two TF32 numbers, to TF32, to bfloat16.
enum Rounding { EXACT, TF32, BF16 };

// A lane's elements, each as the sum of two TF32 numbers.
template <int N>
struct Parts {
    float big[N], small[N];
};

// With TF32 the small ones are left out. Half of the last bit is added, since the product drops what is below.
template <Rounding R, int N>
__device__ __forceinline__ Parts<N> split(const float (&v)[N]) {
    Parts<N> p;
#pragma unroll
    for (int i = 0; i < N; i++) {
        unsigned bits = __float_as_uint(v[i]) + 0x1000u;
        p.big[i] = __uint_as_float(R == EXACT ? bits & 0xffffe000u : bits);
        if (R == EXACT) p.small[i] = v[i] - p.big[i];
    }
    return p;
}

// c += a b; small terms first.
template <Rounding R>
__device__ __forceinline__ void multiply(float (&c)[4], const Parts<4> &a, const Parts<2> &b) {
    if (R == EXACT) {
        mma(c, a.small, b.big);
        mma(c, a.big, b.small);
    }
    mma(c, a.big, b.big);
}
