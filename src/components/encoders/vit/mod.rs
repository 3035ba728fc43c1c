//! Encoder `vit`: a vision transformer.

mod network;
mod stem;

use ijepa_registry::prelude::*;

use crate::{
    kernels::Backend,
    nn::{
        BlockDesign, BlockVariant, Init, InitScheme, MlpKind, Norm, NormKind, PositionKind, Rotary, Stack,
        check_attention, position_table,
    },
};
use network::{Extra, VitEncoder};
use stem::{Stem, StemKind};

component! {
    /// Vision transformer on the visible patches only (Dosovitskiy et al. 2021, arXiv 2010.11929).
    ///
    /// Pre-norm blocks with exact-erf GELU and a final layer norm. Patches are embedded by one linear map (`stem`),
    /// positions are added, and attention sees only the tokens of its own sequence. What probes call the mean of the
    /// tokens is that of the patches, with a class token and registers or without. A preset fills in what is not
    /// written: `cifar_small` is the 2.7 M-parameter model of `sombersomni/ijepa-homemade`; `tiny` to `giant` are the
    /// usual sizes with Meta's I-JEPA choices (sin-cos positions, truncated-normal init, layer-norm eps 1e-6). Blocks
    /// can be varied by `norm`, `sandwich_norm`, `mlp`, `qk_norm`, `layer_scale`, `drop_path` and rotary positions;
    /// without any of them a faster, fused implementation is used.
    encoder "vit" => Vit, example = "{ preset: cifar_small, dim: 32, depth: 2, heads: 2, patch: 4 }",
    aliases = [
        "vit_tiny" => "{ kind: vit, preset: tiny }",
        "vit_small" => "{ kind: vit, preset: small }",
        "vit_base" => "{ kind: vit, preset: base }",
        "vit_large" => "{ kind: vit, preset: large }",
        "vit_huge" => "{ kind: vit, preset: huge }",
        "vit_giant" => "{ kind: vit, preset: giant }",
        "tiny" => "{ kind: vit, preset: tiny }",
        "small" => "{ kind: vit, preset: small }",
        "base" => "{ kind: vit, preset: base }",
        "transformer" => "vit",
    ]
}

/// Named sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// dim 192, depth 6, 6 heads, learned positions, torch init, eps 1e-5: the encoder of
    /// `sombersomni/ijepa-homemade`.
    #[default]
    CifarSmall,
    /// dim 192, depth 12, 3 heads.
    Tiny,
    /// dim 384, depth 12, 6 heads.
    Small,
    /// dim 768, depth 12, 12 heads.
    Base,
    /// dim 1024, depth 24, 16 heads.
    Large,
    /// dim 1280, depth 32, 16 heads.
    Huge,
    /// dim 1408, depth 40, 16 heads, mlp_ratio 48 / 11.
    Giant,
}

