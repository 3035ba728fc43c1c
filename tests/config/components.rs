//! One small component per kind, so that the configuration can be tested without the house's own.

use ijepa_run::registry::{prelude::*, tensor::Cpu};

/// Settings of the images.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Images {
    /// Side in pixels.
    #[schemars(range(min = 4, max = 512))]
    size: usize,
    /// Training images; unknown before loading if left out.
    train: Option<usize>,
    /// Where to keep them.
    #[schemars(extend("x-cosmetic" = true))]
    folder: String,
    /// Whether they are read from files.
    #[schemars(extend("x-cosmetic" = true))]
    on_disk: bool,
}

impl Default for Images {
    fn default() -> Self {
        Images { size: 32, train: Some(1000), folder: "data".into(), on_disk: false }
    }
}

component! {
    /// Images for tests.
    dataset "test_images" => Images, example = "{ size: 32 }"
}

impl Dataset for Images {
    fn shape(&self) -> ImageShape {
        ImageShape { channels: 3, height: self.size, width: self.size }
    }
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn reads_files(&self) -> bool {
        self.on_disk
    }
    fn survey(&self) -> Result<Option<Survey>, DataError> {
        let labels = vec![Factor { name: "class".into(), values: 2, train: None }];
        Ok(self.train.map(|train| Survey { train, test: 100, labels, ..Survey::default() }))
    }
    fn load(&self, _: &LoadContext) -> Result<ImageSet, DataError> {
        Err(DataError("a test has no images".into()))
    }
}

/// Settings of the flip.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Flip {}

component! {
    /// Flips nothing.
    augmentation "test_flip" => Flip, example = "{}"
}

impl Augmentation for Flip {
    fn check(&self, _: ImageShape) -> Vec<Problem> {
        Vec::new()
    }
    fn apply(&self, _: &mut Image, _: &mut Stream) {}
}

/// Settings of the encoder.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Vit {
    /// Number of blocks.
    #[schemars(range(min = 1, max = 64))]
    depth: usize,
    /// Width of a token.
    #[schemars(range(min = 1))]
    dim: usize,
    /// Side of a patch in pixels.
    #[schemars(range(min = 1))]
    patch: usize,
    /// Share of paths dropped in training.
    #[schemars(range(min = 0.0, max = 1.0))]
    drop_path: f64,
    /// Table or learned.
    positions: Positions,
}

/// Position embedding.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Positions {
    /// Fixed table.
    SinCos,
    /// Trained.
    Learned,
}

impl Default for Vit {
    fn default() -> Self {
        Vit { depth: 2, dim: 16, patch: 4, drop_path: 0.0, positions: Positions::SinCos }
    }
}

component! {
    /// An encoder that cannot be built.
    encoder "test_vit" => Vit, example = "{ depth: 2 }"
}

impl EncoderSettings for Vit {
    fn check(&self, _: ImageShape) -> Vec<Problem> {
        Vec::new()
    }
    fn patch(&self) -> usize {
        self.patch
    }
    fn dim(&self) -> usize {
        self.dim
    }
    fn cpu(&self, _: &EncoderContext<Cpu>) -> Result<Box<dyn Encoder<Cpu>>, ModelError> {
        Err(ModelError("a test builds no model".into()))
    }
    #[cfg(feature = "cuda-base")]
    fn cuda(
        &self,
        _: &EncoderContext<dfdx::prelude::Cuda>,
    ) -> Result<Box<dyn Encoder<dfdx::prelude::Cuda>>, ModelError> {
        Err(ModelError("a test builds no model".into()))
    }
}

/// Settings of the predictor.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Narrow {
    /// Width; that of the encoder if 0.
    dim: usize,
}

component! {
    /// A predictor that cannot be built.
    predictor "test_narrow" => Narrow, example = "{ dim: 8 }"
}

