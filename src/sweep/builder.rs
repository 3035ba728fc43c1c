//! Points to experiments: each is built and checked, and an error points to the line that was typed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    budget::{Allowance, Costs},
    choices::shown,
    plan::{Plan, PlannedRun, with_data},
    points::Point,
    sweep_file::SweepFile,
};
use crate::config::{Base, Change, ConfigError, Experiment, Located, Span};

/// Probes change no run: two arms that differ in nothing else would be one run with two results.
fn only_probes(point: &Point, arm: &str, experiment: &Experiment) -> Located {
    let span = point.changes.iter().find(|c| c.path.starts_with("probes")).map(Change::span);
    let span = span.unwrap_or_else(|| experiment.places.value("probes"));
    let message = format!("`{}` differs from `{arm}` in its probes only, which change no run", point.label);
    let help = "list all of them in the base, each with a `name` of its own".into();
    Located { span, path: "probes".into(), message, help: Some(help) }
}

/// Shares of the budget this far from all of it are worth a note: they could explain a difference.
const CLOSE: f64 = 0.05;

/// Makes the runs of a plan, or collects everything that is wrong with them.
pub(super) struct Builder<'a> {
    base: &'a Base,
    costs: &'a dyn Costs,
    /// What every arm may take, if that is given.
    allowance: Option<Allowance<'a>>,
    /// Whether arms may differ in their images alone.
    varies_data: bool,
    /// Identity of every run so far with its data, the arm that has it, and its probes.
    seen: BTreeMap<[String; 2], (String, Value)>,
    runs: Vec<PlannedRun>,
    notes: Vec<String>,
    /// With the point that has the problem.
    problems: Vec<(Located, String)>,
}

impl<'a> Builder<'a> {
    pub fn new(
        base: &'a Base,
        notes: Vec<String>,
        costs: &'a dyn Costs,
        allowance: Option<Allowance<'a>>,
        varies_data: bool,
    ) -> Self {
        Builder {
            base,
            costs,
            allowance,
            varies_data,
            seen: BTreeMap::new(),
            runs: Vec::new(),
            notes,
            problems: Vec::new(),
        }
    }

    /// Adds the runs of one point, or its problems.
    pub fn add(&mut self, point: &Point, seeds: &[u64]) {
        for &seed in seeds {
            let mut changes = point.changes.clone();
            changes.push(Change::computed(
                "seed",
                json!(seed),
                Span::Override(format!("seed={seed}").into()),
            ));
            match self.build(point, changes) {
                Ok(experiment) => self.take(point, seed, experiment),
                Err(error) => {
                    let located = error.problems.into_iter().map(|p| blame(p, &point.changes));
                    self.problems.extend(located.map(|p| (p, point.label.clone())));
                    // Another seed has the same problems.
                    return;
                }
            }
        }
    }

