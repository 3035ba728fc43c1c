//! Floating-point operations of the matrix products: arithmetic on sizes, nothing is computed.
//!
//! Counted is what the result needs: a multiply-add is 2, backward is twice forward (one product for
//! the input's gradient, one for the weight's), rows that nothing reads are not counted. Norms, GELU,
//! softmax, loss, optimizer and moving average are left out: together they are a few percent.

use ijepa_registry::prelude::*;

use super::TargetRows;

/// A linear map of `rows` rows.
pub fn linear(rows: usize, inputs: usize, outputs: usize) -> f64 {
    2.0 * rows as f64 * inputs as f64 * outputs as f64
}

/// One transformer block on a sequence of `tokens`, of which `kept` come out: the others supply only
/// keys and values.
pub fn block(tokens: usize, kept: usize, dim: usize, hidden: usize) -> f64 {
    let keys_and_values = linear(tokens, dim, 2 * dim);
    let query_and_projection = linear(kept, dim, 2 * dim);
    let attention = 2.0 * linear(kept, tokens, dim);
    let mlp = 2.0 * linear(kept, dim, hidden);
    keys_and_values + query_and_projection + attention + mlp
}

/// Sizes of transformer blocks in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackSize {
    /// Width of the tokens.
    pub dim: usize,
    /// Width of the MLP's hidden layer.
    pub hidden: usize,
    /// Number of blocks.
    pub depth: usize,
}

impl StackSize {
    /// Forward on one sequence; only the last block may leave rows out.
    pub fn forward(&self, tokens: usize, kept: usize) -> f64 {
        let whole = self.depth.saturating_sub(1) as f64 * block(tokens, tokens, self.dim, self.hidden);
        whole + block(tokens, kept, self.dim, self.hidden)
    }

    /// Read off the names and shapes of the parameters; none if they are not those of a plain stack.
    fn of<D: Device<f32>>(params: &[&Param<D>]) -> Option<Self> {
        let ending = |name: &str| params.iter().filter(|p| p.name.ends_with(name)).collect::<Vec<_>>();
        let (attention, mlp) = (ending(".attn.qkv.weight"), ending(".mlp.fc1.weight"));
        let (qkv, fc1) = (&attention.first()?.dims, &mlp.first()?.dims);
        let alike = attention.iter().all(|p| p.dims == *qkv) && mlp.iter().all(|p| p.dims == *fc1);
        let size = StackSize { dim: qkv[1], hidden: fc1[0], depth: attention.len() };
        (alike && mlp.len() == size.depth && qkv[0] == 3 * size.dim).then_some(size)
    }
}

/// Sizes of an encoder and a predictor of the usual form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSize {
    /// The encoder's blocks.
    pub encoder: StackSize,
    /// The predictor's blocks.
    pub predictor: StackSize,
    /// Values of a patch.
    pub patch: usize,
    /// Patches of an image.
    pub patches: usize,
    /// Register tokens of the encoder.
    pub registers: usize,
}

/// Operations of a training step by its phases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepFlop {
    /// Target encoder, forward.
    pub target: f64,
    /// Context encoder, forward.
    pub context: f64,
    /// Predictor, forward.
    pub predictor: f64,
    /// Both backward.
    pub backward: f64,
}

/// Steps whose masks [`typical_masks`] draws at least, and images: masks differ from image to image by a
/// fifth of the operations, and the mean of so many is off by less than 1 %.
const TYPICAL_STEPS: usize = 16;
const TYPICAL_IMAGES: usize = 4096;

/// Masks of the first steps of a run, step by step, each with images of its own: one draw is not typical
/// where a batch shares it, nor are the masks of the same few images.
pub fn typical_masks(
    masking: &dyn Masking,
    grid: Grid,
    seed: u64,
    batch_size: usize,
) -> impl Iterator<Item = Vec<MaskPlan>> {
    let steps = TYPICAL_STEPS.max(TYPICAL_IMAGES.div_ceil(batch_size.max(1))) as u64;
    (0..steps).map(move |step| {
        let size = batch_size as u64;
        let images = (step * size..(step + 1) * size).collect();
        masking.sample(grid, &BatchDraw { seed, epoch: 0, step, images }).plans
    })
}

impl StepFlop {
    /// The mean of some steps.
    pub fn mean(steps: &[StepFlop]) -> StepFlop {
        let mean = |of: fn(&StepFlop) -> f64| steps.iter().map(of).sum::<f64>() / steps.len() as f64;
        StepFlop {
            target: mean(|s| s.target),
            context: mean(|s| s.context),
            predictor: mean(|s| s.predictor),
            backward: mean(|s| s.backward),
        }
    }
    /// Of the whole step.
    pub fn total(&self) -> f64 {
        self.target + self.context + self.predictor + self.backward
    }
}

impl ModelSize {
    /// From the parameters by their names; none for a component that names them otherwise.
    pub fn of<D: Device<f32>>(
        encoder: &[&Param<D>],
        predictor: &[&Param<D>],
        patches: usize,
    ) -> Option<Self> {
        let named = |name: &str| encoder.iter().find(|p| p.name == name);
        Some(ModelSize {
            encoder: StackSize::of(encoder)?,
            predictor: StackSize::of(predictor)?,
            patch: named("patch_embed.proj.weight")?.dims[1..].iter().product(),
            patches,
            registers: named("register_tokens").map_or(0, |p| p.dims[1]),
        })
    }

