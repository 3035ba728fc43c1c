//! Encoder `vit`: a vision transformer without class token.

use ijepa_registry::prelude::*;

use crate::{
    kernels::{Backend, NONE, TableTerm},
    nn::{BlockSize, Init, InitScheme, LayerNorm, Linear, PositionKind, Stack, position_table},
};

component! {
    /// Vision transformer on the visible patches only (Dosovitskiy et al. 2021, arXiv 2010.11929).
    ///
    /// Pre-norm blocks with exact-erf GELU and a final layer norm; no class token. Patches are
    /// embedded by one linear map, positions are added, and attention sees only the tokens of its
    /// own sequence. A preset fills in what is not written: `seed` is the 2.7 M-parameter model of
    /// the CIFAR-10 reference; `tiny`, `small` and `base` are the usual sizes with Meta's I-JEPA
    /// choices (sin-cos positions, truncated-normal init, layer-norm eps 1e-6).
    encoder "vit" => Vit, example = "{ preset: seed, dim: 32, depth: 2, heads: 2, patch: 4 }",
    aliases = [
        "vit_tiny" => "{ kind: vit, preset: tiny }",
        "vit_small" => "{ kind: vit, preset: small }",
        "vit_base" => "{ kind: vit, preset: base }",
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
    /// dim 192, depth 6, 6 heads, learned positions, torch init, eps 1e-5.
    #[default]
    Seed,
    /// dim 192, depth 12, 3 heads.
    Tiny,
    /// dim 384, depth 12, 6 heads.
    Small,
    /// dim 768, depth 12, 12 heads.
    Base,
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
    /// Width of the MLP's hidden layer as a multiple of `dim`. Default: 4.
    #[schemars(range(min = 0.25, max = 16.0))]
    mlp_ratio: Option<f64>,
    /// Side of a square patch in pixels; divides the image size. Default: 4.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["patch_size"]))]
    patch: Option<usize>,
    /// How tokens learn where they are. Default: preset.
    positions: Option<PositionKind>,
    /// Where initial values come from. Default: preset.
    init: Option<InitScheme>,
    /// Epsilon of every layer norm. Default: preset.
    #[schemars(range(min = 1e-12, max = 0.1))]
    norm_eps: Option<f64>,
    /// Learned register tokens added to every sequence and dropped from the output
    /// (Darcet et al. 2024, arXiv 2309.16588). Default: 0.
    #[schemars(range(max = 64))]
    registers: Option<usize>,
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
    positions: PositionKind,
    init: InitScheme,
    norm_eps: f64,
    registers: usize,
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
            Preset::Seed => (192, 6, 6),
            Preset::Tiny => (192, 12, 3),
            Preset::Small => (384, 12, 6),
            Preset::Base => (768, 12, 12),
        };
        let (positions, init, norm_eps) = match s.preset {
            Preset::Seed => (PositionKind::Learned, InitScheme::Torch, 1e-5),
            _ => (PositionKind::Sincos2d, InitScheme::Trunc, 1e-6),
        };
        Vit {
            preset: s.preset,
            dim: s.dim.unwrap_or(dim),
            depth: s.depth.unwrap_or(depth),
            heads: s.heads.unwrap_or(heads),
            mlp_ratio: s.mlp_ratio.unwrap_or(4.0),
            patch: s.patch.unwrap_or(4),
            positions: s.positions.unwrap_or(positions),
            init: s.init.unwrap_or(init),
            norm_eps: s.norm_eps.unwrap_or(norm_eps),
            registers: s.registers.unwrap_or(0),
        }
    }
}

impl Vit {
    fn block(&self) -> BlockSize {
        BlockSize {
            dim: self.dim,
            heads: self.heads,
            hidden: (self.dim as f64 * self.mlp_ratio) as usize,
            eps: self.norm_eps,
        }
    }

    fn build<D: Backend>(&self, context: &EncoderContext<D>) -> Box<dyn Encoder<D>> {
        let init = Init::new(context.device, context.seed, "encoder", self.init);
        let grid = context.image.grid(self.patch);
        let patch = [self.dim, context.image.channels, self.patch, self.patch];
        Box::new(VitEncoder {
            patch_embed: Linear::new(&init, "patch_embed.proj", &patch),
            positions: position_table(&init, self.positions, "pos_embed", grid, self.dim),
            registers: (self.registers > 0)
                .then(|| init.tokens("register_tokens", &[1, self.registers, self.dim])),
            blocks: Stack::new(&init, "blocks", self.depth, self.block()),
            norm: LayerNorm::new(&init, "norm", self.dim, self.norm_eps),
        })
    }
}

impl EncoderSettings for Vit {
    fn check(&self, image: ImageShape) -> Vec<Problem> {
        let mut problems = check_attention(self.dim, self.heads, self.positions);
        if !image.height.is_multiple_of(self.patch) || !image.width.is_multiple_of(self.patch) {
            let (h, w, p) = (image.height, image.width, self.patch);
            problems.push(Problem::new("patch", format!("{p} does not divide the image size {h} x {w}")));
        }
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
        let embedded = image.channels * self.patch * self.patch + 1 + positions + self.registers + 2;
        Some(self.depth as u64 * self.block().parameters() + (self.dim * embedded) as u64)
    }
    fn cpu(&self, context: &EncoderContext<Cpu>) -> Result<Box<dyn Encoder<Cpu>>, ModelError> {
        Ok(self.build(context))
    }
    #[cfg(feature = "cuda-base")]
    fn cuda(
        &self,
        context: &EncoderContext<dfdx::prelude::Cuda>,
    ) -> Result<Box<dyn Encoder<dfdx::prelude::Cuda>>, ModelError> {
        Ok(self.build(context))
    }
}

