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

use super::shared::features::{NOTHING_TO_HOLD_OUT, check_counts, check_labelled, is_one};
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

/// Settings of `probe: { kind: linear }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Linear {
    /// How the classifier is fitted.
    pub protocol: Protocol,
    /// Passes over train (epochs) of SGD; by default 30 (tuned) or 100 (reference).
    #[schemars(range(min = 1, max = 10_000))]
    pub epochs: Option<usize>,
    /// Images per step (tuned and reference).
    #[schemars(range(min = 1, max = 65_536))]
    pub batch_size: usize,
    /// Learning rate of the reference protocol (1 / step).
    #[schemars(range(min = 1e-8, max = 1e4))]
    pub learning_rate: f64,
    /// Peak learning rates that the tuned protocol tries (1 / step); cosine decay to 0.
    #[schemars(length(min = 1, max = 64), inner(range(min = 1e-8, max = 1e4)))]
    pub learning_rates: Vec<f64>,
    /// Weight decays (L2, not on the bias) that are tried: above 0 for the converged protocol, by default
    /// 1e-6 to 1e-2 by tens; for the tuned one (1 / step) 0, 1e-4, 1e-3 and 1e-2.
    #[schemars(length(min = 1, max = 64), inner(range(min = 0.0, max = 10.0)))]
    pub weight_decays: Option<Vec<f64>>,
    /// Part of every class of train that the converged and the tuned protocol choose on (fraction).
    #[schemars(range(min = 0.001, max = 0.9))]
    pub held_out: f64,
    /// Last blocks of the encoder that are looked at, their outputs side by side.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "is_one")]
    pub layers: usize,
    /// What is made of their outputs.
    #[serde(skip_serializing_if = "Combine::is_default")]
    pub combine: Combine,
    /// Numbers of last blocks to choose from on the held-out part, in the place of `layers`.
    #[schemars(length(max = 16), inner(range(min = 1, max = 1000)))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layer_grid: Vec<usize>,
}

impl Default for Linear {
    fn default() -> Self {
        Linear {
            protocol: Protocol::Converged,
            epochs: None,
            batch_size: 256,
            learning_rate: 0.1,
            learning_rates: vec![0.01, 0.03, 0.1, 0.3, 1.0],
            weight_decays: None,
            held_out: 0.1,
            layers: 1,
            combine: Combine::Concat,
            layer_grid: Vec::new(),
        }
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
    /// images: the protocol of I-JEPA (arXiv 2301.08243, appendix A.2) and DINOv2 (arXiv 2304.07193, appendix B.3), there
    /// judged on test. A grid costs as many fits as it has entries.
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
        Needs { layers: most.unwrap_or(self.layers), ..Needs::POOLED }
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
