//! The report of a sweep or of a run: one HTML file that needs no network and no script, and its figures as
//! SVG files. Returns text; nothing is printed or written here.
//!
//! ```text
//! sweep folder -> Material (arms, verdicts, curves, masks) -> figures -> page
//! ```

mod data;
mod figures;
mod page;
pub(crate) mod plot;
mod run_data;

use std::path::PathBuf;

use ijepa_registry::{mask::MaskPlan, metric::Direction};

use crate::{
    analysis::{AnalysisError, At},
    config::Experiment,
};

// Pieces that other pages are made of too.
pub(crate) use figures::{
    examples::examples,
    masks::{Masks, masks_of},
    visibility::visibility,
};
pub(crate) use page::{document, drawing, prose};

use data::Material;
use plot::figure::Figure;
use run_data::RunMaterial;

pub use run_data::RunReportRequest;

/// What to report on.
#[derive(Clone, Debug)]
pub struct ReportRequest {
    /// The sweep folder.
    pub sweep: PathBuf,
    /// Metric; by default the sweep's own.
    pub metric: Option<String>,
    /// Arm to compare the others with; by default the one that changes nothing, else the first.
    pub baseline: Option<String>,
    /// Which measurement counts; by default that of the sweep, else the last.
    pub at: Option<At>,
    /// Largest difference that does not matter.
    pub margin: Option<f64>,
    /// Which direction is good, where the runs do not declare it.
    pub goal: Option<Direction>,
    /// File name of the page: what links in the figures lead to.
    pub page: String,
    /// Whether the data set may be read, to show masks on images.
    pub images: bool,
}

/// A report as text.
#[derive(Clone, Debug)]
pub struct Written {
    /// The page, figures included.
    pub html: String,
    /// The figures on their own: name without ending, SVG text.
    pub figures: Vec<(String, String)>,
    /// Runs that could not be read, each with what is wrong with its files.
    pub left_out: Vec<String>,
}

/// Reads a sweep folder and writes down what came out. The same files give the same bytes.
pub fn report(request: &ReportRequest) -> Result<Written, AnalysisError> {
    let material = Material::read(request)?;
    let figures = Figures::of(&material);
    let all = figures.all().map(|figure| (figure.name.clone(), figure.file(&request.page))).collect();
    let left_out = material.report.left_out.clone();
    Ok(Written { html: page::page(&material, &figures), figures: all, left_out })
}

/// Reads a run folder and writes down what came out. The same files give the same bytes.
pub fn report_run(request: &RunReportRequest) -> Result<Written, AnalysisError> {
    let material = RunMaterial::read(request)?;
    let figures =
        material.figures().map(|figure| (figure.name.clone(), figure.file(&request.page))).collect();
    Ok(Written { html: page::single::page(&material), figures, left_out: Vec::new() })
}

/// The masks of an experiment: a page, its figures, and the numbers on it.
#[derive(Clone, Debug)]
pub struct MaskReport {
    /// The page, figures included.
    pub html: String,
    /// The figures on their own: name without ending, SVG text.
    pub figures: Vec<(String, String)>,
    /// What is worth knowing, in words: about what, and what.
    pub sentences: Vec<(String, String)>,
    /// Title and bars, each with its label and its share.
    pub histograms: Vec<(String, Vec<(String, f64)>)>,
    /// Share of images in which each patch is in a context, 0 to 1.
    pub context: Vec<f64>,
    /// Share of images in which each patch is in a target.
    pub target: Vec<f64>,
    /// Masks of the first images of the first epoch.
    pub plans: Vec<MaskPlan>,
}

/// Draws the masks of an experiment as training does. With `images` its data set is read to show them; `page` is the
/// file name of the page.
pub fn mask_report(experiment: &Experiment, images: bool, page: &str) -> MaskReport {
    let masks = figures::masks::masks_in(experiment, images);
    let study = &masks.studies[0];
    let drawings = [visibility(&masks), figures::mask_sizes::sizes(&masks), examples(&masks)];
    let drawings: Vec<Figure> = drawings.into_iter().flatten().collect();
    let facts = &study.facts;
    let named = [
        ("context patches", &facts.contexts),
        ("patches of a target block", &facts.blocks),
        ("patches predicted in all", &facts.predicted),
    ];
    let bars = |(title, counts): (&str, &figures::mask_facts::Counts)| {
        (title.to_owned(), counts.bins().iter().map(|bin| (bin.label(), bin.share)).collect())
    };
    MaskReport {
        html: page::masks::page(&experiment.name, &masks, &drawings),
        figures: drawings.iter().map(|figure| (figure.name.clone(), figure.file(page))).collect(),
        sentences: facts.sentences(study.grid.len()),
        histograms: named.map(bars).into(),
        context: study.context.clone(),
        target: study.target.clone(),
        plans: study.plans.clone(),
    }
}

/// The figures of a page in order; none where there is nothing to draw.
struct Figures {
    forest: Option<Figure>,
    responses: Vec<Figure>,
    heat: Option<Figure>,
    curves: Vec<Figure>,
    visibility: Option<Figure>,
    examples: Option<Figure>,
}

impl Figures {
    fn of(material: &Material) -> Self {
        Figures {
            forest: figures::forest::forest(material),
            responses: figures::response::responses(material),
            heat: figures::heat::heat_map(material),
            curves: figures::curves::figures(material),
            visibility: figures::visibility::visibility(&material.masks),
            examples: figures::examples::examples(&material.masks),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Figure> {
        let results = self.forest.iter().chain(&self.responses).chain(&self.heat);
        results.chain(&self.curves).chain(&self.visibility).chain(&self.examples)
    }
}
