//! Initial values. Every parameter draws from a stream of its own name, so that changing one part
//! of a model leaves the initial values of all other parts as they were.

use ijepa_registry::prelude::*;

/// Where initial values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitScheme {
    /// PyTorch's defaults: linear layers uniform in +-1/sqrt(fan_in), attention input projection
    /// Xavier-uniform, attention biases 0. What the CIFAR-10 reference uses.
    Torch,
    /// Truncated normal of standard deviation 0.02, biases 0. What Meta's released training code
    /// effectively uses.
    Trunc,
    /// As `trunc`, and the two output projections of block l (from 1) divided by sqrt(2 l), as
    /// Meta's constructor intends.
    TruncRescaled,
}

/// Makes the named, initialised parameters of one module tree.
pub struct Init<'a, D: Device<f32>> {
    device: &'a D,
    seed: u64,
    root: &'static str,
    scheme: InitScheme,
}

impl<'a, D: Device<f32>> Init<'a, D> {
    /// Parameters of the tree `root` (`encoder`, `predictor`) under `seed`.
    pub fn new(device: &'a D, seed: u64, root: &'static str, scheme: InitScheme) -> Self {
        Init { device, seed, root, scheme }
    }

    /// Weight `[out, in]` and bias `[out]` of a linear layer.
    pub fn linear(&self, name: &str, dims: &[usize]) -> [Param<D>; 2] {
        let fan_in: usize = dims[1..].iter().product();
        let bound = 1.0 / (fan_in as f64).sqrt();
        [
            self.weight(&format!("{name}.weight"), dims, bound, 1.0),
            match self.scheme {
                InitScheme::Torch => self.uniform(&format!("{name}.bias"), &dims[..1], bound),
                _ => self.constant(&format!("{name}.bias"), &dims[..1], 0.0),
            },
        ]
    }

    /// `parts` of query, key and value projection, packed into `[parts dim, dim]`, with zero bias.
    pub fn attention_input(&self, name: &str, dim: usize, parts: usize) -> [Param<D>; 2] {
        // Xavier-uniform over the packed matrix of all three, as torch.nn.MultiheadAttention draws it.
        let bound = (6.0 / (4 * dim) as f64).sqrt();
        [
            self.weight(&format!("{name}.weight"), &[parts * dim, dim], bound, 1.0),
            self.constant(&format!("{name}.bias"), &[parts * dim], 0.0),
        ]
    }

    /// Output projection of the attention of block `block` (from 1) with zero bias.
    pub fn attention_output(&self, name: &str, dim: usize, block: usize) -> [Param<D>; 2] {
        let bound = 1.0 / (dim as f64).sqrt();
        [
            self.weight(&format!("{name}.weight"), &[dim, dim], bound, self.rescale(block)),
            self.constant(&format!("{name}.bias"), &[dim], 0.0),
        ]
    }

    /// Second linear layer of the MLP of block `block` (from 1).
    pub fn mlp_output(&self, name: &str, dims: &[usize; 2], block: usize) -> [Param<D>; 2] {
        let [mut weight, bias] = self.linear(name, dims);
        if self.scheme == InitScheme::TruncRescaled {
            let bound = 1.0 / (dims[1] as f64).sqrt();
            weight = self.weight(&format!("{name}.weight"), dims, bound, self.rescale(block));
        }
        [weight, bias]
    }

    /// A table of learned tokens, normal with standard deviation 0.02.
    pub fn tokens(&self, name: &str, dims: &[usize]) -> Param<D> {
        self.drawn(name, dims, |s| 0.02 * s.normal())
    }

    /// A fixed table.
    pub fn fixed(&self, name: &str, dims: &[usize], values: Vec<f32>) -> Param<D> {
        Param { trainable: false, ..self.param(name, dims, values) }
    }

    fn rescale(&self, block: usize) -> f64 {
        match self.scheme {
            InitScheme::TruncRescaled => 1.0 / ((2 * block) as f64).sqrt(),
            _ => 1.0,
        }
    }

    fn weight(&self, name: &str, dims: &[usize], bound: f64, scale: f64) -> Param<D> {
        match self.scheme {
            InitScheme::Torch => self.uniform(name, dims, bound),
            _ => self.drawn(name, dims, |s| scale * truncated_normal(s)),
        }
    }

    fn uniform(&self, name: &str, dims: &[usize], bound: f64) -> Param<D> {
        self.drawn(name, dims, |s| s.uniform_in(-bound, bound))
    }

    /// All values equal: gains and biases.
    pub fn constant(&self, name: &str, dims: &[usize], value: f32) -> Param<D> {
        self.param(name, dims, vec![value; dims.iter().product()])
    }

    fn drawn(&self, name: &str, dims: &[usize], mut draw: impl FnMut(&mut Stream) -> f64) -> Param<D> {
        let mut stream = Stream::new(self.seed, &format!("init/{}.{name}", self.root), 0, 0);
        let values = (0..dims.iter().product()).map(|_| draw(&mut stream) as f32).collect();
        self.param(name, dims, values)
    }

    fn param(&self, name: &str, dims: &[usize], values: Vec<f32>) -> Param<D> {
        let shape = (values.len(),);
        let data = self.device.tensor_from_vec(values, shape);
        Param {
            name: name.to_string(),
            dims: dims.to_vec(),
            data,
            trainable: true,
            precision: MatmulPrecision::F32,
        }
    }
}

/// Normal with standard deviation 0.02, cut off at +-2 (in absolute value, as Meta calls
/// `trunc_normal_`: a hundred standard deviations, so the cut never happens).
fn truncated_normal(stream: &mut Stream) -> f64 {
    0.02 * stream.normal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(p: &Param<Cpu>) -> (f64, f64) {
        let v = p.data.as_vec();
        let mean = v.iter().map(|&x| f64::from(x)).sum::<f64>() / v.len() as f64;
        let var = v.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / v.len() as f64;
        (mean, var.sqrt())
    }

    #[test]
    fn schemes_have_their_documented_spread() {
        let dev = Cpu::default();
        let init = |s| Init::new(&dev, 3, "encoder", s);
        let torch = init(InitScheme::Torch).linear("a", &[256, 192]);
        // Uniform in +-b has standard deviation b / sqrt(3).
        assert!((moments(&torch[0]).1 - 1.0 / (192.0f64 * 3.0).sqrt()).abs() < 1e-3);
        let trunc = init(InitScheme::Trunc).mlp_output("a", &[192, 768], 8);
        assert!((moments(&trunc[0]).1 - 0.02).abs() < 3e-4);
        let rescaled = init(InitScheme::TruncRescaled).mlp_output("a", &[192, 768], 8);
        assert!((moments(&rescaled[0]).1 - 0.005).abs() < 1e-4);
        assert_eq!(moments(&rescaled[1]), (0.0, 0.0));
    }

    #[test]
    fn a_parameter_depends_on_its_name_and_seed_only() {
        let dev = Cpu::default();
        let value =
            |seed, name| Init::new(&dev, seed, "encoder", InitScheme::Torch).tokens(name, &[4]).data.as_vec();
        assert_eq!(value(1, "a"), value(1, "a"));
        assert_ne!(value(1, "a"), value(1, "b"));
        assert_ne!(value(1, "a"), value(2, "a"));
    }
}