    /// One training step on images with these masks.
    pub fn step(&self, plans: &[MaskPlan]) -> StepFlop {
        let sum = |of: &dyn Fn(&MaskPlan) -> f64| plans.iter().map(of).sum::<f64>();
        let contexts = |plan: &MaskPlan| plan.contexts.iter().map(|c| self.encode(c.len(), c.len())).sum();
        let (context, predictor) = (sum(&contexts), sum(&|p| self.predictions(p)) / 3.0);
        let trained = sum(&|p| self.context(p) + self.predictions(p));
        let target = sum(&|p| self.teacher(p));
        StepFlop { target, context, predictor, backward: trained - context - predictor }
    }

    /// Values that backward needs of the blocks of one pass over images with these masks: per token
    /// input, query, key, value, attention output and middle row of width `dim`, and the hidden layer.
    pub fn activations(&self, plans: &[MaskPlan]) -> f64 {
        let of =
            |stack: &StackSize, tokens: usize| (tokens * stack.depth * (6 * stack.dim + stack.hidden)) as f64;
        let one = |plan: &MaskPlan| {
            let context = |c: &Vec<u32>| {
                let predicted = plan.targets.iter().map(|t| of(&self.predictor, c.len() + t.len()));
                of(&self.encoder, c.len() + self.registers) + predicted.sum::<f64>()
            };
            plan.contexts.iter().map(context).sum::<f64>()
        };
        plans.iter().map(one).sum()
    }

    /// Feature extraction of one image.
    pub fn features(&self) -> f64 {
        self.encode(self.patches, self.patches)
    }

    fn encode(&self, patches: usize, kept: usize) -> f64 {
        let tokens = patches + self.registers;
        linear(patches, self.patch, self.encoder.dim) + self.encoder.forward(tokens, kept)
    }

    /// Forward on the whole image, for the distinct target patches.
    fn teacher(&self, plan: &MaskPlan) -> f64 {
        let grid = Grid { rows: 1, cols: self.patches };
        let kept = TargetRows::new(grid, std::slice::from_ref(plan)).keep.len();
        self.encode(self.patches, kept)
    }

    /// Forward and backward; pixels need no gradient.
    fn context(&self, plan: &MaskPlan) -> f64 {
        let encode = |c: &Vec<u32>| {
            3.0 * self.encode(c.len(), c.len()) - linear(c.len(), self.patch, self.encoder.dim)
        };
        plan.contexts.iter().map(encode).sum()
    }

    /// Forward and backward of every block predicted from every context; a context is embedded once.
    fn predictions(&self, plan: &MaskPlan) -> f64 {
        let (outer, inner) = (self.encoder.dim, self.predictor.dim);
        let one = |context: usize, targets: usize| {
            self.predictor.forward(context + targets, targets) + linear(targets, inner, outer)
        };
        let from = |c: &Vec<u32>| {
            let blocks: f64 = plan.targets.iter().map(|t| one(c.len(), t.len())).sum();
            linear(c.len(), outer, inner) + blocks
        };
        3.0 * plan.contexts.iter().map(from).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_block_is_the_textbook_count() {
        let (n, d, f) = (7.0, 12.0, 40.0);
        let expected = 2.0 * n * (3.0 * d * d + d * d + 2.0 * d * f) + 4.0 * n * n * d;
        assert_eq!(block(7, 7, 12, 40), expected);
        assert_eq!(StackSize { dim: 12, hidden: 40, depth: 3 }.forward(7, 7), 3.0 * expected);
    }

    #[test]
    fn rows_left_out_still_supply_keys_and_values() {
        // 3 tokens of width 2, hidden 4, 1 kept: keys and values 2*3*2*4 = 48; query and projection
        // 2*1*2*4 = 16; scores and mix 2 * 2*1*3*2 = 24; MLP 2 * 2*1*2*4 = 32.
        assert_eq!(block(3, 1, 2, 4), 48.0 + 16.0 + 24.0 + 32.0);
    }

    #[test]
    fn a_step_counted_by_hand() {
        let stack = |dim, hidden| StackSize { dim, hidden, depth: 1 };
        let size =
            ModelSize { encoder: stack(2, 4), predictor: stack(1, 3), patch: 5, patches: 4, registers: 0 };
        let plan = MaskPlan { contexts: vec![vec![0]], targets: vec![vec![1, 2], vec![2]] };
        // Teacher: embedding 2*4*5*2 = 80; 4 tokens, 2 kept: 2*4*2*4 + 2*2*2*4 + 2*(2*2*4*2) + 2*(2*2*2*4)
        // = 64 + 32 + 64 + 64 = 224.
        let teacher = 80.0 + 224.0;
        // Context, 1 token: embedding 2*1*5*2 = 20, twice (no gradient of pixels); the block
        // 2*(3*4 + 4 + 2*2*4) + 4*2 = 72, three times.
        let context = 2.0 * 20.0 + 3.0 * 72.0;
        // Predictor: 1 context token embedded, 2*1*2*1 = 4. Block of 3 tokens, 2 kept: 2*3*1*2 + 2*2*1*2
        // + 2*(2*2*3*1) + 2*(2*2*1*3) = 12 + 8 + 24 + 24 = 68, projection 2*2*1*2 = 8. Block of 2
        // tokens, 1 kept: 8 + 4 + 8 + 12 = 32, projection 4.
        let predictions = 3.0 * (4.0 + 68.0 + 8.0 + 32.0 + 4.0);
        assert_eq!(size.step(std::slice::from_ref(&plan)).total(), teacher + context + predictions);
        // Encoder: 1 token of 6 * 2 + 4 values. Predictor: 3 and 2 tokens of 6 * 1 + 3.
        assert_eq!(size.activations(std::slice::from_ref(&plan)), 16.0 + 27.0 + 18.0);
        assert_eq!(size.step(&[plan.clone(), plan]).total(), 2.0 * (teacher + context + predictions));
        // All 4 rows kept: 64 + 64 + 128 + 128.
        assert_eq!(size.features(), 80.0 + 384.0);
    }
}
