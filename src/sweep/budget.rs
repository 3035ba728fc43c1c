//! Arms that may use the same: epochs are chosen so that every arm takes what the base takes.
//!
//! Without it, eight targets are compared with one at twice the predictor's work.

use serde_json::{Map, Value};

use super::{plan::one, reader::Reader};
use crate::config::{Change, ConfigError, DataFacts, Experiment, Span};

/// What an experiment costs, known before it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Values that the optimizer updates: context encoder and predictor.
    pub parameters: u64,
    /// Context tokens, and target tokens predicted from every context, of one step.
    pub tokens_per_step: f64,
    /// Useful operations of one step; none for components of unknown sizes.
    pub flop_per_step: Option<f64>,
    /// Estimate of the resident memory on a processor, bytes; none for components of unknown sizes.
    pub memory: Option<f64>,
}

/// Looks up what settings do not say: what experiments cost, and what data they find.
pub trait Costs {
    /// What is known of the data of `experiment`; none where nobody looks. With `exactly` the content is known
    /// too, for data that are read from files.
    fn data(&self, experiment: &Experiment, exactly: bool) -> Result<Option<DataFacts>, String>;
    /// What `experiment` costs; an error if its model cannot be built.
    fn cost(&self, experiment: &Experiment) -> Result<Cost, String>;
    /// Seconds of one of its steps on this machine: the same at every call, now and later.
    fn seconds_per_step(&self, experiment: &Experiment) -> Result<f64, String>;
}

/// What all arms have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equal {
    /// Optimizer steps.
    Steps,
    /// Training images seen.
    Images,
    /// Context and target tokens.
    Tokens,
    /// Useful floating-point operations.
    Flops,
    /// Time on this machine.
    Seconds,
}

impl Equal {
    /// All of them.
    pub const ALL: [Equal; 5] = [Equal::Steps, Equal::Images, Equal::Tokens, Equal::Flops, Equal::Seconds];

    /// The word in a file.
    pub fn name(self) -> &'static str {
        match self {
            Equal::Steps => "steps",
            Equal::Images => "images",
            Equal::Tokens => "tokens",
            Equal::Flops => "flops",
            Equal::Seconds => "seconds",
        }
    }

    /// How much one epoch of `experiment` takes.
    fn per_epoch(self, experiment: &Experiment, costs: &dyn Costs) -> Result<f64, String> {
        let images = experiment.train_images().ok_or(
            "this data set does not say how many images it has before they are loaded; leave the budget out",
        )?;
        let steps = experiment.horizon(images).steps_per_epoch as f64;
        let unknown =
            || "the operations of these components cannot be counted; use `equal: tokens`".to_owned();
        Ok(steps
            * match self {
                Equal::Steps => 1.0,
                Equal::Images => experiment.train.batch_size as f64,
                Equal::Tokens => costs.cost(experiment)?.tokens_per_step,
                Equal::Flops => costs.cost(experiment)?.flop_per_step.ok_or_else(unknown)?,
                Equal::Seconds => costs.seconds_per_step(experiment)?,
            })
    }
}

/// The `budget` section.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pub equal: Equal,
    pub span: Span,
}

impl Budget {
    fn per_epoch(&self, experiment: &Experiment, costs: &dyn Costs) -> Result<f64, ConfigError> {
        let per_epoch = self.equal.per_epoch(experiment, costs);
        per_epoch.map_err(|message| one(&self.span, "budget", message, None))
    }
}

/// A budget with its size: what the base takes.
pub(super) struct Allowance<'a> {
    budget: &'a Budget,
    total: f64,
}

/// Reads the section.
pub(super) fn read(top: &Map<String, Value>, reader: &mut Reader) -> Option<Budget> {
    let value = top.get("budget")?;
    let map = reader.mapping("budget", value, &["equal"])?;
    let words = Equal::ALL.map(Equal::name);
    match map.get("equal") {
        Some(word) => {
            let equal = Equal::ALL[reader.word("budget.equal", word, &words)?];
            Some(Budget { equal, span: reader.document.places.value("budget") })
        }
        None => {
            reader.wrong("budget", "says not what is equal", "write `budget: { equal: flops }`");
            None
        }
    }
}

impl<'a> Allowance<'a> {
    /// What the unchanged base takes.
    pub fn of(budget: &'a Budget, base: &Experiment, costs: &dyn Costs) -> Result<Self, ConfigError> {
        Ok(Allowance { budget, total: budget.per_epoch(base, costs)? * base.train.epochs as f64 })
    }

    /// Epochs that `experiment` may take, and what share of the allowance they use.
    pub fn epochs(&self, experiment: &Experiment, costs: &dyn Costs) -> Result<(u64, f64), ConfigError> {
        let per_epoch = self.budget.per_epoch(experiment, costs)?;
        let epochs = (self.total / per_epoch).round().max(1.0);
        Ok((epochs as u64, epochs * per_epoch / self.total))
    }

    /// Setting the epochs, asked for by the budget.
    pub fn change(&self, epochs: u64) -> Change {
        Change::computed("train.epochs", epochs.into(), self.budget.span.clone())
    }

    /// What is equal.
    pub fn name(&self) -> &'static str {
        self.budget.equal.name()
    }
}

/// The budget decides how long the runs are, so nothing else may.
pub(super) fn check(budget: &Budget, changes: &[(&str, Span)]) -> Result<(), ConfigError> {
    let sets = |path: &str| path == "train" || path == "train.epochs";
    let Some((path, span)) = changes.iter().find(|(path, _)| sets(path)) else { return Ok(()) };
    let message = format!("the budget, equal {}, decides how many epochs an arm takes", budget.equal.name());
    Err(one(span, path, message, Some("leave out this setting or the budget".into())))
}
