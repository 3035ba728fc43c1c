//! Linear probe: how well a linear classifier does on frozen features.

mod classifier;
mod classifiers;
mod curvature;
mod design;
mod layers;
mod logistic_optimum;
mod metrics;
#[cfg(test)]
mod newton;
mod sgd;
mod shares;
mod softmax;

use ijepa_registry::prelude::*;

use super::shared::features::{NOTHING_TO_HOLD_OUT, PooledBy, check_counts, check_labelled, is_one};
use super::shared::scores::majority_rate;
use classifier::Measured;
use layers::Combine;

/// How the linear probe is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// Standardised features, the optimum of the regularised likelihood; weight decay chosen on a
    /// held-out part of train.
    Converged,
    /// Standardised features, SGD; learning rate and weight decay chosen on a held-out part of train.
    Tuned,
    /// Constant learning rate, no decay, raw features, last epoch: comparable with the reference
    /// implementation and sensitive to the scale of the features.
    Reference,
}

/// A published protocol, as far as its settings are ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Preset {
    /// The defaults of this probe.
    #[default]
    None,
    /// I-JEPA (arXiv 2301.08243, appendix A.2): the better of the last block and the last four, learning rates 0.001, 0.01
    /// and 0.05, decays 0 and 5e-4, 50 epochs. There LARS with batches of 16384 and steps, judged on test.
    Ijepa,
    /// DINOv2 (arXiv 2304.07193, appendix B.3): the last block or the last four, class token beside the mean, 13 learning
    /// rates from 1e-5 to 0.1, no decay, 10 epochs. There features as they are, judged on test.
    Dinov2,
    /// LeJEPA (arXiv 2511.08544): the last two blocks side by side. There AdamW behind a layer norm.
    Lejepa,
    /// MAE (arXiv 2111.06377, appendix A.1): standardised features, learning rate 0.1, no decay, 90 epochs. There LARS
    /// with batches of 16384.
    Mae,
}

/// What is written in YAML: much may be left to the preset.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LinearSettings {
    /// Source of what is not written.
    preset: Preset,
    /// How the classifier is fitted. Default: preset, else converged.
    protocol: Option<Protocol>,
    /// Passes over train (epochs) of SGD. Default: preset, else 30 (tuned) or 100 (reference).
    #[schemars(range(min = 1, max = 10_000))]
    epochs: Option<usize>,
    /// Images per step (tuned and reference).
    #[schemars(range(min = 1, max = 65_536))]
    batch_size: usize,
    /// Learning rate of the reference protocol (1 / step).
    #[schemars(range(min = 1e-8, max = 1e4))]
    learning_rate: f64,
    /// Peak learning rates that the tuned protocol tries (1 / step); cosine decay to 0. Default: preset, else 0.01, 0.03,
    /// 0.1, 0.3 and 1.
    #[schemars(length(min = 1, max = 64), inner(range(min = 1e-8, max = 1e4)))]
    learning_rates: Option<Vec<f64>>,
    /// Weight decays (L2, not on the bias) that are tried: above 0 for the converged protocol, by default
    /// 1e-6 to 1e-2 by tens; for the tuned one (1 / step) 0, 1e-4, 1e-3 and 1e-2, if the preset has none.
    #[schemars(length(min = 1, max = 64), inner(range(min = 0.0, max = 10.0)))]
    weight_decays: Option<Vec<f64>>,
    /// Part of every class of train that the converged and the tuned protocol choose on (fraction).
    #[schemars(range(min = 0.001, max = 0.9))]
    held_out: f64,
    /// Last blocks of the encoder that are looked at, their outputs side by side. Default: preset, else 1.
    #[schemars(range(min = 1, max = 1000))]
    layers: Option<usize>,
    /// What is made of the tokens of a block. Default: preset, else mean.
    #[schemars(extend("x-aliases" = ["pool", "global_pool"]))]
    pooling: Option<PooledBy>,
    /// What is made of the outputs of several blocks.
    combine: Combine,
    /// Numbers of last blocks to choose from on the held-out part, in the place of `layers`. Default: preset, else none.
    #[schemars(length(max = 16), inner(range(min = 1, max = 1000)))]
    layer_grid: Option<Vec<usize>>,
}

impl Default for LinearSettings {
    fn default() -> Self {
        LinearSettings {
            preset: Preset::None,
            protocol: None,
            epochs: None,
            batch_size: 256,
            learning_rate: 0.1,
            learning_rates: None,
            weight_decays: None,
            held_out: 0.1,
            layers: None,
            pooling: None,
            combine: Combine::Concat,
            layer_grid: None,
        }
    }
}

