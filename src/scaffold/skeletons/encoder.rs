//! Encoder `my_encoder`.

use ijepa_registry::prelude::*;

use ijepa_run::{
    kernels::{Backend, Function},
    nn::{Init, InitScheme, Linear, Norm, NormKind, PositionKind, position_table, table},
};

component! {
    // TODO: say in one sentence how it encodes, then where it comes from.
    /// An MLP on every patch by itself, with its position.
    ///
    /// `y_p = norm(W2 gelu(W1 pixels_p + position_p))`
    encoder "my_encoder" => MyEncoder, example = "{ dim: 16, patch: 2 }"
}

/// Settings of `encoder: { kind: my_encoder }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MyEncoder {
    // TODO: your settings. Each has a sentence, a range and a default.
    /// Side of a square patch, pixels.
    #[schemars(range(min = 1, max = 256))]
    patch: usize,
    /// Width of the tokens.
    #[schemars(range(min = 1, max = 4096))]
    dim: usize,
}

impl Default for MyEncoder {
    fn default() -> Self {
        MyEncoder { patch: 4, dim: 192 }
    }
}

impl MyEncoder {
    fn build<D: Backend>(&self, context: &EncoderContext<D>) -> Result<Box<dyn Encoder<D>>, ModelError> {
        // TODO: the layers; the names are those of the parameters in checkpoints and may not change later.
        let init = Init::new(context.device, context.seed, "encoder", InitScheme::Torch);
        let grid = context.image.grid(self.patch);
        let positions = position_table(&init, PositionKind::Learned, "positions", grid, self.dim);
        let patch = [self.dim, context.image.channels, self.patch, self.patch];
        Ok(Box::new(Network {
            first: Linear::new(&init, "first", &patch),
            positions: positions.ok_or_else(|| ModelError("no positions".into()))?,
            second: Linear::new(&init, "second", &[self.dim, self.dim]),
            norm: Norm::new(&init, "norm", self.dim, 1e-5, NormKind::LayerNorm),
        }))
    }
}

impl EncoderSettings for MyEncoder {
    fn check(&self, image: ImageShape) -> Vec<Problem> {
        // TODO: what ranges cannot say.
        let fits = image.height.is_multiple_of(self.patch) && image.width.is_multiple_of(self.patch);
        let sentence = || format!("{} does not divide {} x {}", self.patch, image.height, image.width);
        (!fits).then(|| Problem::new("patch", sentence())).into_iter().collect()
    }
    fn patch(&self) -> usize {
        self.patch
    }
    fn dim(&self) -> usize {
        self.dim
    }
    // TODO: `cost` and `parameters`, so that budgets, estimates and micro-batches work; `layers` where inner blocks can
    // be asked.
    build_on_devices!(encoder);
}

/// The built encoder.
struct Network<D: Device<f32>> {
    /// `[dim, channel, patch, patch]`
    first: Linear<D>,
    /// `[1, patch, dim]`
    positions: Param<D>,
    /// `[dim, dim]`
    second: Linear<D>,
    norm: Norm<D>,
}

impl<D: Backend> Network<D> {
    /// Pixels (patch, channel * patch * patch) to tokens (patch, dim), with or without a gradient tape.
    fn forward<T: Tape<f32, D>>(&self, batch: &PatchBatch<D>, tape: T) -> Result<Rows<D, T>, ModelError> {
        // TODO: let patches of a sequence see each other: `D::attention` within `batch.layout.segments`.
        let rows: Vec<u32> = (0..batch.layout.positions.len() as u32).collect();
        let hidden = self.first.forward_input(&batch.pixels, tape)?;
        let hidden = D::gather_sum(hidden, &rows, &[table(&self.positions, &batch.layout.positions)])?;
        self.norm.forward(self.second.forward(D::map(hidden, Function::Gelu)?)?)
    }
}

impl<D: Backend> Encoder<D> for Network<D> {
    fn encode(&self, batch: &PatchBatch<D>, request: &EncodeRequest) -> Result<Vec<Rows<D>>, ModelError> {
        let tokens = self.forward(batch, NoneTape)?;
        // TODO: rows that are not kept need not be computed.
        let tokens = match request.keep {
            Some(rows) => D::gather_sum(tokens, rows, &[])?,
            None => tokens,
        };
        Ok(vec![tokens])
    }
    fn encode_taped(&self, batch: &PatchBatch<D>, _mode: Mode) -> Result<TapedRows<D>, ModelError> {
        self.forward(batch, OwnedTape::default())
    }
}

impl<D: Backend> Parameters<D> for Network<D> {
    // TODO: every parameter, both times in the same order.
    fn params(&self) -> Vec<&Param<D>> {
        let first = self.first.params.iter().chain([&self.positions]);
        first.chain(&self.second.params).chain(self.norm.params()).collect()
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let first = self.first.params.iter_mut().chain([&mut self.positions]);
        first.chain(&mut self.second.params).chain(self.norm.params_mut()).collect()
    }
}
