//! Sixteen lanes of `f32`, and functions compiled once per instruction set.
//!
//! Loops are plain Rust that the compiler turns into vector instructions. The standard build targets
//! the oldest 64-bit processors, so [`vectorised!`] compiles a body several times and picks the widest
//! version that the machine supports when it is called. Every version does the same arithmetic in the
//! same order (fused multiply-adds, sums over sixteen lanes), so all give the same bits.
//!
//! A body that reaches the compiler through a call that is not inlined loses its instruction set and
//! becomes many times slower: everything used inside a `vectorised!` body must be `#[inline(always)]`.

use std::sync::atomic::{AtomicU8, Ordering};

use super::bf16::pair;
pub use matrix_units::{Block, MatrixUnits, TILE};

mod matrix_units;

/// Lanes that a loop handles at once: one AVX-512 register, two AVX2 ones, four NEON ones.
pub const LANES: usize = 16;

/// Lanes of `f64` that take as much room.
const WIDE_LANES: usize = 8;

/// Instruction sets that a body is compiled for, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Whatever the build targets.
    Portable,
    /// AVX2 with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 (F, BW, DQ, VL) with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same with products of bf16.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
}

impl Level {
    /// All levels that a build for this architecture knows.
    #[cfg(target_arch = "x86_64")]
    pub const ALL: [Level; 4] = [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Bf16];
    /// All levels that a build for this architecture knows.
    #[cfg(not(target_arch = "x86_64"))]
    pub const ALL: [Level; 1] = [Level::Portable];
    const WIDEST: Level = Level::ALL[Level::ALL.len() - 1];

    fn from_number(n: u8) -> Level {
        Level::ALL[usize::from(n)]
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Level::Portable => "any processor (slow)",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16 => "AVX-512 with bf16",
        })
    }
}

/// The level in use, as its number plus one; 0 until it is first asked for.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The widest level that this machine runs, or what [`limit_level`] left of it.
#[inline]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        0 => limit_level(Level::WIDEST),
        n => Level::from_number(n - 1),
    }
}

/// Whether the level in use has an instruction for products of bf16.
pub fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return level() == Level::Avx512Bf16;
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether the level in use goes with matrix units for products of bf16.
pub fn has_matrix_units() -> bool {
    MatrixUnits::take().is_some()
}

/// Uses no wider level than `limit` from now on; returns the one in use. For tests.
pub fn limit_level(limit: Level) -> Level {
    let level = widest_level().min(limit);
    LEVEL.store(level as u8 + 1, Ordering::Relaxed);
    level
}

/// The widest level that this machine runs.
pub fn widest_level() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi2");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx2, avx512, is_x86_feature_detected!("avx512bf16")) {
            (true, true, true) => Level::Avx512Bf16,
            (true, true, false) => Level::Avx512,
            (true, false, _) => Level::Avx2,
            (false, ..) => Level::Portable,
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    Level::Portable
}

