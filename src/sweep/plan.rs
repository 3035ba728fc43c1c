//! Points to checked experiments: the plan, or everything that is wrong with it.

use serde_json::{Value, json};

use super::{
    budget::{self, Allowance, Cost, Costs},
    builder::Builder,
    choices::shown,
    early::EarlyTermination,
    exclude::{Excluder, setting},
    gpus::Gpus,
    metric::Metric,
    points::{Point, can_walk, count, points},
    sweep_file::{self, SweepFile},
};
use crate::config::{Base, ConfigError, Experiment, Located, Span, Surroundings, identity, relative};

/// Everything a sweep will run, checked.
#[derive(Debug)]
pub struct Plan {
    /// First part of the sweep folder's name.
    pub name: String,
    /// What the arms are judged by.
    pub metric: Option<Metric>,
    /// When arms end before their last epoch.
    pub early: Option<EarlyTermination>,
    /// GPUs that the runs go to.
    pub gpus: Option<Gpus>,
    /// Paths that any run changes: the `param.` columns.
    pub parameters: Vec<String>,
    /// The runs in order.
    pub runs: Vec<PlannedRun>,
    /// What to tell the user though nothing is wrong.
    pub notes: Vec<String>,
    /// The sweep as a file.
    pub source: String,
}

/// One run of a plan.
#[derive(Debug)]
pub struct PlannedRun {
    /// Position in the plan, from 0.
    pub index: usize,
    /// Name of the arm; runs of an arm differ in the seed only.
    pub arm: String,
    /// The name of the arm without the names of values: what names the sweep folder.
    pub key: String,
    /// Parameters that are shown by a word of the sweep file, and that word.
    pub cells: Vec<(String, String)>,
    /// Its seed.
    pub seed: u64,
    /// The settings the arm changes, as text.
    pub changed: Vec<(String, String)>,
    /// What is run.
    pub experiment: Experiment,
    /// What it costs; none if the model cannot be built to be counted.
    pub cost: Option<Cost>,
}

/// The arm that the others are compared with, of (name, whether it changes nothing): the base itself, else the
/// one called `baseline`, else the first.
pub fn baseline_of<'a>(arms: &[(&'a str, bool)]) -> Option<&'a str> {
    let unchanged = || arms.iter().find(|(_, unchanged)| *unchanged);
    let named = || arms.iter().find(|(name, _)| *name == "baseline");
    unchanged().or_else(named).or_else(|| arms.first()).map(|(name, _)| *name)
}

impl Plan {
    /// The arm that the others are compared with.
    pub fn baseline(&self) -> Option<&str> {
        let arms: Vec<(&str, bool)> =
            self.runs.iter().map(|r| (r.arm.as_str(), r.changed.is_empty())).collect();
        baseline_of(&arms)
    }

    /// One experiment as a plan of one run.
    pub fn of_one(experiment: Experiment, costs: &dyn Costs) -> Self {
        let (name, seed) = (experiment.name.clone(), experiment.seed);
        let cost = costs.cost(&experiment).ok();
        let run = PlannedRun {
            index: 0,
            arm: name.clone(),
            key: name.clone(),
            cells: Vec::new(),
            seed,
            changed: Vec::new(),
            experiment,
            cost,
        };
        Plan {
            name,
            metric: None,
            early: None,
            gpus: None,
            parameters: Vec::new(),
            runs: vec![run],
            notes: Vec::new(),
            source: String::new(),
        }
    }

    /// Names of the arms, in order.
    pub fn arms(&self) -> Vec<&str> {
        let mut arms: Vec<&str> = self.runs.iter().map(|r| r.arm.as_str()).collect();
        arms.dedup();
        arms
    }

    /// `{name}-{identity}`: another plan has another folder.
    pub fn folder_name(&self) -> String {
        let runs = self.runs.iter().map(|r| json!([r.key, r.experiment.run_folder_name()]));
        format!("{}-{}", self.name, identity(&Value::Array(runs.collect())))
    }
}

