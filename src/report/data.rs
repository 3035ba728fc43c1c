//! Everything a report is made of, read from a sweep folder.

use std::path::Path;

use super::{
    ReportRequest,
    figures::masks::{Masks, masks},
    page::{decisions, header::Header},
};
use crate::{
    analysis::{
        AnalysisError, Arm, ColumnMap, Report, Request, Series, Study, SweepRun, SweepTable, short_values,
    },
    results::{RunState, columns::DecisionRow},
};

/// Training loss of an epoch, as `compare --metric loss` reads it.
const LOSS: &str = "loss";

/// A setting that differs between arms.
pub(super) struct Parameter {
    /// Its path.
    pub path: String,
    /// Its value in each arm, of a component what differs between the arms; empty where an arm has no such
    /// setting.
    pub values: Vec<String>,
}

/// A sweep, read and compared.
pub(super) struct Material {
    /// Name of the sweep folder.
    pub name: String,
    /// The head of the sweep file.
    pub header: Header,
    /// The table of runs.
    pub table: SweepTable,
    /// Runs by arm.
    pub study: Study,
    /// The comparison: the numbers of `ijepa-run compare`.
    pub report: Report,
    /// Unit of the metric; empty where unknown.
    pub unit: String,
    /// What the sweep varies.
    pub parameters: Vec<Parameter>,
    /// The metric per arm and run.
    pub metric_series: Vec<Vec<Option<Series>>>,
    /// The training loss per arm and run.
    pub loss_series: Vec<Vec<Option<Series>>>,
    /// Names of the arms for figures, where room is short.
    pub labels: Vec<String>,
    /// What the arms hide and show.
    pub masks: Masks,
    /// Rows of `decisions.csv`.
    pub decisions: Vec<DecisionRow>,
}

impl Material {
    /// Reads the sweep; the comparison is exactly that of `ijepa-run compare`.
    pub fn read(request: &ReportRequest) -> Result<Self, AnalysisError> {
        let table = SweepTable::read(&request.sweep)?;
        let asked = Request {
            inputs: vec![request.sweep.clone()],
            metric: request.metric.clone(),
            baseline: request.baseline.clone(),
            at: request.at,
            margin: request.margin,
            goal: request.goal,
            map: ColumnMap::default(),
        };
        let study = Study::read(&asked)?;
        refuse_unstarted(request, &study)?;
        let report = study.report(&asked)?;
        let labels: Vec<String> = study.arms.iter().map(|arm| arm.short.clone()).collect();
        let masks = masks(&table, &study.arms, &labels, request.images);
        Ok(Material {
            name: name(&request.sweep),
            header: Header::read(&table.source()),
            unit: study.unit(&report.metric),
            parameters: parameters(&table, &study.arms),
            metric_series: study.series(&report.metric)?,
            loss_series: study.series(LOSS)?,
            table,
            study,
            report,
            labels,
            masks,
            decisions: decisions::read(&request.sweep)?,
        })
    }

    /// `, %` after a metric's name.
    pub fn unit_suffix(&self) -> String {
        if self.unit.is_empty() { String::new() } else { format!(", {}", self.unit) }
    }

    /// Place of an arm by its name in the sweep.
    pub fn arm_of(&self, run: &SweepRun) -> Option<usize> {
        self.study.arms.iter().position(|arm| arm.name == run.arm)
    }

    /// How the run stands: by its own folder where that says more than the table.
    pub fn state(&self, run: &SweepRun) -> RunState {
        let own = self.arm_of(run).and_then(|arm| {
            let runs = &self.study.arms[arm].runs;
            runs.iter().find(|r| r.seed.as_ref() == Some(&run.seed)).map(|r| r.state)
        });
        own.filter(|state| *state != RunState::Pending).unwrap_or(run.status)
    }
}

/// Name of a folder, also of one that is given as `.`.
fn name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.into());
    whole.file_name().map_or("sweep".into(), |n| n.to_string_lossy().into_owned())
}

fn refuse_unstarted(request: &ReportRequest, study: &Study) -> Result<(), AnalysisError> {
    if study.arms.iter().flat_map(|arm| &arm.runs).any(|run| run.state != RunState::Pending) {
        return Ok(());
    }
    let message = format!("{}: no run of this sweep has started", request.sweep.display());
    Err(AnalysisError::new(message).help("run the sweep file first; the report says how far it is"))
}

/// Parameters with at least two values, per arm as its first run has them. Of settings that are walked together
/// the group is the parameter.
fn parameters(table: &SweepTable, arms: &[Arm]) -> Vec<Parameter> {
    let row = |arm: &Arm| table.runs.iter().find(|run| run.arm == arm.name);
    let value = |arm: &Arm, place: usize| row(arm).map_or(String::new(), |r| r.parameters[place].clone());
    let grouped = table.grouped_paths();
    let alone = |(_, path): &(usize, &String)| !grouped.contains(path);
    let all = table.parameters.iter().enumerate().filter(alone).map(|(place, path)| Parameter {
        path: path.clone(),
        values: short_values(&arms.iter().map(|arm| value(arm, place)).collect::<Vec<_>>()),
    });
    all.filter(|p| p.values.iter().any(|v| *v != p.values[0])).collect()
}