/// What is written in YAML: everything may be left to the preset.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct VitSettings {
    /// Source of every value that is not written.
    preset: Preset,
    /// Width of the tokens; divisible by `heads`, and by 4 for sin-cos positions. Default: preset.
    #[schemars(range(min = 1, max = 4096), extend("x-aliases" = ["embed_dim", "width", "hidden_size"]))]
    dim: Option<usize>,
    /// Number of transformer blocks. Default: preset.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["layers", "num_layers", "blocks"]))]
    depth: Option<usize>,
    /// Attention heads per block. Default: preset.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["num_heads"]))]
    heads: Option<usize>,
    /// Width of the MLP's hidden layer as a multiple of `dim`. Default: preset, 4 but for `giant`.
    #[schemars(range(min = 0.25, max = 16.0))]
    mlp_ratio: Option<f64>,
    /// Side of a square patch in pixels; divides the image size. Default: 4.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["patch_size"]))]
    patch: Option<usize>,
    /// What makes tokens of patches.
    #[schemars(extend("x-aliases" = ["patch_embed", "embedding", "tokenizer"]))]
    stem: StemKind,
    /// How tokens learn where they are. Default: preset.
    positions: Option<PositionKind>,
    /// Where initial values come from. Default: preset.
    init: Option<InitScheme>,
    /// Epsilon of every norm. Default: preset.
    #[schemars(range(min = 1e-12, max = 0.1))]
    norm_eps: Option<f64>,
    /// A learned class token in front of every sequence (Dosovitskiy et al. 2021, section 3.1). The loss asks for the
    /// patches alone: it takes part in attention as a register does, and the predictor does not see it. Probes read it
    /// where they say `pooling: class_token` or `class_and_mean`.
    #[schemars(extend("x-aliases" = ["cls", "cls_token"]))]
    class_token: bool,
    /// Learned register tokens added to every sequence and dropped from the output
    /// (Darcet et al. 2024, arXiv 2309.16588). Default: 0.
    #[schemars(range(max = 64))]
    registers: Option<usize>,
    /// Norm in front of attention and MLP, and of the output; `rms_norm` is `x / sqrt(mean(x^2) + eps)` times a
    /// gain, without mean and bias (Zhang and Sennrich 2019, arXiv 1910.07467).
    #[schemars(extend("x-aliases" = ["norm_layer", "normalization"]))]
    norm: NormKind,
    /// The same norm once more on what attention and MLP return, before it is added: `x + norm(attention(norm(x)))`
    /// (sandwich norm, Ding et al. 2021, CogView, arXiv 2105.13290, section 2.4).
    #[schemars(extend("x-aliases" = ["sandwich", "post_norm"]))]
    sandwich_norm: bool,
    /// The MLP of every block: `W2 gelu(W1 x)` or `W2 (silu(Wg x) * (Wx x))` (Shazeer 2020, arXiv 2002.05202). The
    /// three matrices of `swiglu` have a hidden layer of two thirds of `mlp_ratio * dim`, so that both have about as
    /// many parameters.
    #[schemars(extend("x-aliases" = ["mlp_layer", "ffn", "ffn_layer"]))]
    mlp: MlpKind,
    /// RMS norm of each head's queries and keys, with a learned gain as wide as a head each: scores stay in range
    /// however large the weights grow (Dehghani et al. 2023, arXiv 2302.05442, with layer norms).
    #[schemars(extend("x-aliases" = ["qk_normalization", "use_qk_norm"]))]
    qk_norm: bool,
    /// Initial value of a learned gain per column on each residual branch, `x + gain * branch(x)`
    /// (Touvron et al. 2021, CaiT, arXiv 2103.17239); usual are 1e-5 to 0.1. 0: no gain.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-aliases" = ["init_values", "layerscale", "ls_init_value"]))]
    layer_scale: f64,
    /// Stochastic depth (Huang et al. 2016, arXiv 1603.09382): probability with which a training step drops a
    /// residual branch of the last block for a sequence; it grows linearly from 0 at the first block. Branches that
    /// stay are scaled by 1 / (1 - probability). Targets and probes see all branches.
    #[schemars(range(min = 0.0, max = 0.9), extend("x-aliases" = ["drop_path_rate", "stochastic_depth"]))]
    drop_path: f64,
}

/// Resolved settings of `encoder: { kind: vit }`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "VitSettings")]
struct Vit {
    preset: Preset,
    dim: usize,
    depth: usize,
    heads: usize,
    mlp_ratio: f64,
    patch: usize,
    #[serde(skip_serializing_if = "is_linear")]
    stem: StemKind,
    positions: PositionKind,
    init: InitScheme,
    norm_eps: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    class_token: bool,
    registers: usize,
    #[serde(flatten)]
    variant: BlockVariant,
}

/// What did not exist once is not written, so that earlier experiments keep their identity.
fn is_linear(stem: &StemKind) -> bool {
    *stem == StemKind::Linear
}

impl JsonSchema for Vit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        VitSettings::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        VitSettings::json_schema(generator)
    }
}

