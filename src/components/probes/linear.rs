//! Linear probe: how well a linear classifier does on frozen features.

use ijepa_registry::prelude::*;

use super::features::{Standardiser, check_labelled, hold_out};
use super::heads::{Heads, Samples, best};
use super::optimum::{self, gram};
use super::sgd::{Recipe, fit};

const MOMENTUM: f64 = 0.9;

/// How the linear probe is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    /// Standardised features; learning rate and weight decay chosen on a held-out part of train.
    Tuned,
    /// Standardised features, the optimum of the regularised likelihood; weight decay chosen on a
    /// held-out part of train.
    Converged,
    /// Constant learning rate, no decay, raw features, last epoch: comparable with the reference
    /// implementation and sensitive to the scale of the features.
    Reference,
}

/// Settings of `probe: { kind: linear }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Linear {
    /// How the classifier is fitted.
    protocol: Protocol,
    /// Passes over train (epochs); by default 30 (tuned), 100 (reference) or at most 500 (converged).
    #[schemars(range(min = 1, max = 10_000))]
    epochs: Option<usize>,
    /// Images per step (tuned and reference).
    #[schemars(range(min = 1, max = 65_536))]
    batch_size: usize,
    /// Learning rate of the reference protocol (1 / step).
    #[schemars(range(min = 1e-8, max = 1e4))]
    learning_rate: f64,
    /// Peak learning rates that the tuned protocol tries (1 / step); cosine decay to 0.
    #[schemars(length(min = 1, max = 64), inner(range(min = 1e-8, max = 1e4)))]
    learning_rates: Vec<f64>,
    /// Weight decays (L2, not on the bias) that the tuned (1 / step) and the converged protocol try.
    #[schemars(length(min = 1, max = 64), inner(range(min = 0.0, max = 10.0)))]
    weight_decays: Vec<f64>,
    /// Part of every class of train that the tuned and the converged protocol choose on (fraction).
    #[schemars(range(min = 0.001, max = 0.9))]
    held_out: f64,
}

impl Default for Linear {
    fn default() -> Self {
        Linear {
            protocol: Protocol::Tuned,
            epochs: None,
            batch_size: 256,
            learning_rate: 0.1,
            learning_rates: vec![0.01, 0.03, 0.1, 0.3, 1.0],
            weight_decays: vec![0.0, 1e-4, 1e-3, 1e-2],
            held_out: 0.1,
        }
    }
}

component! {
    /// Multinomial logistic regression on frozen features.
    ///
    /// `protocol: tuned` standardises features with the statistics of train, trains every pair of
    /// learning rate and weight decay side by side on train without a stratified held-out part
    /// (SGD, momentum 0.9, cosine decay, from zero weights), keeps the pair with the best held-out
    /// accuracy (then likelihood), fits it again to all of train, and reports test. The held-out
    /// accuracy is the best of the grid, hence slightly optimistic; a choice at the edge of a grid
    /// asks for a wider one.
    ///
    /// `protocol: converged` fits the optimum instead (as in CLIP, Radford et al. 2021, arXiv
    /// 2103.00020): for every weight decay the minimum of mean cross-entropy plus decay / 2 |W|^2, to
    /// about 1e-6 nats, chosen and fitted again as above. No learning rate, batch order or number of
    /// epochs influences it, and it takes a fraction of the time. Without decay and with few images
    /// per feature there is no optimum, and `passes` ends at `epochs`.
    ///
    /// `protocol: reference` is the protocol of the reference implementation: SGD 0.1, momentum
    /// 0.9, no decay, batch 256, 100 epochs, constant rate, PyTorch's initialisation, features as
    /// they are, test accuracy after the last epoch.
    probe "linear" => Linear, example = "{ protocol: tuned, held_out: 0.1 }"
}

/// A fitted classifier and where it came from.
struct Outcome {
    head: Heads,
    train: Vec<f32>,
    test: Vec<f32>,
    /// Held-out score and what else was found out on the way, in the order of `metrics`.
    choice: Vec<f64>,
}

impl Linear {
    fn epochs(&self) -> usize {
        self.epochs.unwrap_or(match self.protocol {
            Protocol::Tuned => 30,
            Protocol::Reference => 100,
            Protocol::Converged => 500,
        })
    }

