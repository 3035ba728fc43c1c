//! One transformer block, backward.

use super::address::At;
use super::attention::Slopes;
use super::block::{Batch, Floats, Layer, Projected, Saved, Tensors, at, floats};
use super::gpu::{Done, Gpu};
use super::launch::{Grid, args};
use super::sums::{Sums, chunks};

impl Gpu {
    /// Adds the gradients of the block's tensors to `to`, and writes that of its input (tokens, d) to
    /// `dx`, or adds it, from the gradient `dy` (rows, d) of its output.
    pub fn block_back(
        &self,
        layer: &Layer,
        batch: &Batch,
        saved: &Saved,
        dy: At,
        to: &Tensors,
        (dx, accumulate): (At, bool),
    ) -> Done<()> {
        let (d, rows, n, v) = (layer.d, batch.rows(), batch.tokens, layer.values);
        let mut sums = Sums::default();
        let dy2 = self.mlp_back(layer, saved, dy, to, &mut sums)?;
        let dx2 = self.floats(rows * d)?;
        let (x2, stats2) = (at(&saved.x2), at(&saved.norm2.stats));
        let args = args![x2, stats2, v.norm2[0], &dy2, dy, &dx2, rows, d, false];
        self.launch("norm_backward", Grid::warps(rows), &args)?;
        sums.norm(self, (x2, stats2), at(&dy2), (rows, d), to.norm2)?;
        let d_o = self.floats(rows * d)?;
        self.map_back(layer.map(rows, d, d), at(&dx2), v.proj[0], at(&d_o), false)?;
        self.map_weight(layer.map(rows, d, d), at(&dx2), at(&saved.o), to.proj[0])?;
        sums.columns(self, at(&dx2), rows, d, to.proj[1])?;
        let dy1 = self.attend_back((layer, batch), saved, at(&d_o), to, &mut sums)?;
        let stats1 = at(&saved.norm1.stats);
        let pass = if batch.kept.is_some() { 0 } else { at(&dx2) };
        let args = args![saved.x, stats1, v.norm1[0], &dy1, pass, dx, n, d, accumulate];
        self.launch("norm_backward", Grid::warps(n), &args)?;
        sums.norm(self, (saved.x, stats1), at(&dy1), (n, d), to.norm1)?;
        sums.finish(self)?;
        match batch.back() {
            Some(back) => self.scatter_add(at(&dx2), back, dx, d),
            None => Ok(()),
        }
    }

    /// The gradient of the second norm's output.
    fn mlp_back(&self, layer: &Layer, saved: &Saved, dy: At, to: &Tensors, sums: &mut Sums) -> Done<Floats> {
        let (d, f, v, rows) = (layer.d, layer.hidden, layer.values, saved.rows);
        let da = self.floats(rows * f)?;
        self.map_back(layer.map(rows, f, d), dy, v.fc2[0], at(&da), false)?;
        self.map_weight(layer.map(rows, f, d), dy, at(&saved.a), to.fc2[0])?;
        sums.columns(self, dy, rows, d, to.fc2[1])?;
        let (chunk, count) = chunks(rows);
        let part = sums.part(self, rows, f, &[to.fc1[1]])?;
        let args = args![&saved.h, v.fc1[1], &da, part, rows, f, chunk];
        self.launch("gelu_backward", Grid::elements(f).times(count), &args)?;
        let dy2 = self.floats(rows * d)?;
        self.map_back(layer.map(rows, d, f), at(&da), v.fc1[0], at(&dy2), false)?;
        self.map_weight(layer.map(rows, d, f), at(&da), at(&saved.norm2.y), to.fc1[0])?;
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
        let (d, n, rows) = (layer.d, batch.tokens, batch.rows());
        let (y1, [w, b], [dw, db]) = (at(&saved.norm1.y), layer.values.qkv, to.qkv);
        let x = saved.projected.operands(d, b);
        let back =
            |slopes| self.attention_back(layer.heads, &batch.sequences, x, saved.attended(), d_o, slopes);
        let dy1 = self.floats(n * d)?;
        match &saved.projected {
            Projected::Together { .. } => {
                let dqkv = self.floats(n * 3 * d)?;
                let q = at(&dqkv);
                back(Slopes { q, k: q + floats(d), v: q + floats(2 * d) })?;
                sums.columns(self, q, n, 3 * d, db)?;
                self.map_weight(layer.map(n, d, 3 * d), q, y1, dw)?;
                self.map_back(layer.map(n, d, 3 * d), q, w, at(&dy1), false)?;
                sums.hold(dqkv);
            }
            Projected::Apart { y, .. } => {
                let (dq, dkv) = (self.floats(rows * d)?, self.floats(n * 2 * d)?);
                let (q, k) = (at(&dq), at(&dkv));
                back(Slopes { q, k, v: k + floats(d) })?;
                sums.columns(self, q, rows, d, db)?;
                sums.columns(self, k, n, 2 * d, db + floats(d))?;
                self.map_weight(layer.map(rows, d, d), q, at(y), dw)?;
                self.map_weight(layer.map(n, d, 2 * d), k, y1, dw + floats(d * d))?;
                self.map_back(layer.map(n, d, 2 * d), k, w + floats(d * d), at(&dy1), false)?;
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
