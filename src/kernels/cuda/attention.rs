//! Softmax attention inside each sequence: the host side of `device/attention.cu`.

use std::ops::Range;

use cudarc::driver::{CudaSlice, DriverError, sys::CUresult};
use ijepa_registry::tensor::Segments;

use super::super::MatmulPrecision;
use super::gpu::{Done, Gpu};
use super::launch::{Grid, args};
use super::values::{At, Values};

/// Rows that a block owns, and its threads.
const ROWS: usize = 64;
const THREADS: usize = 128;

/// Head sizes for which there are kernels; a head is padded to the next one.
const SIZES: [usize; 4] = [16, 32, 64, 96];

/// The largest head that attention takes.
pub const LARGEST_HEAD: usize = SIZES[SIZES.len() - 1];

/// Heads of a block.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// How many.
    pub count: usize,
    /// Columns of each.
    pub size: usize,
    /// How inputs of the products of attention are rounded.
    pub precision: MatmulPrecision,
}

impl Heads {
    /// The kernel of this name for these heads.
    fn kernel(self, name: &str) -> Done<String> {
        let padded = SIZES.into_iter().find(|s| self.size <= *s);
        let padded = padded.ok_or(DriverError(CUresult::CUDA_ERROR_INVALID_VALUE))?;
        let rounding = match self.precision {
            MatmulPrecision::F32 => "",
            MatmulPrecision::Tf32 => "_tf32",
            MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx => "_bf16",
        };
        Ok(format!("attention_{name}_{padded}{rounding}"))
    }
    fn scale(self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}

/// Rows of queries, keys and values of every sequence, on the device.
pub struct Sequences {
    table: CudaSlice<i32>,
    count: usize,
    /// Rows of queries in all.
    pub rows: usize,
    /// Blocks for the longest sequence: of queries, of keys.
    tiles: [usize; 2],
}

impl Sequences {
    /// Sequences whose queries are the `keep` tokens, sorted, or all of them.
    pub fn new(gpu: &Gpu, segments: &Segments, keep: Option<&[u32]>) -> Done<Sequences> {
        let before = |token: usize| keep.map_or(token, |k| k.partition_point(|i| (*i as usize) < token));
        let queries = segments.ranges().map(|keys| before(keys.start)..before(keys.end));
        Sequences::of(gpu, queries.zip(segments.ranges()), before(segments.rows()))
    }

    /// Segments of queries, each with one of keys.
    pub fn paired(gpu: &Gpu, queries: &Segments, keys: &Segments) -> Done<Sequences> {
        Sequences::of(gpu, queries.ranges().zip(keys.ranges()), queries.rows())
    }

    /// Ranges of queries and of keys, with `rows` queries in all.
    fn of(
        gpu: &Gpu,
        pairs: impl Iterator<Item = (Range<usize>, Range<usize>)>,
        rows: usize,
    ) -> Done<Sequences> {
        let (mut longest, mut table) = ([0, 0], Vec::new());
        for (queries, keys) in pairs {
            longest = [longest[0].max(queries.len()), longest[1].max(keys.len())];
            table.extend([queries.start, queries.len(), keys.start, keys.len()].map(|n| n as i32));
        }
        let (count, tiles) = (table.len() / 4, longest.map(|n| n.div_ceil(ROWS)));
        Ok(Sequences { table: gpu.upload(&table)?, count, rows, tiles })
    }
}

/// Queries, keys and values with their biases; rows are `strides` apart (queries; keys and values).
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    pub q: At,
    pub k: At,
    pub v: At,
    pub biases: [At; 3],
    pub strides: [usize; 2],
}

/// What forward leaves for backward: the output (rows, d) and the logarithms (heads, rows).
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub o: Values,
    pub lse: At,
}

/// Where gradients go; strides as in [`Operands`]. They are overwritten.
#[derive(Clone, Copy, Debug)]
pub struct Slopes {
    pub q: Values,
    pub k: Values,
    pub v: Values,
}

impl Gpu {
    /// `o = softmax(q k' / sqrt(size)) v`.
    pub fn attention(&self, heads: Heads, s: &Sequences, x: Operands, to: Output) -> Done<()> {
        let tiles = s.tiles[0];
        let [qb, kb, vb] = x.biases;
        let [q_stride, kv_stride] = x.strides;
        self.launch(
            &heads.kernel("forward")?,
            Grid::blocks(s.count * tiles, heads.count, THREADS),
            &args![
                x.q,
                qb,
                q_stride,
                x.k,
                x.v,
                kb,
                vb,
                kv_stride,
                &s.table,
                to.o,
                to.lse,
                s.rows,
                tiles,
                heads.size,
                heads.scale()
            ],
        )
    }

    /// Gradients of queries, keys and values from that of the output, `d_o` (rows, d).
    pub fn attention_back(
        &self,
        heads: Heads,
        s: &Sequences,
        x: Operands,
        from: Output,
        d_o: At,
        to: Slopes,
    ) -> Done<()> {
        let delta = self.floats(heads.count * s.rows)?;
        let size = heads.size;
        let grid = Grid::warps(s.rows).times(heads.count);
        self.launch("attention_delta", grid, &args![d_o, from.o, &delta, s.rows, heads.count, size])?;
        let [qb, kb, vb] = x.biases;
        let [q_stride, kv_stride] = x.strides;
        let [q_tiles, k_tiles] = s.tiles;
        self.launch(
            &heads.kernel("queries")?,
            Grid::blocks(s.count * q_tiles, heads.count, THREADS),
            &args![
                x.q,
                qb,
                q_stride,
                x.k,
                x.v,
                kb,
                vb,
                kv_stride,
                &s.table,
                d_o,
                from.lse,
                &delta,
                to.q,
                q_stride,
                s.rows,
                q_tiles,
                size,
                heads.scale()
            ],
        )?;
        self.launch(
            &heads.kernel("keys")?,
            Grid::blocks(s.count * k_tiles, heads.count, THREADS),
            &args![
                x.q,
                qb,
                q_stride,
                x.k,
                x.v,
                kb,
                vb,
                kv_stride,
                &s.table,
                d_o,
                from.lse,
                &delta,
                to.k,
                to.v,
                kv_stride,
                s.rows,
                k_tiles,
                size,
                heads.scale()
            ],
        )
    }
}