impl PlannedRun {
    /// The value of a setting in this run; empty where the run has no such setting.
    pub fn parameter(&self, path: &str) -> String {
        if let Some((_, value)) = self.cells.iter().chain(&self.changed).find(|(p, _)| p == path) {
            return value.clone();
        }
        match setting(&self.experiment.resolved(), path) {
            None => String::new(),
            Some(value) => shown(value.get("kind").unwrap_or(&value)),
        }
    }

    /// Context and target tokens of the whole run.
    pub fn tokens(&self) -> Option<f64> {
        Some(self.cost?.tokens_per_step * self.steps()? as f64)
    }

    /// Useful operations of the whole run.
    pub fn flop(&self) -> Option<f64> {
        Some(self.cost?.flop_per_step? * self.steps()? as f64)
    }

    /// Steps of the run, if the data set says how many images it has.
    pub fn steps(&self) -> Option<u64> {
        let images = self.experiment.train_images()?;
        Some(self.experiment.horizon(images).steps)
    }
}

/// The plan of a sweep file. `overrides` change its base; `costs` says what experiments cost.
pub fn plan(
    file_name: &str,
    text: &str,
    overrides: &[String],
    outside: &Surroundings,
    costs: &dyn Costs,
) -> Result<Plan, ConfigError> {
    let file = sweep_file::read(file_name, text)?;
    let path = relative(file_name, &file.base, &outside.variables)
        .map_err(|message| one(&file.base_place, "base", message, None))?;
    let base_text = (outside.read)(&path)
        .map_err(|e| one(&file.base_place, "base", format!("cannot read {path}: {e}"), None))?;
    if sweep_file::is_sweep(&base_text) {
        return Err(one(
            &file.base_place,
            "base",
            format!("{path} is a sweep itself"),
            Some("name an experiment".into()),
        ));
    }
    let base = Base::read(&path, &base_text, overrides, outside)?;
    swept_overrides(&file, overrides)?;
    let changed: String = overrides.iter().map(|o| format!("# override: {o}\n")).collect();
    Ok(Plan { source: changed + text, ..expand(&file, &base, costs)? })
}

/// An override of what the sweep itself varies would be lost.
fn swept_overrides(file: &SweepFile, overrides: &[String]) -> Result<(), ConfigError> {
    let seeded = |path: &str| path == "seed" && file.seeds.is_some();
    let swept = |path: &str| seeded(path) || file.axes.iter().any(|axis| axis.paths().contains(&path));
    let lost = overrides.iter().filter(|o| o.split_once('=').is_some_and(|(path, _)| swept(path.trim())));
    let problems: Vec<Located> = lost
        .map(|o| Located {
            span: Span::Override(o.as_str().into()),
            path: String::new(),
            message: "the sweep file varies this setting itself".into(),
            help: Some("change the sweep file, or run the base experiment".into()),
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::new(problems)) }
}