/// Defines a function whose body is compiled for each [`Level`] and chosen at run time. Written
/// `fn name<S>(...)`, its body may use `S`, the level's implementation of [`Simd`].
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident$(<$simd:ident>)?($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body$(<$simd: $crate::kernels::cpu::simd::Simd>)?($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
            fn avx512_bf16($($arg: $ty),*) $(-> $ret)? {
                $(type $simd = $crate::kernels::cpu::simd::Avx512Bf16;)?
                body$(::<$simd>)?($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                $(type $simd = $crate::kernels::cpu::simd::Avx512;)?
                body$(::<$simd>)?($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi2")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                $(type $simd = $crate::kernels::cpu::simd::Avx2;)?
                body$(::<$simd>)?($($arg),*)
            }
            fn portable($($arg: $ty),*) $(-> $ret)? {
                $(type $simd = $crate::kernels::cpu::simd::Portable;)?
                body$(::<$simd>)?($($arg),*)
            }
            match $crate::kernels::cpu::simd::level() {
                // SAFETY: `level` has just found every instruction set that these versions use.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::simd::Level::Avx512Bf16 => unsafe { avx512_bf16($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                $crate::kernels::cpu::simd::Level::Portable => portable($($arg),*),
            }
        }
    };
}
pub(crate) use vectorised;

/// Sixteen values in registers, for the loops that the compiler does not vectorise well by itself.
///
/// # Safety
/// All functions need the level's instruction set and are only sound inside a `vectorised!` body of that
/// level; `load` and `store` need sixteen values at the pointer, with any alignment, `pair_neighbours`
/// thirty-two to read, and those of `f64` eight.
pub trait Simd {
    /// Sixteen `f32`.
    type V: Copy;
    /// Eight `f64`, in memory as such: the defaults below read and write it there.
    type W: Copy;
    /// Rows of the register tile of a matrix product.
    const TILE: Tile;
    /// All lanes the same.
    unsafe fn splat(value: f32) -> Self::V;
    /// From memory.
    unsafe fn load(from: *const f32) -> Self::V;
    /// To memory.
    unsafe fn store(v: Self::V, to: *mut f32);
    /// `a b + c`, rounded once.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// All eight lanes the same.
    #[inline(always)]
    unsafe fn wide_splat(value: f64) -> Self::W {
        // SAFETY: eight values.
        unsafe { Self::wide_load([value; WIDE_LANES].as_ptr()) }
    }
    /// Eight `f32` from memory, as `f64`.
    #[inline(always)]
    unsafe fn widened(from: *const f32) -> Self::W {
        // SAFETY: the caller's, and eight values.
        unsafe {
            let narrow = from.cast::<[f32; WIDE_LANES]>().read_unaligned();
            Self::wide_load(narrow.map(f64::from).as_ptr())
        }
    }
    /// Eight `f64` from memory.
    #[inline(always)]
    unsafe fn wide_load(from: *const f64) -> Self::W {
        // SAFETY: the caller's; `W` lies in memory as its values do.
        unsafe { from.cast::<Self::W>().read_unaligned() }
    }
    /// Eight `f64` to memory.
    #[inline(always)]
    unsafe fn wide_store(v: Self::W, to: *mut f64) {
        // SAFETY: as above.
        unsafe { to.cast::<Self::W>().write_unaligned(v) }
    }
    /// `a b + c` of `f64`, rounded once.
    #[inline(always)]
    unsafe fn wide_mul_add(a: Self::W, b: Self::W, c: Self::W) -> Self::W {
        let lanes = |v: Self::W| {
            let mut lanes = [0.0; WIDE_LANES];
            // SAFETY: eight values.
            unsafe { Self::wide_store(v, lanes.as_mut_ptr()) };
            lanes
        };
        let (a, b, c) = (lanes(a), lanes(b), lanes(c));
        let sums: [f64; WIDE_LANES] = std::array::from_fn(|i| a[i].mul_add(b[i], c[i]));
        // SAFETY: eight values.
        unsafe { Self::wide_load(sums.as_ptr()) }
    }
    /// `a + b`.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each pair; `a` where they do not compare.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// Bit `i` says whether lane `i` of `a` exceeds that of `b`.
    unsafe fn above(a: Self::V, b: Self::V) -> u16;
    /// Sixteen rows from memory, as columns.
    #[inline(always)]
    unsafe fn transposed(rows: &[[f32; LANES]; LANES]) -> [[f32; LANES]; LANES] {
        let mut columns = [[0.0; LANES]; LANES];
        for (r, row) in rows.iter().enumerate() {
            for (column, v) in columns.iter_mut().zip(row) {
                column[r] = *v;
            }
        }
        columns
    }
    /// Each lane as two bf16, see [`super::bf16`]: the lower and the upper ones.
    unsafe fn halves(v: Self::V) -> [Self::V; 2];
    /// `c` plus the products of the upper bf16 of every lane, then plus those of the lower ones.
    #[inline(always)]
    unsafe fn mul_add_pairs(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: the caller's.
        unsafe {
            let ([a_low, a_high], [b_low, b_high]) = (Self::halves(a), Self::halves(b));
            Self::mul_add(a_low, b_low, Self::mul_add(a_high, b_high, c))
        }
    }
    /// Sixteen pairs of neighbours, from thirty-two values.
    #[inline(always)]
    unsafe fn pair_neighbours(from: *const f32, to: *mut f32) {
        for i in 0..LANES {
            // SAFETY: the caller's.
            unsafe { *to.add(i) = pair(*from.add(2 * i), *from.add(2 * i + 1)) }
        }
    }
    /// Sixteen pairs, each a value of `low` and the one of `high` in the same lane.
    #[inline(always)]
    unsafe fn pair_rows(low: *const f32, high: *const f32, to: *mut f32) {
        for i in 0..LANES {
            // SAFETY: the caller's.
            unsafe { *to.add(i) = pair(*low.add(i), *high.add(i)) }
        }
    }
}

/// Shape of the register tile: accumulators must hide the latency of multiply-adds and fit the registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tile {
    /// 12 rows by 2 vectors: 24 of 32 registers of 16 lanes.
    Wide,
    /// 6 rows by 1 vector: 12 of 16 registers of 8 lanes.
    Narrow,
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512, Avx512Bf16};

