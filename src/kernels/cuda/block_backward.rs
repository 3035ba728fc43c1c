//! One transformer block, backward.

use super::attention::Slopes;
use super::block::{Batch, Layer, Projected, Saved, Tensors};
use super::gpu::{Done, Gpu};
use super::launch::{Arg, Grid, args};
use super::sums::{Sums, chunks};
use super::values::{At, Floats, Operand, Values, at, floats};

/// A gradient of rows: in f32, and as products read it, which is the same or a rounded copy.
#[derive(Clone, Copy, Debug)]
pub struct Slope {
    pub full: At,
    pub operand: Values,
}

/// Memory for one.
pub struct OwnedSlope {
    full: Floats,
    half: Option<Operand>,
}

impl OwnedSlope {
    pub fn slope(&self) -> Slope {
        let full = at(&self.full);
        Slope { full, operand: self.half.as_ref().map_or(full.into(), Operand::values) }
    }
}

impl Gpu {
    /// Memory for a gradient of rows that the products of a layer read.
    pub fn slope(&self, layer: &Layer, rows: usize) -> Done<OwnedSlope> {
        let len = rows * layer.d;
        Ok(OwnedSlope { full: self.floats(len)?, half: self.rounded_copy(layer, len)? })
    }

    /// Memory for a rounded copy of values that the products of a layer read; none where they read f32.
    pub fn rounded_copy(&self, layer: &Layer, len: usize) -> Done<Option<Operand>> {
        let rounds = layer.precision.is_bf16();
        rounds.then(|| self.operand(layer.precision, len)).transpose()
    }

    /// Adds the gradients of the block's tensors to `to`, and writes that of its input (tokens, d) to
    /// `dx`, or adds it, from the gradient `dy` (rows, d) of its output.
    pub fn block_back(
        &self,
        layer: &Layer,
        batch: &Batch,
        saved: &Saved,
        dy: Slope,
        to: &Tensors,
        (dx, accumulate): (Slope, bool),
    ) -> Done<()> {
        let (d, rows, n, v, w) = (layer.d, batch.rows(), batch.tokens, layer.values, layer.weights);
        let mut sums = Sums::default();
        let dy2 = self.mlp_back(layer, saved, dy, to, &mut sums)?;
        let owned = self.slope(layer, rows)?;
        let dx2 = owned.slope();
        let (x2, stats2) = (at(&saved.x2), at(&saved.norm2.stats));
        let args =
            args![x2, stats2, v.norm2[0], &dy2, dy.full, dx2.full, dx2.operand.rounded(), rows, d, false];
        self.launch("norm_backward", Grid::warps(rows), &args)?;
        sums.norm(self, (x2, stats2), at(&dy2), (rows, d), to.norm2)?;
        let d_o = self.floats(rows * d)?;
        self.map_back(layer.map(rows, d, d), dx2.operand, w.proj, at(&d_o), false)?;
        self.map_weight(layer.map(rows, d, d), dx2.operand, saved.o.values(), to.proj[0])?;
        sums.columns(self, dx2.full, rows, d, to.proj[1])?;
        let dy1 = self.attend_back((layer, batch), saved, at(&d_o), to, &mut sums)?;
        let stats1 = at(&saved.norm1.stats);
        let pass = if batch.kept.is_some() { 0 } else { dx2.full };
        // Where rows are added below, the copy is made afterwards.
        let half = if batch.kept.is_some() { 0 } else { dx.operand.rounded() };
        let args = args![saved.x, stats1, v.norm1[0], &dy1, pass, dx.full, half, n, d, accumulate];
        self.launch("norm_backward", Grid::warps(n), &args)?;
        sums.norm(self, (saved.x, stats1), at(&dy1), (n, d), to.norm1)?;
        sums.finish(self)?;
        let Some(back) = batch.back() else { return Ok(()) };
        self.scatter_add(dx2.full, back, dx.full, d)?;
        self.round(dx, n * d)
    }

