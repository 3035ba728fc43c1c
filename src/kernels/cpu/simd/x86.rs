//! Sixteen lanes on 64-bit x86: AVX2, AVX-512, AVX-512 with products of bf16.

use super::{LANES, Simd, Tile};
use std::arch::x86_64::*;
use std::mem::transmute;

/// One 512-bit register.
pub struct Avx512;

// SAFETY of every call below: the contract of `Simd`.
impl Simd for Avx512 {
    type V = __m512;
    type W = __m512d;
    const TILE: Tile = Tile::Wide;
    #[inline(always)]
    unsafe fn wide_splat(value: f64) -> __m512d {
        unsafe { _mm512_set1_pd(value) }
    }
    #[inline(always)]
    unsafe fn widened(from: *const f32) -> __m512d {
        unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn wide_load(from: *const f64) -> __m512d {
        unsafe { _mm512_loadu_pd(from) }
    }
    #[inline(always)]
    unsafe fn wide_store(v: __m512d, to: *mut f64) {
        unsafe { _mm512_storeu_pd(to, v) }
    }
    #[inline(always)]
    unsafe fn wide_mul_add(a: __m512d, b: __m512d, c: __m512d) -> __m512d {
        unsafe { _mm512_fmadd_pd(a, b, c) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(v: __m512, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(b, a) }
    }
    #[inline(always)]
    unsafe fn above(a: __m512, b: __m512) -> u16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }
    #[inline(always)]
    unsafe fn transposed(rows: &[[f32; LANES]; LANES]) -> [[f32; LANES]; LANES] {
        let mut columns = [[0.0; LANES]; LANES];
        // SAFETY: sixteen values each.
        unsafe {
            let mut v = [_mm512_setzero_ps(); LANES];
            for i in 0..LANES {
                v[i] = _mm512_loadu_ps(rows[i].as_ptr());
            }
            transpose(&mut v);
            for i in 0..LANES {
                _mm512_storeu_ps(columns[i].as_mut_ptr(), v[i]);
            }
        }
        columns
    }
    #[inline(always)]
    unsafe fn halves(v: __m512) -> [__m512; 2] {
        unsafe {
            let bits = _mm512_castps_si512(v);
            let high = _mm512_and_si512(bits, _mm512_set1_epi32(0xffff_0000u32 as i32));
            [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)), _mm512_castsi512_ps(high)]
        }
    }
}

/// In registers: pairs of values, pairs of pairs, then twice the quarters of registers.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
#[inline]
fn transpose(v: &mut [__m512; LANES]) {
    let pd = _mm512_castps_pd;
    for i in (0..LANES).step_by(4) {
        let [a, b, c, d] = [v[i], v[i + 1], v[i + 2], v[i + 3]];
        let (low, high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let (next_low, next_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        v[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(low), pd(next_low)));
        v[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(low), pd(next_low)));
        v[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(high), pd(next_high)));
        v[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(high), pd(next_high)));
    }
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    for i in 0..4 {
        let [a, b, c, d] = [v[i], v[4 + i], v[8 + i], v[12 + i]];
        let (even, odd) = (_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<ODD>(a, b));
        let (next_even, next_odd) = (_mm512_shuffle_f32x4::<EVEN>(c, d), _mm512_shuffle_f32x4::<ODD>(c, d));
        v[i] = _mm512_shuffle_f32x4::<EVEN>(even, next_even);
        v[4 + i] = _mm512_shuffle_f32x4::<EVEN>(odd, next_odd);
        v[8 + i] = _mm512_shuffle_f32x4::<ODD>(even, next_even);
        v[12 + i] = _mm512_shuffle_f32x4::<ODD>(odd, next_odd);
    }
}

/// [`Avx512`] with products of bf16.
pub struct Avx512Bf16;