#[cfg(target_arch = "x86_64")]
mod x86;

/// What the build target has: NEON on 64-bit ARM, else left to the compiler.
pub struct Portable;

// SAFETY of every pointer access below: the contract of `Simd`.
#[cfg(target_arch = "aarch64")]
impl Simd for Portable {
    type V = [std::arch::aarch64::float32x4_t; 4];
    type W = [f64; WIDE_LANES];
    const TILE: Tile = Tile::Narrow;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        unsafe { [std::arch::aarch64::vdupq_n_f32(value); 4] }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        use std::arch::aarch64::vld1q_f32;
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))] }
    }
    #[inline(always)]
    unsafe fn store(v: Self::V, to: *mut f32) {
        for (i, v) in v.into_iter().enumerate() {
            unsafe { std::arch::aarch64::vst1q_f32(to.add(4 * i), v) }
        }
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
        for i in 0..4 {
            c[i] = unsafe { std::arch::aarch64::vfmaq_f32(c[i], a[i], b[i]) };
        }
        c
    }
    #[inline(always)]
    unsafe fn add(mut a: Self::V, b: Self::V) -> Self::V {
        for i in 0..4 {
            a[i] = unsafe { std::arch::aarch64::vaddq_f32(a[i], b[i]) };
        }
        a
    }
    #[inline(always)]
    unsafe fn max(mut a: Self::V, b: Self::V) -> Self::V {
        use std::arch::aarch64::{vbslq_f32, vcgtq_f32};
        for i in 0..4 {
            a[i] = unsafe { vbslq_f32(vcgtq_f32(b[i], a[i]), b[i], a[i]) };
        }
        a
    }
    #[inline(always)]
    unsafe fn above(a: Self::V, b: Self::V) -> u16 {
        use std::arch::aarch64::{vaddvq_u32, vandq_u32, vcgtq_f32, vld1q_u32};
        let bits = unsafe { vld1q_u32([1, 2, 4, 8].as_ptr()) };
        let four = |i: usize| unsafe { vaddvq_u32(vandq_u32(vcgtq_f32(a[i], b[i]), bits)) } << (4 * i);
        (four(0) | four(1) | four(2) | four(3)) as u16
    }
    #[inline(always)]
    unsafe fn halves(v: Self::V) -> [Self::V; 2] {
        use std::arch::aarch64::*;
        let low = |v| unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(v))) };
        let mask = unsafe { vdupq_n_u32(0xffff_0000) };
        let high = |v| unsafe { vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), mask)) };
        [v.map(low), v.map(high)]
    }
}

#[cfg(not(target_arch = "aarch64"))]
impl Simd for Portable {
    type V = [f32; LANES];
    type W = [f64; WIDE_LANES];
    const TILE: Tile = Tile::Narrow;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(v: Self::V, to: *mut f32) {
        unsafe { to.cast::<Self::V>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if b[i] > a[i] { b[i] } else { a[i] })
    }
    #[inline(always)]
    unsafe fn above(a: Self::V, b: Self::V) -> u16 {
        (0..LANES).fold(0, |bits, i| bits | u16::from(a[i] > b[i]) << i)
    }
    #[inline(always)]
    unsafe fn halves(v: Self::V) -> [Self::V; 2] {
        let bits = v.map(f32::to_bits);
        [bits.map(|b| f32::from_bits(b << 16)), bits.map(|b| f32::from_bits(b & 0xffff_0000))]
    }
}