impl Preset {
    /// What it sets.
    fn settings(self) -> LinearSettings {
        let none = LinearSettings::default();
        let (tuned, grid) = (Some(Protocol::Tuned), Some(vec![1, 4]));
        match self {
            Preset::None => none,
            Preset::Ijepa => LinearSettings {
                protocol: tuned,
                epochs: Some(50),
                learning_rates: Some(vec![0.001, 0.01, 0.05]),
                weight_decays: Some(vec![0.0, 5e-4]),
                layer_grid: grid,
                ..none
            },
            Preset::Dinov2 => LinearSettings {
                protocol: tuned,
                epochs: Some(10),
                learning_rates: Some(vec![
                    1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1,
                ]),
                weight_decays: Some(vec![0.0]),
                pooling: Some(PooledBy::ClassAndMean),
                layer_grid: grid,
                ..none
            },
            Preset::Lejepa => LinearSettings { layers: Some(2), ..none },
            Preset::Mae => LinearSettings {
                protocol: tuned,
                epochs: Some(90),
                learning_rates: Some(vec![0.1]),
                weight_decays: Some(vec![0.0]),
                ..none
            },
        }
    }
}

/// Settings of `probe: { kind: linear }`, nothing left to a preset.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "LinearSettings")]
pub(crate) struct Linear {
    pub protocol: Protocol,
    pub epochs: Option<usize>,
    pub batch_size: usize,
    pub learning_rate: f64,
    pub learning_rates: Vec<f64>,
    pub weight_decays: Option<Vec<f64>>,
    pub held_out: f64,
    #[serde(skip_serializing_if = "is_one")]
    pub layers: usize,
    #[serde(skip_serializing_if = "PooledBy::is_default")]
    pub pooling: PooledBy,
    #[serde(skip_serializing_if = "Combine::is_default")]
    pub combine: Combine,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layer_grid: Vec<usize>,
}

impl From<LinearSettings> for Linear {
    fn from(own: LinearSettings) -> Self {
        let mut preset = own.preset.settings();
        if own.protocol.is_some_and(|protocol| preset.protocol.is_some_and(|other| other != protocol)) {
            // What the preset says of SGD means nothing to another protocol.
            preset = LinearSettings { epochs: None, learning_rates: None, weight_decays: None, ..preset };
        }
        // A number of blocks that is written stands in the place of a grid, and the other way round.
        let grid = own.layer_grid.or(if own.layers.is_none() { preset.layer_grid } else { None });
        let layers = own.layers.or(if grid.is_none() { preset.layers } else { None });
        let default_rates = || vec![0.01, 0.03, 0.1, 0.3, 1.0];
        Linear {
            protocol: own.protocol.or(preset.protocol).unwrap_or(Protocol::Converged),
            epochs: own.epochs.or(preset.epochs),
            batch_size: own.batch_size,
            learning_rate: own.learning_rate,
            learning_rates: own.learning_rates.or(preset.learning_rates).unwrap_or_else(default_rates),
            weight_decays: own.weight_decays.or(preset.weight_decays),
            held_out: own.held_out,
            layers: layers.unwrap_or(1),
            pooling: own.pooling.or(preset.pooling).unwrap_or_default(),
            combine: own.combine,
            layer_grid: grid.unwrap_or_default(),
        }
    }
}

impl Default for Linear {
    fn default() -> Self {
        LinearSettings::default().into()
    }
}

impl JsonSchema for Linear {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        LinearSettings::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        LinearSettings::json_schema(generator)
    }
}

component! {
    /// Multinomial logistic regression on frozen features.
    ///
    /// `protocol: converged` standardises features with the statistics of train and fits the optimum of
    /// the regularised likelihood (as in CLIP, Radford et al. 2021, arXiv 2103.00020): the minimum of
    /// mean cross-entropy plus decay / 2 |W|^2, with biases that are not decayed. Every weight decay is
    /// fitted to train without a stratified held-out part; the one with the best held-out accuracy (then
    /// likelihood) is fitted again to all of train. `gap` certifies how close that is: the objective is
    /// at most so far above its minimum, 1e-7 nats or less. Neither learning rate nor batch order nor
    /// number of epochs influences it. A single weight decay is taken as it is. There is no optimum
    /// without decay where classes can be separated, so decays are above 0.
    ///
    /// `protocol: tuned` trains every pair of learning rate and weight decay side by side (SGD,
    /// momentum 0.9, cosine decay, from zero weights), chosen and fitted again in the same way. It stops
    /// short of the optimum where features are nearly collinear or images few.
    ///
    /// `protocol: reference` is the protocol of `sombersomni/ijepa-homemade@fea7df9`: SGD 0.1, momentum
    /// 0.9, no decay, batch 256, 100 epochs, constant rate, PyTorch's initialisation, features as
    /// they are, test accuracy after the last epoch.
    ///
    /// `layers: 4` looks at the last four blocks side by side, with `combine: mean` at their mean; `layer_grid: [1, 4]`
    /// takes whichever of the last block and the last four does better on the held-out part, of one pass over the
    /// images, and costs as many fits as it has entries. `preset` fills in what a paper did, with this probe's classifier
    /// and choice on held-out images.
    ///
    /// The held-out accuracy is the best of the grid, hence slightly optimistic. A column says when the
    /// choice is the smallest (-1) or the largest (1) value that was tried: a wider grid may do better.
    probe "linear" => Linear, example = "{ protocol: converged, held_out: 0.1 }",
    aliases = ["linear_probe" => "linear", "logistic" => "linear"]
}