impl Simd for Avx512Bf16 {
    type V = __m512;
    type W = __m512d;
    const TILE: Tile = Tile::Wide;
    #[inline(always)]
    unsafe fn wide_splat(value: f64) -> __m512d {
        unsafe { Avx512::wide_splat(value) }
    }
    #[inline(always)]
    unsafe fn widened(from: *const f32) -> __m512d {
        unsafe { Avx512::widened(from) }
    }
    #[inline(always)]
    unsafe fn wide_load(from: *const f64) -> __m512d {
        unsafe { Avx512::wide_load(from) }
    }
    #[inline(always)]
    unsafe fn wide_store(v: __m512d, to: *mut f64) {
        unsafe { Avx512::wide_store(v, to) }
    }
    #[inline(always)]
    unsafe fn wide_mul_add(a: __m512d, b: __m512d, c: __m512d) -> __m512d {
        unsafe { Avx512::wide_mul_add(a, b, c) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { Avx512::splat(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { Avx512::load(from) }
    }
    #[inline(always)]
    unsafe fn store(v: __m512, to: *mut f32) {
        unsafe { Avx512::store(v, to) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { Avx512::mul_add(a, b, c) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { Avx512::add(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        unsafe { Avx512::max(a, b) }
    }
    #[inline(always)]
    unsafe fn above(a: __m512, b: __m512) -> u16 {
        unsafe { Avx512::above(a, b) }
    }
    #[inline(always)]
    unsafe fn transposed(rows: &[[f32; LANES]; LANES]) -> [[f32; LANES]; LANES] {
        unsafe { Avx512::transposed(rows) }
    }
    #[inline(always)]
    unsafe fn halves(v: __m512) -> [__m512; 2] {
        unsafe { Avx512::halves(v) }
    }
    #[inline(always)]
    unsafe fn mul_add_pairs(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_dpbf16_ps(c, transmute::<__m512, __m512bh>(a), transmute::<__m512, __m512bh>(b)) }
    }
    #[inline(always)]
    unsafe fn pair_neighbours(from: *const f32, to: *mut f32) {
        unsafe {
            let pairs = _mm512_cvtne2ps_pbh(Self::load(from.add(16)), Self::load(from));
            Self::store(transmute::<__m512bh, __m512>(pairs), to);
        }
    }
    #[inline(always)]
    unsafe fn pair_rows(low: *const f32, high: *const f32, to: *mut f32) {
        // Lane `i` of the result takes the 16 bits `i` of the first half and of the second.
        const FROM: [u32; 16] = {
            let mut lanes = [0; 16];
            let mut i = 0;
            while i < 16 {
                lanes[i] = i as u32 | (i as u32 + 16) << 16;
                i += 1;
            }
            lanes
        };
        unsafe {
            let halves = _mm512_cvtne2ps_pbh(Self::load(high), Self::load(low));
            let halves = transmute::<__m512bh, __m512i>(halves);
            let pairs = _mm512_permutexvar_epi16(transmute::<[u32; 16], __m512i>(FROM), halves);
            Self::store(_mm512_castsi512_ps(pairs), to);
        }
    }
}

/// Two 256-bit registers.
pub struct Avx2;

impl Simd for Avx2 {
    type V = [__m256; 2];
    type W = [__m256d; 2];
    const TILE: Tile = Tile::Narrow;
    #[inline(always)]
    unsafe fn wide_splat(value: f64) -> [__m256d; 2] {
        unsafe { [_mm256_set1_pd(value); 2] }
    }
    #[inline(always)]
    unsafe fn widened(from: *const f32) -> [__m256d; 2] {
        unsafe { [_mm256_cvtps_pd(_mm_loadu_ps(from)), _mm256_cvtps_pd(_mm_loadu_ps(from.add(4)))] }
    }
    #[inline(always)]
    unsafe fn wide_load(from: *const f64) -> [__m256d; 2] {
        unsafe { [_mm256_loadu_pd(from), _mm256_loadu_pd(from.add(4))] }
    }
    #[inline(always)]
    unsafe fn wide_store(v: [__m256d; 2], to: *mut f64) {
        unsafe {
            _mm256_storeu_pd(to, v[0]);
            _mm256_storeu_pd(to.add(4), v[1]);
        }
    }
    #[inline(always)]
    unsafe fn wide_mul_add(a: [__m256d; 2], b: [__m256d; 2], c: [__m256d; 2]) -> [__m256d; 2] {
        unsafe { [_mm256_fmadd_pd(a[0], b[0], c[0]), _mm256_fmadd_pd(a[1], b[1], c[1])] }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> [__m256; 2] {
        unsafe { [_mm256_set1_ps(value); 2] }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [__m256; 2] {
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }
    #[inline(always)]
    unsafe fn store(v: [__m256; 2], to: *mut f32) {
        unsafe {
            _mm256_storeu_ps(to, v[0]);
            _mm256_storeu_ps(to.add(8), v[1]);
        }
    }
    #[inline(always)]
    unsafe fn mul_add(a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }
    #[inline(always)]
    unsafe fn add(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn max(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_max_ps(b[0], a[0]), _mm256_max_ps(b[1], a[1])] }
    }
    #[inline(always)]
    unsafe fn above(a: [__m256; 2], b: [__m256; 2]) -> u16 {
        let eight = |i: usize| unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a[i], b[i])) };
        (eight(0) | eight(1) << 8) as u16
    }
    #[inline(always)]
    unsafe fn halves(v: [__m256; 2]) -> [[__m256; 2]; 2] {
        unsafe {
            let bits = v.map(|v| _mm256_castps_si256(v));
            let mask = _mm256_set1_epi32(0xffff_0000u32 as i32);
            let low = bits.map(|v| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(v)));
            [low, bits.map(|v| _mm256_castsi256_ps(_mm256_and_si256(v, mask)))]
        }
    }
}
