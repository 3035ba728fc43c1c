//! Encoder `convnet`: convolutions on the visible patches.

use ijepa_registry::prelude::*;

use crate::{
    kernels::{Backend, Function, NONE},
    nn::{Init, InitScheme, Linear, Norm, NormKind, cost},
};

component! {
    /// Residual convolutions over the grid of patches, in which hidden patches are as if beyond the edge.
    ///
    /// A patch becomes a token by one linear map, `patch` pixels wide and as many apart, as in an isotropic ConvNeXt (Liu
    /// et al. 2022, arXiv 2201.03545, section 3.3). Each block is `x = x + W gelu(conv(norm(x)))` with a convolution of
    /// `kernel` x `kernel` patches from `dim` to `expansion * dim` channels and a linear map back; a layer norm ends it.
    /// A convolution is computed where patches are visible, from visible patches, with zeros for all others (submanifold
    /// sparse convolution, Graham and van der Maaten 2017, arXiv 1706.01307; SparK, Tian et al. 2023, arXiv 2301.03580,
    /// pre-trains with it): what is hidden leaks nothing, and patterns of masks do not wander through the blocks. The
    /// last block sees `depth * (kernel - 1) / 2` patches far. There are no positions: the predictor has its own.
    encoder "convnet" => ConvNet, example = "{ dim: 16, depth: 2, patch: 4 }",
    aliases = ["convnext" => "convnet", "cnn" => "convnet", "spark" => "convnet", "resnet" => "convnet"]
}

/// Settings of `encoder: { kind: convnet }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ConvNet {
    /// Width of the tokens.
    #[schemars(range(min = 1, max = 4096), extend("x-aliases" = ["embed_dim", "width", "channels"]))]
    dim: usize,
    /// Number of residual blocks.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["layers", "num_layers", "blocks"]))]
    depth: usize,
    /// Channels between convolution and linear map, as a multiple of `dim`.
    #[schemars(range(min = 0.25, max = 16.0), extend("x-aliases" = ["mlp_ratio"]))]
    expansion: f64,
    /// Side of a convolution, in patches; odd.
    #[schemars(range(min = 1, max = 15), extend("x-aliases" = ["kernel_size"]))]
    kernel: usize,
    /// Side of a square patch in pixels; divides the image size.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["patch_size"]))]
    patch: usize,
    /// Where initial values come from.
    init: InitScheme,
    /// Epsilon of every layer norm.
    #[schemars(range(min = 1e-12, max = 0.1))]
    norm_eps: f64,
}

impl Default for ConvNet {
    fn default() -> Self {
        ConvNet {
            dim: 192,
            depth: 6,
            expansion: 1.0,
            kernel: 3,
            patch: 4,
            init: InitScheme::Torch,
            norm_eps: 1e-6,
        }
    }
}

impl ConvNet {
    fn hidden(&self) -> usize {
        ((self.dim as f64 * self.expansion).round() as usize).max(1)
    }

    /// Values that one output of a convolution is made of.
    fn window(&self) -> usize {
        self.kernel * self.kernel * self.dim
    }

    fn build<D: Backend>(&self, context: &EncoderContext<D>) -> Result<Box<dyn Encoder<D>>, ModelError> {
        let init = Init::new(context.device, context.seed, "encoder", self.init);
        let norm = |name: &str| Norm::new(&init, name, self.dim, self.norm_eps, NormKind::LayerNorm);
        let (k, hidden) = (self.kernel, self.hidden());
        let block = |i: usize| Block {
            norm: norm(&format!("blocks.{i}.norm")),
            conv: Linear::new(&init, &format!("blocks.{i}.conv"), &[hidden, k, k, self.dim]),
            project: Linear {
                params: init.mlp_output(&format!("blocks.{i}.proj"), &[self.dim, hidden], i + 1),
            },
        };
        let patch = [self.dim, context.image.channels, self.patch, self.patch];
        Ok(Box::new(Network {
            kernel: self.kernel,
            patch_embed: Linear::new(&init, "patch_embed.proj", &patch),
            blocks: (0..self.depth).map(block).collect(),
            norm: norm("norm"),
        }))
    }
}