impl PredictorSettings for Narrow {
    fn check(&self, encoder_dim: usize) -> Vec<Problem> {
        let wide = self.dim > encoder_dim;
        let message = || format!("is {}, wider than the encoder's {encoder_dim}", self.dim);
        wide.then(|| Problem::new("dim", message())).into_iter().collect()
    }
    fn cpu(&self, _: &PredictorContext<Cpu>) -> Result<Box<dyn Predictor<Cpu>>, ModelError> {
        Err(ModelError("a test builds no model".into()))
    }
    #[cfg(feature = "cuda-base")]
    fn cuda(
        &self,
        _: &PredictorContext<dfdx::prelude::Cuda>,
    ) -> Result<Box<dyn Predictor<dfdx::prelude::Cuda>>, ModelError> {
        Err(ModelError("a test builds no model".into()))
    }
}

/// Settings of the halves.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Half {
    /// Target patches to leave out.
    gap: usize,
    /// Sizes of two blocks.
    scale: (f64, f64),
}

component! {
    /// Left half sees, right half is predicted.
    masking "test_half" => Half, example = "{ gap: 0 }"
}

impl Masking for Half {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        let fits = self.gap < grid.len();
        let problem = || Problem::new("gap", format!("is {}; the grid has {} patches", self.gap, grid.len()));
        (!fits).then(|| problem().help("take a smaller gap")).into_iter().collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        let half = grid.cols / 2;
        let context = grid.block(0, 0, grid.rows, half);
        let targets = vec![grid.block(0, half, grid.rows, grid.cols - half)];
        MaskBatch { plans: vec![MaskPlan::new(context, targets); draw.images.len()], redraws: 0 }
    }
}

/// Settings of the ratio.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ratio {
    /// Share of patches seen.
    #[schemars(range(min = 0.1, max = 0.9))]
    ratio: f64,
}

component! {
    /// Needs a setting.
    masking "test_ratio" => Ratio, example = "{ ratio: 0.5 }"
}

impl Masking for Ratio {
    fn check(&self, _: Grid) -> Vec<Problem> {
        Vec::new()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        Half::default().sample(grid, draw)
    }
}

/// No settings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoLoss {}

component! {
    /// A loss that is never computed.
    loss "test_none" => NoLoss, example = "{}"
}

impl LossSettings for NoLoss {
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn cpu(&self) -> Box<dyn Loss<Cpu>> {
        unimplemented!("a test builds no model")
    }
    #[cfg(feature = "cuda-base")]
    fn cuda(&self) -> Box<dyn Loss<dfdx::prelude::Cuda>> {
        unimplemented!("a test builds no model")
    }
}

/// No settings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoStep {}

component! {
    /// An optimizer that never steps.
    optimizer "test_still" => NoStep, example = "{}"
}

impl OptimizerSettings for NoStep {
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn cpu(&self) -> Box<dyn Optimizer<Cpu>> {
        unimplemented!("a test builds no model")
    }
    #[cfg(feature = "cuda-base")]
    fn cuda(&self) -> Box<dyn Optimizer<dfdx::prelude::Cuda>> {
        unimplemented!("a test builds no model")
    }
}

/// Settings of the line.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Line {
    /// First value.
    start: f64,
    /// Last value.
    end: f64,
    /// Epochs before it starts.
    #[serde(default)]
    wait: u64,
}

component! {
    /// A straight line.
    schedule "test_line" => Line, example = "{ start: 0, end: 1 }"
}

impl Schedule for Line {
    fn check(&self, horizon: Horizon) -> Vec<Problem> {
        let late = self.wait * horizon.steps_per_epoch >= horizon.steps;
        late.then(|| Problem::new("wait", format!("is {}, as long as the run", self.wait)))
            .into_iter()
            .collect()
    }
    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        self.start + (self.end - self.start) * step as f64 / horizon.steps.max(1) as f64
    }
    fn end_points(&self, _: Horizon) -> (Option<f64>, Option<f64>) {
        (Some(self.start), Some(self.end))
    }
}

/// Settings of the neighbours.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Neighbours {
    /// Neighbours that vote.
    #[schemars(range(min = 1))]
    k: usize,
}

impl Default for Neighbours {
    fn default() -> Self {
        Neighbours { k: 20 }
    }
}

component! {
    /// Measures nothing.
    probe "test_knn" => Neighbours, example = "{ k: 20 }"
}

impl Probe for Neighbours {
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        Vec::new()
    }
    fn measure(&self, _: &ProbeData, _: &ProbeContext) -> Result<Findings, ProbeError> {
        Ok(Findings::default())
    }
}
