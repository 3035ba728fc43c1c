//! Sixteen lanes of `f32`, and functions compiled once per instruction set.
//!
//! Loops are plain Rust that the compiler turns into vector instructions. The standard build targets
//! the oldest 64-bit processors, so [`vectorised!`] compiles a body several times and picks the widest
//! version that the machine supports when it is called. Every version does the same arithmetic in the
//! same order (fused multiply-adds, sums over sixteen lanes), so all give the same bits.
//!
//! A body that reaches the compiler through a call that is not inlined loses its instruction set and
//! becomes many times slower: everything used inside a `vectorised!` body must be `#[inline(always)]`.

/// Lanes that a loop handles at once: one AVX-512 register, two AVX2 ones, four NEON ones.
pub const LANES: usize = 16;

/// Instruction sets that a body is compiled for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// AVX-512 (F, BW, DQ, VL) with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the build targets.
    Portable,
}

/// The widest level that this machine runs. The standard library caches the answer.
#[inline]
pub fn level() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi2");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx512, avx2) {
            (true, true) => return Level::Avx512,
            (false, true) => return Level::Avx2,
            _ => (),
        }
    }
    Level::Portable
}

/// Defines a function whose body is compiled for each [`Level`] and chosen at run time.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi2")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
            match $crate::kernels::simd::level() {
                // SAFETY: `level` has just found every instruction set that these versions use.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                $crate::kernels::simd::Level::Portable => body($($arg),*),
            }
        }
    };
}
pub(crate) use vectorised;

/// A vector register's worth of values.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; LANES]);

impl Lanes {
    /// All lanes zero.
    pub const ZERO: Lanes = Lanes([0.0; LANES]);

    /// The same value in all lanes.
    #[inline(always)]
    pub fn splat(value: f32) -> Self {
        Lanes([value; LANES])
    }
    /// `self * factor + addend`, rounded once.
    #[inline(always)]
    pub fn mul_add(self, factor: Lanes, addend: Lanes) -> Self {
        let mut out = addend;
        for i in 0..LANES {
            out.0[i] = self.0[i].mul_add(factor.0[i], addend.0[i]);
        }
        out
    }
    /// Sixteen values from memory.
    ///
    /// # Safety
    /// `from` must be valid for reads of sixteen `f32`.
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller guarantees the range; the read needs no alignment.
        Lanes(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }
    /// Sixteen values to memory.
    ///
    /// # Safety
    /// `to` must be valid for writes of sixteen `f32`.
    #[inline(always)]
    pub unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller guarantees the range; the write needs no alignment.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }
}