impl EncoderSettings for ConvNet {
    fn check(&self, image: ImageShape) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !image.height.is_multiple_of(self.patch) || !image.width.is_multiple_of(self.patch) {
            let (h, w, p) = (image.height, image.width, self.patch);
            problems.push(Problem::new("patch", format!("{p} does not divide the image size {h} x {w}")));
        }
        if self.kernel.is_multiple_of(2) {
            let message = format!("{} is even; a convolution has a patch in its middle", self.kernel);
            problems.push(Problem::new("kernel", message).help("allowed: 1, 3, 5, ..., 15"));
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
        let (dim, hidden) = (self.dim, self.hidden());
        let block = 2 * dim + hidden * (self.window() + 1) + dim * (hidden + 1);
        let pixels = image.channels * self.patch * self.patch;
        Some((self.depth * block + dim * (pixels + 1) + 2 * dim) as u64)
    }
    fn layers(&self) -> usize {
        self.depth
    }
    fn cost(&self, image: ImageShape, visible: usize, _kept: usize) -> Option<Cost> {
        let (dim, hidden) = (self.dim, self.hidden());
        let block = cost::linear(visible, self.window(), hidden) + cost::linear(visible, hidden, dim);
        // Per block what enters it, the windows, and the hidden layer on both sides of its function.
        let activations = (visible * self.depth * (dim + self.window() + 2 * hidden)) as f64;
        let blocks = Cost { flop: self.depth as f64 * block, input: 0.0, activations };
        Some(cost::embedding(visible, image.channels * self.patch * self.patch, dim) + blocks)
    }
    build_on_devices!(encoder);
}

/// A residual block.
struct Block<D: Device<f32>> {
    norm: Norm<D>,
    /// `[hidden, kernel, kernel, dim]`
    conv: Linear<D>,
    project: Linear<D>,
}

impl<D: Backend> Block<D> {
    /// `(token, dim)` to `(token, dim)`; `windows` are the rows around every row.
    fn forward<T: Tape<f32, D>>(
        &self,
        x: Rows<D, T>,
        windows: &[u32],
        count: usize,
    ) -> Result<Rows<D, T>, ModelError> {
        let skip = x.retaped::<T>();
        let seen = D::gather_rows_wide(self.norm.forward(x)?, windows, count)?;
        let hidden = D::map(self.conv.forward(seen)?, Function::Gelu)?;
        D::add(self.project.forward(hidden)?, skip)
    }
    fn params(&self) -> impl Iterator<Item = &Param<D>> {
        self.norm.params().chain(&self.conv.params).chain(&self.project.params)
    }
    fn params_mut(&mut self) -> impl Iterator<Item = &mut Param<D>> {
        self.norm.params_mut().chain(&mut self.conv.params).chain(&mut self.project.params)
    }
}

/// The built encoder.
struct Network<D: Device<f32>> {
    kernel: usize,
    patch_embed: Linear<D>,
    blocks: Vec<Block<D>>,
    norm: Norm<D>,
}

/// For every token the rows of the patches around it, kernel row by kernel row; none for those that are hidden or beyond
/// the edge.
fn windows(layout: &Layout, grid: Grid, kernel: usize) -> Vec<u32> {
    let mut index = Vec::with_capacity(layout.positions.len() * kernel * kernel);
    let mut rows = vec![NONE; grid.len()];
    for range in layout.segments.ranges() {
        range.clone().for_each(|row| rows[layout.positions[row] as usize] = row as u32);
        for row in range.clone() {
            let patch = layout.positions[row] as usize;
            let at = |k: usize| {
                let (y, x) = (patch / grid.cols + k / kernel, patch % grid.cols + k % kernel);
                let (y, x) = (y.checked_sub(kernel / 2)?, x.checked_sub(kernel / 2)?);
                (y < grid.rows && x < grid.cols).then(|| rows[y * grid.cols + x])
            };
            index.extend((0..kernel * kernel).map(|k| at(k).unwrap_or(NONE)));
        }
        range.for_each(|row| rows[layout.positions[row] as usize] = NONE);
    }
    index
}

impl<D: Backend> Network<D> {
    /// Outputs of the last `count` blocks.
    fn outputs<T: Tape<f32, D>>(
        &self,
        batch: &PatchBatch<D>,
        count: usize,
        tape: T,
    ) -> Result<Vec<Rows<D, T>>, ModelError> {
        let windows = windows(&batch.layout, batch.grid, self.kernel);
        let mut x = self.patch_embed.forward_input(&batch.pixels, tape)?;
        let mut outputs = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, &windows, self.kernel * self.kernel)?;
            if i + count >= self.blocks.len() && i + 1 < self.blocks.len() {
                outputs.push(x.retaped::<T>());
            }
        }
        outputs.push(x);
        outputs.into_iter().map(|output| self.norm.forward(output)).collect()
    }
}

impl<D: Backend> Encoder<D> for Network<D> {
    fn encode(&self, batch: &PatchBatch<D>, request: &EncodeRequest) -> Result<Vec<Rows<D>>, ModelError> {
        let outputs = self.outputs(batch, request.layers, NoneTape)?;
        let Some(keep) = request.keep else { return Ok(outputs) };
        outputs.into_iter().map(|output| D::gather_sum(output, keep, &[])).collect()
    }
    fn encode_taped(&self, batch: &PatchBatch<D>, _: Mode) -> Result<TapedRows<D>, ModelError> {
        let mut outputs = self.outputs(batch, 1, OwnedTape::default())?;
        outputs.pop().ok_or_else(|| ModelError("convnet: no block".into()))
    }
}