/// Constraints that encoder and predictor share: heads divide the width, sin-cos tables need a
/// multiple of four.
pub(in crate::components) fn check_attention(
    dim: usize,
    heads: usize,
    positions: PositionKind,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !dim.is_multiple_of(heads) {
        let fits: Vec<String> =
            (1..=dim.min(64)).filter(|h| dim.is_multiple_of(*h)).map(|h| h.to_string()).collect();
        problems.push(
            Problem::new("heads", format!("{heads} heads do not divide dim {dim}"))
                .help(format!("heads that divide {dim}: {}", fits.join(", "))),
        );
    }
    if positions == PositionKind::Sincos2d && !dim.is_multiple_of(4) {
        problems
            .push(Problem::new("dim", format!("{dim} is not a multiple of 4, as sincos2d positions need")));
    }
    problems
}

/// The built encoder.
struct VitEncoder<D: Device<f32>> {
    patch_embed: Linear<D>,
    /// `[1, patch, dim]`
    positions: Option<Param<D>>,
    /// `[1, register, dim]`
    registers: Option<Param<D>>,
    blocks: Stack<D>,
    norm: LayerNorm<D>,
}

impl<D: Backend> VitEncoder<D> {
    fn forward<T: Tape<f32, D>>(
        &self,
        batch: &PatchBatch<D>,
        keep: Option<&[u32]>,
        tape: T,
    ) -> Result<Rows<D, T>, ModelError> {
        let sequences = Sequences::new(&batch.layout, self.registers.as_ref().map_or(0, |r| r.dims[1]));
        let tokens = self.patch_embed.forward_input(&batch.pixels, tape)?;
        let tokens = self.embed(tokens, &batch.layout, &sequences)?;
        let kept: Option<Vec<u32>> = match keep {
            Some(rows) => Some(rows.iter().map(|&r| sequences.patch_rows[r as usize]).collect()),
            None => self.registers.as_ref().map(|_| sequences.patch_rows.clone()),
        };
        self.norm.forward(self.blocks.forward(tokens, &sequences.segments, kept.as_deref())?)
    }

    /// Adds positions, and register tokens in front of every sequence.
    fn embed<T: Tape<f32, D>>(
        &self,
        tokens: Rows<D, T>,
        layout: &Layout,
        sequences: &Sequences,
    ) -> Result<Rows<D, T>, ModelError> {
        let places = sequences.rows(|row| layout.positions[row], |_| NONE);
        let registers = sequences.rows(|_| NONE, |register| register as u32);
        let positions = self.positions.as_ref().map(|p| table(p, &places));
        let registers = self.registers.as_ref().map(|r| table(r, &registers));
        let tables: Vec<_> = positions.into_iter().chain(registers).collect();
        if tables.is_empty() {
            return Ok(tokens);
        }
        D::gather_sum(tokens, &sequences.rows(|row| row as u32, |_| NONE), &tables)
    }
}

/// A parameter as a table whose rows are added.
pub(in crate::components) fn table<'a, D: Device<f32>>(
    param: &'a Param<D>,
    index: &'a [u32],
) -> TableTerm<'a, D> {
    TableTerm { table: &param.data, index, trained: param.trainable }
}

/// Row bookkeeping of sequences that start with register tokens.
struct Sequences {
    segments: Segments,
    /// Row of every patch, in layout order.
    patch_rows: Vec<u32>,
    registers: usize,
    lengths: Vec<usize>,
}

impl Sequences {
    fn new(layout: &Layout, registers: usize) -> Self {
        let lengths: Vec<usize> = layout.segments.ranges().map(|r| r.len()).collect();
        let segments = Segments::from_lengths(lengths.iter().map(|n| n + registers));
        let patch_rows = segments.ranges().flat_map(|r| (r.start + registers) as u32..r.end as u32).collect();
        Sequences { segments, patch_rows, registers, lengths }
    }

    /// One index per row: `patch` is given the layout row, `register` the register number.
    fn rows(&self, patch: impl Fn(usize) -> u32, register: impl Fn(usize) -> u32) -> Vec<u32> {
        let mut index = Vec::with_capacity(self.segments.rows());
        let mut next = 0;
        for &length in &self.lengths {
            index.extend((0..self.registers).map(&register));
            index.extend((next..next + length).map(&patch));
            next += length;
        }
        index
    }
}

impl<D: Backend> Encoder<D> for VitEncoder<D> {
    fn encode(&self, batch: &PatchBatch<D>, keep: Option<&[u32]>) -> Result<Rows<D>, ModelError> {
        self.forward(batch, keep, NoneTape)
    }
    fn encode_taped(&self, batch: &PatchBatch<D>) -> Result<TapedRows<D>, ModelError> {
        self.forward(batch, None, OwnedTape::default())
    }
}

impl<D: Backend> Parameters<D> for VitEncoder<D> {
    fn params(&self) -> Vec<&Param<D>> {
        let mut all: Vec<&Param<D>> = self.patch_embed.params.iter().collect();
        all.extend(&self.positions);
        all.extend(&self.registers);
        all.extend(self.blocks.params());
        all.extend(&self.norm.params);
        all
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let mut all: Vec<&mut Param<D>> = self.patch_embed.params.iter_mut().collect();
        all.extend(&mut self.positions);
        all.extend(&mut self.registers);
        all.extend(self.blocks.params_mut());
        all.extend(&mut self.norm.params);
        all
    }
}
