//! Everything the report of one run is made of, read from its folder.

use std::path::{Path, PathBuf};

use super::{
    figures::{
        examples::examples,
        masks::{Masks, of_files},
        single::{Curve, panel},
        visibility::visibility,
    },
    plot::figure::Figure,
};
use crate::{
    analysis::{AnalysisError, Run, read_run},
    results::{Care, EXPERIMENT, RunOverview, card::RunCard},
};

/// Which run to report on.
#[derive(Clone, Debug)]
pub struct RunReportRequest {
    /// The run folder.
    pub run: PathBuf,
    /// File name of the page: what links in the figures lead to.
    pub page: String,
    /// Whether the data set may be read, to show masks on images.
    pub images: bool,
}

/// The last value of a metric.
pub(super) struct LastValue {
    /// `probe/encoder[/labels]/metric`.
    pub name: String,
    /// Unit of the value.
    pub unit: String,
    /// What it means.
    pub meaning: String,
    /// Step at which it was measured.
    pub step: u64,
    /// The value.
    pub value: f64,
    /// Whether one direction of it is good: a result, and no choice or diagnostic.
    pub is_result: bool,
}

/// A run, read.
pub(super) struct RunMaterial {
    /// Name of the folder.
    pub name: String,
    /// The run folder.
    pub folder: PathBuf,
    /// The run.
    pub run: Run,
    /// How it stands.
    pub standing: RunOverview,
    /// The processes that worked on it.
    pub cards: Vec<RunCard>,
    /// Columns of the tables over the steps.
    pub training: Vec<Figure>,
    /// Probes that were measured more than once.
    pub probes: Vec<Figure>,
    /// The last values of all probes.
    pub last: Vec<LastValue>,
    /// The masks of the run, how often each patch is seen, and how masks lie on images.
    pub masks: Masks,
    pub visibility: Option<Figure>,
    pub examples: Option<Figure>,
}

impl RunMaterial {
    /// Reads a run folder.
    pub fn read(request: &RunReportRequest) -> Result<Self, AnalysisError> {
        let folder = &request.run;
        let run = read_run(folder)?;
        if let Some(damage) = &run.damage {
            return Err(AnalysisError::new(damage.clone()));
        }
        let mut curves = Vec::new();
        for name in run.metrics() {
            if let Some(series) = run.series(&name)? {
                let meaning = run.meaning(&name).map_or(String::new(), |m| m.meaning);
                curves.push(Curve { unit: run.unit(&name), name, meaning, series });
            }
        }
        let is_probe = |curve: &&Curve| curve.name.contains('/') && !curve.name.starts_with("metrics/");
        let masks = of_files([("this run".to_owned(), folder.join(EXPERIMENT))].into_iter(), request.images);
        let last = curves.iter().filter(is_probe).filter_map(|curve| last_value(&run, curve)).collect();
        Ok(RunMaterial {
            name: name(folder),
            folder: folder.clone(),
            standing: RunOverview::without_metrics(folder, Care::Words),
            cards: RunCard::read_all(folder)?,
            training: curves
                .iter()
                .filter(|c| !is_probe(c))
                .filter(|c| varies(c))
                .filter_map(panel)
                .collect(),
            probes: curves.iter().filter(is_probe).filter_map(panel).collect(),
            last,
            visibility: visibility(&masks),
            examples: examples(&masks),
            masks,
            run,
        })
    }

    /// All figures of the page in order.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        let curves = self.probes.iter().chain(&self.training);
        curves.chain(&self.visibility).chain(&self.examples)
    }
}

/// A column that never changes, such as a constant weight decay, needs no picture.
fn varies(curve: &Curve) -> bool {
    curve.series.windows(2).any(|pair| pair[0].1 != pair[1].1)
}

fn last_value(run: &Run, curve: &Curve) -> Option<LastValue> {
    let (step, value) = *curve.series.last()?;
    let is_result = run.meaning(&curve.name).is_none_or(|m| m.direction.decides());
    let Curve { name, unit, meaning, .. } = curve;
    let (name, unit, meaning) = (name.clone(), unit.clone(), meaning.clone());
    Some(LastValue { name, unit, meaning, step, value, is_result })
}

/// Name of a folder, also of one that is given as `.`.
fn name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.into());
    whole.file_name().map_or("run".into(), |n| n.to_string_lossy().into_owned())
}