impl From<VitSettings> for Vit {
    fn from(s: VitSettings) -> Self {
        let (dim, depth, heads) = match s.preset {
            Preset::CifarSmall => (192, 6, 6),
            Preset::Tiny => (192, 12, 3),
            Preset::Small => (384, 12, 6),
            Preset::Base => (768, 12, 12),
            Preset::Large => (1024, 24, 16),
            Preset::Huge => (1280, 32, 16),
            Preset::Giant => (1408, 40, 16),
        };
        let (positions, init, norm_eps) = match s.preset {
            Preset::CifarSmall => (PositionKind::Learned, InitScheme::Torch, 1e-5),
            _ => (PositionKind::Sincos2d, InitScheme::Trunc, 1e-6),
        };
        let mlp_ratio = if s.preset == Preset::Giant { 48.0 / 11.0 } else { 4.0 };
        let VitSettings { norm, mlp, qk_norm, layer_scale, sandwich_norm, drop_path, .. } = s;
        Vit {
            preset: s.preset,
            dim: s.dim.unwrap_or(dim),
            depth: s.depth.unwrap_or(depth),
            heads: s.heads.unwrap_or(heads),
            mlp_ratio: s.mlp_ratio.unwrap_or(mlp_ratio),
            patch: s.patch.unwrap_or(4),
            stem: s.stem,
            positions: s.positions.unwrap_or(positions),
            init: s.init.unwrap_or(init),
            norm_eps: s.norm_eps.unwrap_or(norm_eps),
            class_token: s.class_token,
            registers: s.registers.unwrap_or(0),
            variant: BlockVariant { norm, mlp, qk_norm, layer_scale, sandwich_norm, drop_path },
        }
    }
}

impl Vit {
    /// Tokens that are no patches.
    fn extra_tokens(&self) -> usize {
        usize::from(self.class_token) + self.registers
    }

    fn block(&self) -> BlockDesign {
        BlockDesign::new(self.dim, self.heads, self.mlp_ratio, self.norm_eps, self.variant)
    }

    fn build<D: Backend>(&self, context: &EncoderContext<D>) -> Result<Box<dyn Encoder<D>>, ModelError> {
        let init = Init::new(context.device, context.seed, "encoder", self.init);
        let grid = context.image.grid(self.patch);
        let extra = |count, name| (count > 0).then(|| init.tokens(name, &[1, count, self.dim]));
        Ok(Box::new(VitEncoder {
            stem: Stem::new(self.stem, &init, context, self.patch, self.dim),
            positions: position_table(&init, self.positions, "pos_embed", grid, self.dim),
            rotary: Rotary::new(context.device, self.positions, grid, self.dim, self.heads)?,
            extra: Extra {
                class: extra(usize::from(self.class_token), "cls_token"),
                registers: extra(self.registers, "register_tokens"),
            },
            blocks: Stack::new(&init, "blocks", self.depth, &self.block()),
            norm: Norm::new(&init, "norm", self.dim, self.norm_eps, self.variant.norm),
        }))
    }
}

impl EncoderSettings for Vit {
    fn check(&self, image: ImageShape) -> Vec<Problem> {
        let mut problems = check_attention(self.dim, self.heads, self.positions);
        if !image.height.is_multiple_of(self.patch) || !image.width.is_multiple_of(self.patch) {
            let (h, w, p) = (image.height, image.width, self.patch);
            problems.push(Problem::new("patch", format!("{p} does not divide the image size {h} x {w}")));
        }
        problems.extend(self.stem.check(self.patch));
        problems.extend(self.variant.check(self.depth));
        problems
    }
    fn patch(&self) -> usize {
        self.patch
    }
    fn dim(&self) -> usize {
        self.dim
    }
    fn parameters(&self, image: ImageShape) -> Option<u64> {
        let positions = self.positions.rows(image.grid(self.patch));
        let vectors = positions + self.extra_tokens() + self.variant.norm.vectors();
        let stem = self.stem.parameters(self.patch, image.channels, self.dim);
        Some(self.depth as u64 * self.block().parameters() + (self.dim * vectors) as u64 + stem)
    }
    fn layers(&self) -> usize {
        self.depth
    }
    fn has_class_token(&self) -> bool {
        self.class_token
    }
    fn cost(&self, image: ImageShape, visible: usize, kept: usize) -> Option<Cost> {
        let blocks = self.block().cost(self.depth, visible + self.extra_tokens(), kept);
        Some(self.stem.cost(visible, self.patch, image.channels, self.dim) + blocks)
    }
    build_on_devices!(encoder);
}