impl Linear {
    /// Passes of SGD.
    pub fn epochs(&self) -> usize {
        self.epochs.unwrap_or(if self.protocol == Protocol::Reference { 100 } else { 30 })
    }

    /// Weight decays to try.
    pub fn decays(&self) -> Vec<f64> {
        self.weight_decays.clone().unwrap_or_else(|| match self.protocol {
            Protocol::Converged => vec![1e-6, 1e-5, 1e-4, 1e-3, 1e-2],
            Protocol::Tuned | Protocol::Reference => vec![0.0, 1e-4, 1e-3, 1e-2],
        })
    }

    /// Whether something is chosen on a held-out part of train.
    pub fn chooses(&self) -> bool {
        match self.protocol {
            Protocol::Converged => self.decays().len() > 1,
            Protocol::Tuned => true,
            Protocol::Reference => false,
        }
    }
}

impl Probe for Linear {
    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |path: &str, wrong: bool, message: &str| {
            if wrong {
                problems.push(Problem::new(path, message));
            }
        };
        let positive = |v: f64| v > 0.0 && v.is_finite();
        refuse("epochs", self.epochs == Some(0), "at least one epoch is needed");
        refuse("batch_size", self.batch_size == 0, "at least one image per step is needed");
        refuse("learning_rate", !positive(self.learning_rate), "must be above 0");
        let rates = &self.learning_rates;
        refuse(
            "learning_rates",
            rates.is_empty() || !rates.iter().all(|&r| positive(r)),
            "must be a list of values above 0",
        );
        let (decays, converged) = (self.decays(), self.protocol == Protocol::Converged);
        let some = decays.iter().all(|&d| positive(d));
        refuse(
            "weight_decays",
            converged && !some,
            "must be above 0 for `protocol: converged`: classes that can be separated have no optimum without decay",
        );
        refuse(
            "weight_decays",
            decays.is_empty() || !decays.iter().all(|&d| d == 0.0 || positive(d)),
            "must be a list of values of 0 or more",
        );
        refuse("epochs", converged && self.epochs.is_some(), "is for SGD; `protocol: converged` needs none");
        let grid = &self.layer_grid;
        let help =
            "needs something to be chosen by: `protocol: converged` with several weight decays, or `tuned`";
        refuse("layer_grid", !grid.is_empty() && !self.chooses(), help);
        refuse(
            "layer_grid",
            !grid.is_empty() && self.layers != 1,
            "stands in the place of `layers`; leave that out",
        );
        refuse("held_out", !(0.0..=0.9).contains(&self.held_out), "must be a fraction up to 0.9");
        problems
    }

    fn predicts(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        let most = self.layer_grid.iter().copied().max();
        self.pooling.of(most.unwrap_or(self.layers))
    }

    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        let single = self.chooses() && counts.train.iter().all(|&n| n <= 1);
        let help = "take `knn`, or a single weight decay, such as `weight_decays: [0.001]`";
        let nothing = Problem::new("held_out", NOTHING_TO_HOLD_OUT).help(help);
        let problem = check_counts(counts).or(single.then_some(nothing));
        problem.into_iter().collect()
    }

    /// What the passes over the images hold, of every class, and moments and factor of the features; for
    /// SGD heads of the whole grid, with velocity, gradient and packed weights.
    fn memory(&self, sizes: &ProbeSizes) -> Option<u64> {
        let ProbeSizes { train, test, dim, classes, .. } = *sizes;
        let values = match self.protocol {
            Protocol::Converged => {
                let (logits, moments) = ((5 * train + test) * classes, 3 * dim * dim);
                2 * (logits + moments + 60 * classes * (dim + 1)) + 3072 * dim
            }
            Protocol::Tuned => 5 * self.learning_rates.len() * self.decays().len() * classes * (dim + 1),
            Protocol::Reference => 5 * classes * (dim + 1),
        };
        Some(4 * (values + 2 * self.batch_size * (dim + 64 * classes)) as u64)
    }

    fn metrics(&self) -> Vec<MetricDecl> {
        metrics::of(self)
    }

    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        check_labelled(data)?;
        layers::measure(self, data, context)
    }
}