    fn build(&mut self, point: &Point, mut changes: Vec<Change>) -> Result<Experiment, ConfigError> {
        let experiment = with_data(self.base.with(&changes)?, self.costs, self.varies_data)?;
        let Some(allowance) = &self.allowance else { return Ok(experiment) };
        let (epochs, share) = allowance.epochs(&experiment, self.costs)?;
        changes.push(allowance.change(epochs));
        if (share - 1.0).abs() > CLOSE {
            let percent = 100.0 * share;
            let note = format!(
                "`{}`: {epochs} epochs are {percent:.0} % of the budget (equal {}); whole epochs come no closer",
                point.label,
                allowance.name()
            );
            self.note(note);
        }
        with_data(self.base.with(&changes)?, self.costs, self.varies_data)
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn take(&mut self, point: &Point, seed: u64, experiment: Experiment) {
        let identity = [experiment.identity(), data(&experiment)];
        if let Some((arm, probes)) = self.seen.get(&identity) {
            if *probes != experiment.resolved()["probes"] {
                self.problems.push((only_probes(point, arm, &experiment), point.label.clone()));
                return;
            }
            let on_files = self.varies_data && experiment.dataset.object.reads_files();
            let on = if on_files { " on the same images" } else { "" };
            let note = format!("`{}` is the same experiment as `{arm}`{on}; it is run once", point.label);
            self.note(note);
            return;
        }
        self.seen.insert(identity, (point.label.clone(), experiment.resolved()["probes"].clone()));
        for note in &experiment.notes {
            // What the base says too has been said.
            if !self.notes.contains(note) {
                self.note(format!("`{}`: {note}", point.label));
            }
        }
        let changed = point.changes.iter().map(|c| (c.path.clone(), shown(&c.value.value))).collect();
        let index = self.runs.len();
        let cost = self.costs.cost(&experiment).ok();
        let (arm, key, cells) = (point.label.clone(), point.key.clone(), point.cells.clone());
        self.runs.push(PlannedRun { index, arm, key, cells, seed, changed, experiment, cost });
    }

    /// The plan, if every point is in order.
    pub fn finish<'p>(
        self,
        file: &SweepFile,
        all: impl Iterator<Item = &'p Point>,
    ) -> Result<Plan, ConfigError> {
        if !self.problems.is_empty() {
            return Err(ConfigError::new(merge(self.problems)));
        }
        let mut parameters: Vec<String> = file.axes.iter().map(|a| a.name.clone()).collect();
        let epochs = self.allowance.iter().map(|_| "train.epochs");
        for path in all.flat_map(|p| &p.changes).map(|c| c.path.as_str()).chain(epochs) {
            if !parameters.iter().any(|p| p == path) {
                parameters.push(path.to_owned());
            }
        }
        let Builder { runs, notes, .. } = self;
        let name = file.name.clone();
        Ok(Plan {
            name,
            metric: None,
            early: None,
            gpus: file.gpus.clone(),
            parameters,
            runs,
            notes,
            source: String::new(),
        })
    }
}

/// What tells the data of equal settings apart: their content, else where they are.
fn data(experiment: &Experiment) -> String {
    if !experiment.dataset.object.reads_files() {
        return String::new();
    }
    let content = experiment.data.as_ref().and_then(|facts| facts.content.clone());
    content.unwrap_or_else(|| experiment.dataset.settings.to_string())
}

/// The base alone is in order, so whatever is found elsewhere is the doing of a change: of the
/// same section, else of the last one.
fn blame(problem: Located, changes: &[Change]) -> Located {
    let section = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
    if changes.iter().any(|c| same_file(&c.span(), &problem.span)) {
        return problem;
    }
    let near = changes.iter().find(|c| section(&c.path) == section(&problem.path));
    let Some(change) = near.or(changes.last()) else { return problem };
    let from = format!(
        "{}={} does not fit what stands at {}",
        change.path,
        shown(&change.value.value),
        problem.span
    );
    let help = problem.help.map_or(from.clone(), |help| format!("{help}\n{from}"));
    Located { span: change.span(), help: Some(help), ..problem }
}

fn same_file(a: &Span, b: &Span) -> bool {
    match (a, b) {
        (Span::File { name: a, .. }, Span::File { name: b, .. }) => a == b,
        (a, b) => a == b,
    }
}

/// Each problem once, with the point that has it first and how many others do.
fn merge(problems: Vec<(Located, String)>) -> Vec<Located> {
    let mut merged: Vec<(Located, String, usize)> = Vec::new();
    for (problem, label) in problems {
        match merged.iter_mut().find(|(p, ..)| *p == problem) {
            Some((.., others)) => *others += 1,
            None => merged.push((problem, label, 0)),
        }
    }
    let render = |(mut problem, label, others): (Located, String, usize)| {
        let more = if others == 0 { String::new() } else { format!(" and {others} more") };
        let arm = format!("in the arm `{label}`{more}");
        problem.help = Some(problem.help.map_or(arm.clone(), |help| format!("{help}\n{arm}")));
        problem
    };
    merged.into_iter().map(render).collect()
}
