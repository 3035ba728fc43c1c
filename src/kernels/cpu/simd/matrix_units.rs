//! Intel's matrix units (AMX) for products of bf16: eight registers of 16 rows by 64 bytes, for as long as
//! [`MatrixUnits`] lives.

use super::LANES;

/// Rows of a register, and pairs of bf16 in a row of it.
pub const TILE: usize = LANES;

/// Sums that are computed at a time: two registers high, two wide; every row lies in two lines of the cache.
#[repr(align(64))]
pub struct Block(pub [f32; 4 * TILE * TILE]);

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use there::MatrixUnits;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod there {
    use std::{arch::asm, ffi::c_long, sync::LazyLock};

    use super::{Block, TILE};
    use crate::kernels::cpu::simd::multiplies_bf16;

    /// The registers of this thread: 0 to 3 for sums, row by row, 4 and 5 for the left factor, 6 and 7 for the right.
    pub struct MatrixUnits {
        /// Rows of the block that they are shaped for.
        rows: usize,
    }

    /// What `ldtilecfg` reads: Intel's manual, volume 1, section 18.3.
    #[derive(Default)]
    #[repr(C, align(64))]
    struct Shape {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        bytes: [u16; 16],
        rows: [u8; 16],
    }

    impl MatrixUnits {
        /// The units of this thread, if there are any and the level in use lets them be.
        pub fn take() -> Option<Self> {
            static PERMITTED: LazyLock<bool> = LazyLock::new(permitted);
            (multiplies_bf16() && *PERMITTED).then_some(MatrixUnits { rows: 0 })
        }

        /// Shapes the registers for blocks of so many rows.
        fn shape(&mut self, rows: usize) {
            if self.rows == rows {
                return;
            }
            // The second register of rows has one where the first holds all: none is no shape.
            let high = [rows.min(TILE), rows.saturating_sub(TILE).max(1)].map(|rows| rows as u8);
            let mut shape = Shape { palette: 1, ..Shape::default() };
            shape.bytes[..8].fill((TILE * size_of::<f32>()) as u16);
            shape.rows[..8].copy_from_slice(&[
                high[0], high[0], high[1], high[1], high[0], high[1], TILE as u8, TILE as u8,
            ]);
            // SAFETY: there are units, and the registers hold nothing between two blocks.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &shape, options(nostack, readonly)) };
            self.rows = rows;
        }

        /// Asks for the rows of an output, of `2 TILE` values, while the sums that go there are computed.
        pub fn expect(&self, out: &[f32], stride: usize, rows: usize) {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            for row in out.chunks(stride).take(rows) {
                // SAFETY: an address that nobody reads here.
                unsafe {
                    _mm_prefetch::<_MM_HINT_ET0>(row.as_ptr().cast());
                    _mm_prefetch::<_MM_HINT_ET0>(row.as_ptr().wrapping_add(TILE).cast());
                }
            }
        }

        /// The sums of a block: rows of `a`, `height` pairs each, one after the other, times `b`, `height` rows of `2 TILE`
        /// pairs.
        pub fn add_up(&mut self, a: &[f32], b: &[f32], height: usize, sums: &mut Block) {
            let rows = a.len() / height;
            assert!(rows > 0 && rows <= 2 * TILE && a.len() == rows * height && height.is_multiple_of(TILE));
            assert_eq!(b.len(), height * 2 * TILE, "a panel");
            self.shape(rows);
            let upper = a.as_ptr();
            // SAFETY: within `a`, whose rows beyond the first `TILE` begin there; where there are none, the one row that the
            // second register has is the first again, and its sums are in the way of nobody's.
            let lower = if rows > TILE { unsafe { upper.add(TILE * height) } } else { upper };
            // SAFETY: there are units, shaped for so many rows; every step of the loop reads 64 bytes of each row of `a`
            // and `TILE` rows of `b`, of which there are `tiles`; a block has room for all rows of the sums. A row of a
            // panel, and of a block, has 128 bytes.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    // Three registers of rows ahead, beyond this panel too: the next one usually follows.
                    ".irp line, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                    "prefetcht0 [{right} + 3 * 16 * 128 + 128 * \\line]",
                    "prefetcht0 [{right} + 3 * 16 * 128 + 128 * \\line + 64]",
                    ".endr",
                    "tileloadd tmm4, [{upper} + {row}]",
                    "tileloadd tmm6, [{right} + {panel}]",
                    "tileloadd tmm7, [{right} + {panel} + 64]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{lower} + {row}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {upper}, 64",
                    "add {lower}, 64",
                    "add {right}, 16 * 128",
                    "dec {tiles}",
                    "jnz 2b",
                    "tilestored [{sums} + {panel}], tmm0",
                    "tilestored [{sums} + {panel} + 64], tmm1",
                    "tilestored [{sums} + {panel} + 16 * 128], tmm2",
                    "tilestored [{sums} + {panel} + 16 * 128 + 64], tmm3",
                    upper = inout(reg) upper => _,
                    lower = inout(reg) lower => _,
                    right = inout(reg) b.as_ptr() => _,
                    row = in(reg) height * size_of::<f32>(),
                    panel = in(reg) 128usize,
                    tiles = inout(reg) height / TILE => _,
                    sums = in(reg) sums.0.as_mut_ptr(),
                    options(nostack),
                );
            }
        }
    }

    impl Drop for MatrixUnits {
        /// Registers in use would have to be kept at every change of threads.
        fn drop(&mut self) {
            if self.rows > 0 {
                // SAFETY: there are units; nobody uses what they hold any more.
                unsafe { asm!("tilerelease", options(nomem, nostack)) };
            }
        }
    }

    /// Whether there are units for bf16, and the system gives this process their registers, which it does where it is asked.
    fn permitted() -> bool {
        const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
        // From <asm/unistd_64.h> and <asm/prctl.h>, parts of the kernel's stable interface.
        const SYS_ARCH_PRCTL: c_long = 158;
        const ARCH_REQ_XCOMP_PERM: c_long = 0x1023;
        const XFEATURE_XTILEDATA: c_long = 18;
        unsafe extern "C" {
            fn syscall(number: c_long, ...) -> c_long;
        }
        let leaf = |leaf| std::arch::x86_64::__cpuid_count(leaf, 0);
        let there = leaf(0).eax >= 7 && leaf(7).edx & BF16_AND_TILES == BF16_AND_TILES;
        // SAFETY: the call changes nothing but what this process may use; a kernel that does not know it refuses.
        there && unsafe { syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) } == 0
    }
}

/// There are none.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub enum MatrixUnits {}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
impl MatrixUnits {
    /// None.
    pub fn take() -> Option<Self> {
        None
    }
    /// Never called.
    pub fn expect(&self, _out: &[f32], _stride: usize, _rows: usize) {
        match *self {}
    }
    /// Never called.
    pub fn add_up(&mut self, _a: &[f32], _b: &[f32], _height: usize, _sums: &mut Block) {
        match *self {}
    }
}