impl Linear {
    fn fit(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        let Measured { test, said: (predictions, scores), classifier, train, choice } = match self.protocol {
            Protocol::Converged => classifier::converged(self, data, context)?,
            Protocol::Tuned => classifier::tuned(self, data, context)?,
            Protocol::Reference => classifier::reference(self, data, context),
        };
        if !test.nll.is_finite() {
            return Err(ProbeError("the classifier diverged; try a smaller learning rate".into()));
        }
        let mut values = vec![test.top1, test.balanced, majority_rate(data), train.top1, test.nll];
        values.extend(choice);
        Ok(Findings::from(values).predicting(predictions).scoring(scores).classifying_by(classifier))
    }
}

#[cfg(test)]
mod tests {
    use super::super::shared::features::tests::{assert_same_in_any_pool, error_of};
    use super::*;

    #[test]
    fn all_protocols_learn_and_do_not_depend_on_threads() {
        // 4 classes of spread 2 around standard normal centres in 40 dimensions: about 95 %. The
        // batch is wide enough to be shared between threads.
        let tuned =
            Linear { protocol: Protocol::Tuned, epochs: Some(20), batch_size: 1000, ..Linear::default() };
        let found = assert_same_in_any_pool(&tuned, 1200, 40);
        assert!(found[0] > 85.0 && found[5] > 85.0, "{found:?}");
        let found = assert_same_in_any_pool(&Linear::default(), 1200, 40);
        assert!(found[0] > 85.0 && found[5] > 85.0 && found[9] <= 1e-7, "{found:?}");
        let reference = Linear { protocol: Protocol::Reference, epochs: Some(5), ..Linear::default() };
        assert!(assert_same_in_any_pool(&reference, 1200, 40)[0] > 80.0);
    }

    #[test]
    fn a_single_weight_decay_is_taken_as_it_is() {
        let one = Linear { weight_decays: Some(vec![1e-3]), ..Linear::default() };
        let found = assert_same_in_any_pool(&one, 200, 10);
        let metrics = one.metrics();
        let value = |name| found[metrics.iter().position(|m| m.name == name).unwrap()];
        assert!(
            value("weight_decay") == 1e-3 && value("weight_decay_at_edge") == 0.0 && value("gap") <= 1e-7
        );
        assert!(metrics.iter().all(|m| m.name != "val_top1"));
    }

    #[test]
    fn a_single_image_per_class_cannot_be_held_out() {
        let error = error_of(&Linear::default(), &[1.0; 4], &[0, 1], 2);
        assert!(error.contains("nothing to hold out"), "{error}");
    }

    #[test]
    fn a_preset_is_what_it_stands_for_and_gives_way_to_what_is_written() {
        let read = |json| serde_json::from_value::<Linear>(json).unwrap();
        let written = |probe: &Linear| serde_json::to_value(probe).unwrap();
        let none = serde_json::json!({});
        assert_eq!(written(&read(serde_json::json!({ "preset": "none" }))), written(&read(none)));
        let dino = read(serde_json::json!({ "preset": "dinov2" }));
        assert_eq!(
            (dino.learning_rates.len(), dino.pooling, &dino.layer_grid[..]),
            (13, PooledBy::ClassAndMean, &[1, 4][..])
        );
        assert_eq!(written(&read(written(&dino))), written(&dino), "written out it needs no preset");
        let own =
            read(serde_json::json!({ "preset": "dinov2", "layers": 3, "pooling": "mean", "epochs": 5 }));
        assert_eq!(
            (own.layers, own.pooling, own.epochs, own.layer_grid.len()),
            (3, PooledBy::Mean, Some(5), 0)
        );
        for preset in ["ijepa", "dinov2", "lejepa", "mae"] {
            for more in [serde_json::json!({}), serde_json::json!({ "protocol": "converged" })] {
                let mut settings = more;
                settings["preset"] = preset.into();
                assert!(read(settings.clone()).check().is_empty(), "{settings}");
            }
        }
    }

    #[test]
    fn check_names_each_bad_setting() {
        let bad = Linear {
            batch_size: 0,
            learning_rates: vec![],
            weight_decays: Some(vec![0.0, 1.0]),
            epochs: Some(3),
            held_out: 2.0,
            ..Linear::default()
        };
        let paths: Vec<_> = bad.check().into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["batch_size", "learning_rates", "weight_decays", "epochs", "held_out"]);
        assert!(Linear::default().check().is_empty());
    }
}