    /// Makes the rounded copy of a gradient of `len` values, if products read one.
    pub fn round(&self, slope: Slope, len: usize) -> Done<()> {
        match slope.operand.rounded() {
            0 => Ok(()),
            half => {
                let args = args![slope.full, half, Arg::Long(len as i64)];
                self.launch("round_rows", Grid::elements(len), &args)
            }
        }
    }

    /// The gradient of the second norm's output.
    fn mlp_back(
        &self,
        layer: &Layer,
        saved: &Saved,
        dy: Slope,
        to: &Tensors,
        sums: &mut Sums,
    ) -> Done<Floats> {
        let (d, f, v, w, rows) = (layer.d, layer.hidden, layer.values, layer.weights, saved.rows);
        let owned = self.operand(layer.precision, rows * f)?;
        let da = owned.values();
        self.map_back(layer.map(rows, f, d), dy.operand, w.fc2, da, false)?;
        self.map_weight(layer.map(rows, f, d), dy.operand, saved.a.values(), to.fc2[0])?;
        sums.columns(self, dy.full, rows, d, to.fc2[1])?;
        let (chunk, count) = chunks(rows);
        let part = sums.part(self, rows, f, &[to.fc1[1]])?;
        // From here on the gradient before the GELU.
        let threads = if f.is_multiple_of(2) { f / 2 } else { f };
        let args = args![&saved.h, v.fc1[1], da, part, rows, f, chunk];
        self.launch("gelu_backward", Grid::elements(threads).times(count), &args)?;
        let dy2 = self.floats(rows * d)?;
        self.map_back(layer.map(rows, d, f), da, w.fc1, at(&dy2), false)?;
        self.map_weight(layer.map(rows, d, f), da, saved.norm2.y.values(), to.fc1[0])?;
        Ok(dy2)
    }

    /// The gradient of the first norm's output.
    fn attend_back(
        &self,
        (layer, batch): (&Layer, &Batch),
        saved: &Saved,
        d_o: At,
        to: &Tensors,
        sums: &mut Sums,
    ) -> Done<Floats> {
        let (d, n, rows, w) = (layer.d, batch.tokens, batch.rows(), layer.weights.qkv);
        let (y1, [dw, db]) = (saved.norm1.y.values(), to.qkv);
        let x = saved.projected.operands(d, layer.values.qkv[1]);
        let back =
            |slopes| self.attention_back(layer.heads, &batch.sequences, x, saved.attended(), d_o, slopes);
        let dy1 = self.floats(n * d)?;
        match &saved.projected {
            Projected::Together { .. } => {
                let dqkv = self.operand(layer.precision, n * 3 * d)?;
                let q = dqkv.values();
                back(Slopes { q, k: q.skip(d), v: q.skip(2 * d) })?;
                sums.columns(self, q, n, 3 * d, db)?;
                self.map_weight(layer.map(n, d, 3 * d), q, y1, dw)?;
                self.map_back(layer.map(n, d, 3 * d), q, w, at(&dy1), false)?;
                sums.hold(dqkv);
            }
            Projected::Apart { y, .. } => {
                let operand = |len| self.operand(layer.precision, len);
                let (dq, dkv) = (operand(rows * d)?, operand(n * 2 * d)?);
                let (q, k) = (dq.values(), dkv.values());
                back(Slopes { q, k, v: k.skip(d) })?;
                sums.columns(self, q, rows, d, db)?;
                sums.columns(self, k, n, 2 * d, db + floats(d))?;
                self.map_weight(layer.map(rows, d, d), q, y.values(), dw)?;
                self.map_weight(layer.map(n, d, 2 * d), k, y1, dw + floats(d * d))?;
                self.map_back(layer.map(n, d, 2 * d), k, w.skip(d * d), at(&dy1), false)?;
                let picked = self.floats(rows * d)?;
                self.map_back(layer.map(rows, d, d), q, w, at(&picked), false)?;
                if let Some(back) = batch.back() {
                    self.scatter_add(at(&picked), back, at(&dy1), d)?;
                }
                sums.hold(dq);
                sums.hold(dkv);
            }
        }
        Ok(dy1)
    }
}