    fn recipe<'a>(&self, rates: &'a [f64], decays: &'a [f64]) -> Recipe<'a> {
        let cosine = self.protocol == Protocol::Tuned;
        Recipe { rates, decays, momentum: MOMENTUM, batch: self.batch_size, epochs: self.epochs(), cosine }
    }

    /// Every pair of the grid, as parallel lists; equal scores later go to the first.
    fn grid(&self) -> (Vec<f64>, Vec<f64>) {
        let pairs = self.learning_rates.iter().flat_map(|&r| self.weight_decays.iter().map(move |&d| (r, d)));
        pairs.unzip()
    }

    fn reference(&self, data: &ProbeData, context: &ProbeContext) -> Outcome {
        let train = data.train.values.to_vec();
        let init = Stream::new(context.seed, "probe/linear/init", 0, 0);
        let mut head = Heads::uniform(data.train.dim, data.classes, init);
        let (rate, all) = ([self.learning_rate], rows(data.train.count()));
        let recipe = self.recipe(&rate, &[0.0]);
        let total = recipe.epochs as u64;
        let samples = Samples { x: &train, labels: data.train.labels };
        fit(
            &mut head,
            samples,
            &recipe,
            |e| shuffled(&all, context.seed, e, 1),
            |done| (context.progress)(done as u64, total),
        );
        Outcome { head, train, test: data.test.values.to_vec(), choice: vec![] }
    }

    fn tuned(&self, data: &ProbeData, context: &ProbeContext) -> Result<Outcome, ProbeError> {
        let split = self.split(data, context)?;
        let samples = Samples { x: &split.train, labels: data.train.labels };
        let (rates, decays) = self.grid();
        let total = 2 * self.epochs() as u64;
        let progress = |done: usize| (context.progress)(done as u64, total);

        let mut grid = Heads::zeros(data.train.dim, data.classes, rates.len());
        let order = |epoch| shuffled(&split.rest, context.seed, epoch, 0);
        fit(&mut grid, samples, &self.recipe(&rates, &decays), order, progress);
        let scores = grid.scores(samples, &split.held);
        let pick = best(&scores).ok_or_else(|| {
            ProbeError("every learning rate of the grid diverged; try smaller `learning_rates`".into())
        })?;

        let mut head = Heads::zeros(data.train.dim, data.classes, 1);
        let all = rows(data.train.count());
        let recipe = self.recipe(&rates[pick..=pick], &decays[pick..=pick]);
        let order = |epoch| shuffled(&all, context.seed, epoch, 1);
        fit(&mut head, samples, &recipe, order, |done| progress(self.epochs() + done));
        let choice = vec![scores[pick].top1, rates[pick], decays[pick]];
        Ok(Outcome { head, train: split.train, test: split.test, choice })
    }

    fn converged(&self, data: &ProbeData, context: &ProbeContext) -> Result<Outcome, ProbeError> {
        let split = self.split(data, context)?;
        let samples = Samples { x: &split.train, labels: data.train.labels };
        let gram = gram(&split.train, data.train.dim);
        let passes = self.epochs();
        let progress = |done: usize| (context.progress)(done as u64, 2 * passes as u64);
        let task = |rows| optimum::Task { data: samples, gram: &gram, rows, classes: data.classes, passes };

        let (heads, _) = optimum::fit(&task(&split.rest), &self.weight_decays, progress);
        let scores = heads.scores(samples, &split.held);
        let pick = best(&scores).ok_or_else(|| ProbeError("no weight decay led to an optimum".into()))?;
        let decay = self.weight_decays[pick];
        let all = rows(data.train.count());
        let (head, taken) = optimum::fit(&task(&all), &[decay], |done| progress(passes + done));
        let choice = vec![scores[pick].top1, decay, taken[0] as f64];
        Ok(Outcome { head, train: split.train, test: split.test, choice })
    }

    /// Standardised features and the stratified part of train that is held out for a choice.
    fn split(&self, data: &ProbeData, context: &ProbeContext) -> Result<Split, ProbeError> {
        let standardiser = Standardiser::fit(&data.train);
        let (train, test) = (standardiser.apply(&data.train), standardiser.apply(&data.test));
        let stream = Stream::new(context.seed, "probe/linear/split", 0, 0);
        let (rest, held) = hold_out(data.train.labels, data.classes, self.held_out, stream);
        if held.is_empty() {
            return Err(ProbeError("nothing to hold out: every class has a single image in train".into()));
        }
        Ok(Split { train, test, rest, held })
    }
}