/// Builds every run of `file` on `base`.
pub(super) fn expand(file: &SweepFile, base: &Base, costs: &dyn Costs) -> Result<Plan, ConfigError> {
    let varies_data = varies_data(file);
    let unchanged = with_data(base.with(&[])?, costs, false)?;
    let metric = file.metric.as_ref().map(|m| m.resolve(&unchanged.probes)).transpose()?;
    let early = file.early.as_ref().map(|e| e.resolve(&unchanged.probes)).transpose()?;
    let resolved = unchanged.resolved();
    let mut excluder = Excluder::new(&file.exclude, &resolved);
    let names = file.axes.iter().map(|a| a.name.as_str());
    excluder.check(&names.chain(file.axes.iter().flat_map(|a| a.paths())).collect::<Vec<_>>())?;
    let seeds = file.seeds.clone().unwrap_or_else(|| vec![unchanged.seed]);
    let arms = arms(file);
    if file.exclude.is_empty() || !can_walk(file) {
        within_cap(file, count(file).saturating_add(arms.len() as u128), seeds.len())?;
    }
    let points = points(file, &mut excluder);
    if points.is_empty() && !file.axes.is_empty() {
        return Err(one(
            &file.exclude.first().map_or(file.parameters_place.clone(), |e| e.span.clone()),
            "exclude",
            "the exclusions leave no point".into(),
            None,
        ));
    }
    within_cap(file, (points.len() + arms.len()) as u128, seeds.len())?;
    let idle = excluder.idle().map(|e| format!("{}: this exclusion takes no point away", e.span));
    let mut notes: Vec<String> = unchanged.notes.iter().cloned().chain(idle).collect();
    let budget = file.budget.as_ref().filter(|b| {
        let counted = unchanged.train_images().is_some();
        if !counted && unchanged.dataset.object.reads_files() {
            notes.push(format!("{}: the budget is met once the images can be counted", b.span));
        }
        counted || !unchanged.dataset.object.reads_files()
    });
    let allowance = budget.map(|b| {
        let changes = arms.iter().chain(&points).flat_map(|p| &p.changes);
        budget::check(b, &changes.map(|c| (c.path.as_str(), c.span())).collect::<Vec<_>>())?;
        Allowance::of(b, &unchanged, costs)
    });
    let mut builder = Builder::new(base, notes, costs, allowance.transpose()?, varies_data);
    arms.iter().chain(&points).for_each(|point| builder.add(point, &seeds));
    let plan = Plan { metric, early, ..builder.finish(file, arms.iter().chain(&points))? };
    if let Some(early) = &plan.early {
        early.check(&plan.runs)?;
    }
    Ok(plan)
}

/// Whether the arms may be trained on different images.
fn varies_data(file: &SweepFile) -> bool {
    let is_data = |path: &str| path == "dataset" || path.starts_with("dataset.");
    let named = file.arms.iter().flat_map(|arm| &arm.set);
    file.axes.iter().flat_map(|axis| axis.paths()).chain(named.map(|c| c.path.as_str())).any(is_data)
}

/// The experiment with what is known of its data, or why it cannot run on them.
pub(super) fn with_data(
    experiment: Experiment,
    costs: &dyn Costs,
    exactly: bool,
) -> Result<Experiment, ConfigError> {
    let span = || experiment.place_of_data();
    match costs.data(&experiment, exactly).map_err(|message| one(&span(), "dataset", message, None))? {
        Some(facts) => experiment.with_data(facts),
        None => Ok(experiment),
    }
}

/// Named arms as points. The base is one where nothing else is varied (but seeds), and where
/// parameters are changed one at a time.
fn arms(file: &SweepFile) -> Vec<Point> {
    let named = file.arms.iter().map(|arm| Point::named(&arm.name, arm.set.clone()));
    let mut arms: Vec<Point> = named.collect();
    let has_base = arms.iter().any(|a| a.changes.is_empty() || a.label == "baseline");
    let compared = file.method == sweep_file::Method::OneAtATime && !has_base;
    if arms.is_empty() && file.axes.is_empty() || compared {
        arms.insert(0, Point::named("baseline", Vec::new()));
    }
    arms
}

fn within_cap(file: &SweepFile, points: u128, seeds: usize) -> Result<(), ConfigError> {
    let runs = points.saturating_mul(seeds as u128);
    if runs <= u128::from(file.run_cap) {
        return Ok(());
    }
    let message = format!(
        "{runs} runs are planned ({points} arms, seeds: {seeds}); at most {} are allowed",
        file.run_cap
    );
    Err(one(&file.cap_place, "run_cap", message, Some("vary less, or raise `run_cap`".into())))
}

/// A single problem.
pub(super) fn one(span: &Span, path: &str, message: String, help: Option<String>) -> ConfigError {
    ConfigError::new(vec![Located { span: span.clone(), path: path.into(), message, help }])
}