impl<D: Backend> Parameters<D> for Network<D> {
    fn params(&self) -> Vec<&Param<D>> {
        let blocks = self.blocks.iter().flat_map(Block::params);
        self.patch_embed.params.iter().chain(blocks).chain(self.norm.params()).collect()
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let blocks = self.blocks.iter_mut().flat_map(Block::params_mut);
        self.patch_embed.params.iter_mut().chain(blocks).chain(self.norm.params_mut()).collect()
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::TensorFromVec;

    use super::*;

    const GRID: Grid = Grid { rows: 3, cols: 4 };

    /// A convolution over the dense grid in f64, with zeros where nothing is visible, read at the visible patches.
    #[test]
    fn it_is_a_dense_convolution_over_a_grid_with_zeros() {
        let settings = ConvNet { dim: 6, depth: 2, expansion: 1.5, patch: 2, ..ConvNet::default() };
        let (device, image) = (Cpu::default(), ImageShape { channels: 1, height: 6, width: 8 });
        let patches = || PatchMoments::standard(4);
        let context = EncoderContext { device: &device, seed: 3, image, patches: &patches };
        let network = settings.build(&context).unwrap();
        let held: usize = network.params().iter().map(|p| p.len()).sum();
        assert_eq!(settings.parameters(image), Some(held as u64));
        let sequences: [&[u32]; 2] = [&[0, 1, 4, 5, 7, 11], &[2, 9]];
        let layout = Layout::new(sequences);
        let mut stream = Stream::new(1, "test/convnet", 0, 0);
        let pixels: Vec<f32> = (0..layout.segments.rows() * 4).map(|_| stream.normal() as f32).collect();
        let tensor = device.tensor_from_vec(pixels.clone(), (layout.segments.rows(), 4));
        let batch = PatchBatch { pixels: tensor, layout: layout.clone(), grid: GRID };
        let found = network.tokens(&batch, None).unwrap().as_vec();
        let values = |name: &str| -> Vec<f64> {
            let param = network.params().into_iter().find(|p| p.name == name).unwrap().data.as_vec();
            param.into_iter().map(f64::from).collect()
        };
        let linear = |name: &str, x: &[f64]| -> Vec<f64> {
            let (weight, bias) = (values(&format!("{name}.weight")), values(&format!("{name}.bias")));
            let dot = |row: &[f64]| row.iter().zip(x).map(|(w, v)| w * v).sum::<f64>();
            weight.chunks_exact(x.len()).zip(&bias).map(|(row, b)| dot(row) + b).collect()
        };
        // Gain and bias of the norms are 1 and 0 at the start.
        let norm = |x: &[f64]| -> Vec<f64> {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
            x.iter().map(|v| (v - mean) / (variance + 1e-6).sqrt()).collect()
        };
        let gelu = |v: &f64| 0.5 * v * (1.0 + statrs::function::erf::erf(v / std::f64::consts::SQRT_2));
        let mut expected = Vec::new();
        for (sequence, range) in sequences.iter().zip(layout.segments.ranges()) {
            let pixel = |row: usize| pixels[row * 4..][..4].iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
            let mut dense: Vec<Option<Vec<f64>>> = vec![None; GRID.len()];
            for (&patch, row) in sequence.iter().zip(range) {
                dense[patch as usize] = Some(linear("patch_embed.proj", &pixel(row)));
            }
            for block in 0..2 {
                let normed: Vec<Vec<f64>> =
                    dense.iter().map(|x| x.as_ref().map_or(vec![0.0; 6], |x| norm(x))).collect();
                for &patch in *sequence {
                    let (row, col) = (patch as i32 / 4, patch as i32 % 4);
                    let mut seen = Vec::new();
                    for (dy, dx) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))) {
                        let inside = (0..3).contains(&(row + dy)) && (0..4).contains(&(col + dx));
                        let at = ((row + dy) * 4 + col + dx) as usize;
                        seen.extend(if inside { normed[at].clone() } else { vec![0.0; 6] });
                    }
                    let hidden: Vec<f64> =
                        linear(&format!("blocks.{block}.conv"), &seen).iter().map(gelu).collect();
                    let branch = linear(&format!("blocks.{block}.proj"), &hidden);
                    let x = dense[patch as usize].as_mut().unwrap();
                    x.iter_mut().zip(branch).for_each(|(x, b)| *x += b);
                }
            }
            expected.extend(sequence.iter().flat_map(|&patch| norm(dense[patch as usize].as_ref().unwrap())));
        }
        let off = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-5 && found.len() == expected.len(), "off by {off}");
    }

    #[test]
    fn an_even_kernel_has_no_middle() {
        let image = ImageShape { channels: 3, height: 32, width: 32 };
        assert!(ConvNet::default().check(image).is_empty());
        assert_eq!(ConvNet { kernel: 4, patch: 5, ..ConvNet::default() }.check(image).len(), 2);
    }
}