/// Standardised features, and the rows of train to search with and to choose with.
struct Split {
    train: Vec<f32>,
    test: Vec<f32>,
    rest: Vec<u32>,
    held: Vec<u32>,
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
        let decays = &self.weight_decays;
        refuse(
            "weight_decays",
            decays.is_empty() || !decays.iter().all(|&d| d == 0.0 || positive(d)),
            "must be a list of values of 0 or more",
        );
        refuse("held_out", !(0.0..=0.9).contains(&self.held_out), "must be a fraction up to 0.9");
        problems
    }

    fn metrics(&self) -> Vec<MetricDecl> {
        use Direction::{Higher, Lower, Neither};
        let decl = MetricDecl::new;
        let mut all = vec![
            decl("top1", "%", "accuracy on test", Higher).share_of(100.0),
            decl("train_top1", "%", "accuracy on the train images fitted to", Higher),
            decl("test_nll", "nats", "mean negative log likelihood on test", Lower),
        ];
        let held = decl("val_top1", "%", "accuracy on the held-out part of train, best of the grid", Higher);
        let decay = |unit| decl("weight_decay", unit, "weight decay chosen on the held-out part", Neither);
        match self.protocol {
            Protocol::Tuned => {
                let rate = "learning rate chosen on the held-out part";
                all.extend([held, decl("learning_rate", "1/step", rate, Neither), decay("1/step")]);
            }
            Protocol::Converged => {
                let passes = "passes over train of the final fit; `epochs` if that was too few";
                all.extend([held, decay("1"), decl("passes", "1", passes, Neither)]);
            }
            Protocol::Reference => (),
        }
        all
    }

    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Vec<f64>, ProbeError> {
        check_labelled(data)?;
        let outcome = match self.protocol {
            Protocol::Tuned => self.tuned(data, context)?,
            Protocol::Converged => self.converged(data, context)?,
            Protocol::Reference => self.reference(data, context),
        };
        let score =
            |x: &[f32], labels: &[u32]| outcome.head.scores(Samples { x, labels }, &rows(labels.len()))[0];
        let test = score(&outcome.test, data.test.labels);
        let train = score(&outcome.train, data.train.labels);
        if !test.nll.is_finite() {
            return Err(ProbeError("the classifier diverged; try a smaller learning rate".into()));
        }
        let mut values = vec![test.top1, train.top1, test.nll];
        values.extend(outcome.choice);
        Ok(values)
    }
}

fn rows(n: usize) -> Vec<u32> {
    (0..n as u32).collect()
}

/// The order of one epoch; `pass` 0 searches, 1 fits the reported classifier.
fn shuffled(rows: &[u32], seed: u64, epoch: usize, pass: u64) -> Vec<u32> {
    let mut order = rows.to_vec();
    Stream::new(seed, "probe/linear/order", epoch as u64, pass).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::super::features::tests::{assert_same_in_any_pool, error_of};
    use super::*;

    #[test]
    fn all_protocols_learn_and_do_not_depend_on_threads() {
        // 4 classes of spread 2 around standard normal centres in 40 dimensions: about 95 %. The
        // batch is wide enough to be shared between threads.
        let tuned = Linear { epochs: Some(20), batch_size: 1000, ..Linear::default() };
        let found = assert_same_in_any_pool(&tuned, 1200, 40);
        assert!(found[0] > 85.0 && found[3] > 85.0, "{found:?}");
        let converged = Linear { protocol: Protocol::Converged, ..Linear::default() };
        let found = assert_same_in_any_pool(&converged, 1200, 40);
        assert!(found[0] > 85.0 && found[3] > 85.0 && found[5] < 500.0, "{found:?}");
        let reference = Linear { protocol: Protocol::Reference, epochs: Some(5), ..Linear::default() };
        assert!(assert_same_in_any_pool(&reference, 1200, 40)[0] > 80.0);
    }

    #[test]
    fn a_single_image_per_class_cannot_be_held_out() {
        let error = error_of(&Linear::default(), &[1.0; 4], &[0, 1], 2);
        assert!(error.contains("nothing to hold out"), "{error}");
    }

    #[test]
    fn check_names_each_bad_setting() {
        let bad = Linear { batch_size: 0, learning_rates: vec![], held_out: 2.0, ..Linear::default() };
        let paths: Vec<_> = bad.check().into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["batch_size", "learning_rates", "held_out"]);
        assert!(Linear::default().check().is_empty());
    }
}
