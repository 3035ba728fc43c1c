//! What a transformer block consists of: sizes, variants, and the arithmetic on them.

use ijepa_registry::prelude::*;

use super::{
    cost,
    layers::{MlpKind, NormKind},
};

/// How a block departs from the standard one, which is the default: layer norm, an MLP with GELU, and nothing
/// on the residual branches. What is standard is not written, so that experiments without variants keep their
/// identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct BlockVariant {
    /// How rows are normalised.
    #[serde(skip_serializing_if = "is_standard")]
    pub norm: NormKind,
    /// The map between the two residual sums.
    #[serde(skip_serializing_if = "is_standard")]
    pub mlp: MlpKind,
    /// Whether each head's queries and keys pass an RMS norm.
    #[serde(skip_serializing_if = "is_standard")]
    pub qk_norm: bool,
    /// Initial gain of every column of a residual branch; 0: no gain.
    #[serde(skip_serializing_if = "is_standard")]
    pub layer_scale: f64,
    /// Whether branches are normalised before they are added, too.
    #[serde(skip_serializing_if = "is_standard")]
    pub sandwich_norm: bool,
    /// Probability that a branch of the last block is dropped for a sequence; it grows linearly from 0 at the
    /// first block.
    #[serde(skip_serializing_if = "is_standard")]
    pub drop_path: f64,
}

fn is_standard<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl BlockVariant {
    /// What is wrong with it in `depth` blocks.
    pub fn check(&self, depth: usize) -> Vec<Problem> {
        if self.drop_path == 0.0 || depth > 1 {
            return vec![];
        }
        let message = "it does nothing in a single block: the rate grows from 0 at the first block";
        vec![Problem::new("drop_path", message).help("a depth of 2 or more, or drop_path 0")]
    }
}

/// Sizes and variant of a transformer block.
#[derive(Clone, Copy, Debug)]
pub struct BlockDesign {
    /// Width of the tokens.
    pub dim: usize,
    /// Attention heads; divides `dim`.
    pub heads: usize,
    /// Width of the MLP's hidden layer.
    pub hidden: usize,
    /// Epsilon of the norms.
    pub eps: f64,
    /// How it departs from the standard block.
    pub variant: BlockVariant,
}

impl BlockDesign {
    /// With an MLP of as many values as one of two matrices whose hidden layer is `mlp_ratio` times as wide as
    /// the tokens.
    pub fn new(dim: usize, heads: usize, mlp_ratio: f64, eps: f64, variant: BlockVariant) -> Self {
        let hidden = match variant.mlp {
            MlpKind::Gelu => (dim as f64 * mlp_ratio) as usize,
            // Three matrices of two thirds the width.
            MlpKind::Swiglu => (dim as f64 * mlp_ratio * 2.0 / 3.0).round().max(1.0) as usize,
        };
        BlockDesign { dim, heads, hidden, eps, variant }
    }

    /// Number of values that a block learns.
    pub fn parameters(&self) -> u64 {
        let (dim, hidden, heads) = (self.dim as u64, self.hidden as u64, self.heads as u64);
        let maps = self.variant.mlp.maps() as u64;
        let attention = 4 * dim * (dim + 1);
        let mlp = maps * dim * hidden + (maps - 1) * hidden + dim;
        let head_norms = if self.variant.qk_norm { 2 * (dim / heads) } else { 0 };
        let gains = if self.variant.layer_scale > 0.0 { 2 * dim } else { 0 };
        let norms = if self.variant.sandwich_norm { 4 } else { 2 };
        norms * dim * self.variant.norm.vectors() as u64 + attention + mlp + head_norms + gains
    }

    /// Operations of one block in which `queries` tokens attend to `keys` tokens. Where a sequence attends to
    /// itself, `queries` are those of its rows that come out: the others supply only keys and values.
    pub fn flop(&self, queries: usize, keys: usize) -> f64 {
        let dim = self.dim;
        let keys_and_values = cost::linear(keys, dim, 2 * dim);
        let query_and_projection = cost::linear(queries, dim, 2 * dim);
        let attention = 2.0 * cost::linear(queries, keys, dim);
        let mlp = self.variant.mlp.maps() as f64 * cost::linear(queries, dim, self.hidden);
        keys_and_values + query_and_projection + attention + mlp
    }

    /// One forward pass of `depth` blocks over a sequence of `tokens`, of which `kept` come out of the last.
    /// Counted is what the result needs, also where a variant computes rows that are not kept. Backward needs per
    /// token and block what its variant keeps.
    pub fn cost(&self, depth: usize, tokens: usize, kept: usize) -> Cost {
        let whole = depth.saturating_sub(1) as f64 * self.flop(tokens, tokens);
        let activations = (tokens * depth * self.activations()) as f64;
        Cost { flop: whole + self.flop(kept, tokens), input: 0.0, activations }
    }

    /// Block input, query, key, value, attention output and middle row of width `dim`, and the hidden layer;
    /// SwiGLU needs both factors and the gate before its activation, QK-norm queries and keys before the norm,
    /// layer-scale both branches before the gain, a sandwich both before the norm.
    fn activations(&self) -> usize {
        let BlockVariant { qk_norm, layer_scale, sandwich_norm, .. } = self.variant;
        let pairs = [qk_norm, layer_scale > 0.0, sandwich_norm].map(usize::from).iter().sum::<usize>();
        (6 + 2 * pairs) * self.dim + self.variant.mlp.activations() * self.hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(dim: usize, hidden: usize) -> BlockDesign {
        BlockDesign { dim, heads: 1, hidden, eps: 1e-6, variant: BlockVariant::default() }
    }

    #[test]
    fn a_whole_block_is_the_textbook_count() {
        let (n, d, f) = (7.0, 12.0, 40.0);
        let expected = 2.0 * n * (3.0 * d * d + d * d + 2.0 * d * f) + 4.0 * n * n * d;
        assert_eq!(block(12, 40).flop(7, 7), expected);
        assert_eq!(block(12, 40).cost(3, 7, 7).flop, 3.0 * expected);
    }

    #[test]
    fn rows_left_out_still_supply_keys_and_values() {
        // 3 tokens of width 2, hidden 4, 1 kept: keys and values 2*3*2*4 = 48; query and projection
        // 2*1*2*4 = 16; scores and mix 2 * 2*1*3*2 = 24; MLP 2 * 2*1*2*4 = 32.
        assert_eq!(block(2, 4).flop(1, 3), 48.0 + 16.0 + 24.0 + 32.0);
    }

    #[test]
    fn swiglu_has_about_as_many_values_and_operations_as_gelu() {
        let of = |mlp| BlockDesign::new(192, 3, 4.0, 1e-6, BlockVariant { mlp, ..BlockVariant::default() });
        let (gelu, swiglu) = (of(MlpKind::Gelu), of(MlpKind::Swiglu));
        assert_eq!((gelu.hidden, swiglu.hidden), (768, 512));
        assert_eq!(swiglu.flop(9, 9), gelu.flop(9, 9));
        // The same matrices; biases of 2 * 512 instead of 768.
        assert_eq!(swiglu.parameters() - gelu.parameters(), 256);
    }
}
