//! From inputs to a report.

use std::path::PathBuf;

use ijepa_registry::metric::Direction;
use rayon::prelude::*;

use super::{
    arms::{self, Arm},
    contrast::{Contrast, Question, caveats, contrasts, survivors},
    direction::{Judged, direction},
    error::AnalysisError,
    labels,
    metric::{Absence, At, default_metric, held_out_choice, unknown_metric, unknown_step, value},
    notes::{accuracy_error, damaged, general_notes, known_damage, sampling_error},
    protocols::refuse_mixed,
    runs::{ColumnMap, Found, Hints, Run, Series, hints, read_all},
    settings::{SettingDifference, differences},
    stats,
    summary::{Reading, Summary},
};
use crate::results::meanings::VALIDATION;

/// What to compare.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Run folders, folders of run folders, sweep folders, CSV files.
    pub inputs: Vec<PathBuf>,
    /// Metric; by default that of the sweep, else the first linear probe's top-1 accuracy on the
    /// target encoder.
    pub metric: Option<String>,
    /// Label or name of the baseline; by default the arm of a sweep that changes nothing, else the
    /// first arm.
    pub baseline: Option<String>,
    /// Which measurement counts; by default that of the sweep, else the last.
    pub at: Option<At>,
    /// Largest difference that does not matter.
    pub margin: Option<f64>,
    /// Which direction is good, where the runs do not declare it.
    pub goal: Option<Direction>,
    /// Columns of foreign files.
    pub map: ColumnMap,
}

/// Everything a comparison has to say.
#[derive(Clone, Debug)]
pub struct Report {
    /// Metric.
    pub metric: String,
    /// Which direction is good.
    pub goal: Direction,
    /// Why there is no verdict on any arm; empty if there are verdicts.
    pub unjudged: String,
    /// Which measurement counted.
    pub at: At,
    /// Largest difference that does not matter.
    pub margin: Option<f64>,
    /// The metric that this one stands beside: verdicts on it are explorations.
    pub primary: Option<String>,
    /// Step of the grid on which the values lie.
    pub step: Option<f64>,
    /// Images that an accuracy is a share of.
    pub test_images: Option<f64>,
    /// Settings that differ between arms.
    pub differences: Vec<SettingDifference>,
    /// One per arm.
    pub arms: Vec<Summary>,
    /// Index of the baseline.
    pub baseline: usize,
    /// One per other arm.
    pub contrasts: Vec<Contrast>,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// Those of them that name a run whose files are damaged.
    pub left_out: Vec<String>,
}

impl Report {
    /// Whether the runs were planned for this metric.
    pub fn role(&self) -> &'static str {
        if self.primary.is_some() { "exploratory" } else { "primary" }
    }

    /// Binomial standard error of an arm's mean accuracy from sampling the test images; NaN for others.
    pub fn sampling_error(&self, arm: &Summary) -> f64 {
        self.test_images.and_then(|images| accuracy_error(arm.mean, images)).unwrap_or(f64::NAN)
    }
}

/// Compares the arms found in the inputs.
pub fn compare(request: &Request) -> Result<Report, AnalysisError> {
    Study::read(request)?.report(request)
}

/// The runs of a comparison by arm, and what is asked of them.
#[derive(Clone, Debug)]
pub struct Study {
    /// Arms in order of appearance.
    pub arms: Vec<Arm>,
    /// Metric.
    pub metric: String,
    /// Which direction is good, or why none is.
    pub judged: Judged,
    /// Which measurement counts.
    pub at: At,
    /// Index of the baseline.
    pub baseline: usize,
    /// The metric that the runs were planned for, if it is another one.
    pub primary: Option<String>,
    /// The metric whose best measurement says which step counts.
    pub(super) chooser: Option<String>,
    notes: Vec<String>,
}

impl Study {
    /// Reads every run that is asked for. A sweep says itself what it is judged by.
    pub fn read(request: &Request) -> Result<Self, AnalysisError> {
        let margin_ok = request.margin.is_none_or(|m| m.is_finite() && m > 0.0);
        if !margin_ok {
            return Err(AnalysisError::new("--margin must be a positive number"));
        }
        let hints = hints(&request.inputs)?;
        let wanted = request.metric.as_deref().or(hints.metric.as_deref());
        let Found { runs, mut notes } = read_all(&request.inputs, wanted, &request.map)?;
        // What is asked for may be in a file that cannot be read.
        let aside: Vec<String> = notes.iter().cloned().chain(known_damage(&runs)).collect();
        let metric = metric(request, &hints, &runs).map_err(|error| error.also(&aside))?;
        let own = hints.metric.as_ref() == Some(&metric);
        let at = request.at.or(hints.at.filter(|_| own)).unwrap_or(At::Last);
        let hinted = Hints { goal: hints.goal.filter(|_| own), ..hints.clone() };
        let judged = direction(&metric, &runs, request.goal, &hinted).map_err(|error| error.also(&aside))?;
        refuse_best_without_direction(at, &judged)?;
        let planned = hints.metric.clone().or_else(|| default_metric(&runs).ok()).filter(|p| *p != metric);
        let (metric, chooser) = held_out_choice(metric, at, &runs)?;
        // Chosen by `NAME@validation`, it is the primary metric under either name.
        let primary = planned.filter(|p| *p != metric);
        let (arms, more) = arms::group(runs, &request.inputs, &metric)?;
        notes.extend(more);
        let baseline = baseline(&arms, request.baseline.as_deref(), &hints)?;
        Ok(Study { arms, metric, judged, at, baseline, primary, chooser, notes })
    }

    /// Measures, tests and judges the arms.
    pub fn report(&self, request: &Request) -> Result<Report, AnalysisError> {
        let Study { arms, metric, judged: Judged { goal, why_not }, at, baseline, .. } = self;
        let (goal, at, baseline) = (*goal, *at, *baseline);
        self.refuse_best_of_last(at)?;
        refuse_mixed(arms, metric)?;
        let (summaries, damages) = self.summaries()?;
        let (step, test_images) = self.grid(&summaries);
        let unjudged = if why_not.is_empty() { self.hindsight() } else { why_not.clone() };
        let question = Question { goal, margin: request.margin, step, unjudged: unjudged.clone() };
        let contrasts = contrasts(&summaries, baseline, &question);
        let mut notes = Vec::new();
        if !unjudged.is_empty() {
            let help = if why_not.is_empty() { "" } else { SAY_GOAL };
            notes.push(format!("no verdicts: {unjudged}; {help}").trim_end_matches([' ', ';']).into());
        }
        notes.extend(damages.iter().cloned());
        notes.extend(self.notes.iter().cloned());
        notes.extend(summaries.iter().filter_map(survivors));
        notes.extend(contrasts.iter().flat_map(|c| caveats(&summaries, baseline, c)));
        notes.extend(general_notes(self));
        notes.extend(sampling_error(&summaries[baseline], test_images));
        Ok(Report {
            metric: metric.clone(),
            goal,
            unjudged,
            at,
            margin: request.margin,
            primary: self.primary.clone(),
            step,
            test_images,
            differences: differences(&arms.iter().map(|arm| &arm.settings).collect::<Vec<_>>()),
            arms: summaries,
            baseline,
            contrasts,
            notes,
            left_out: damages,
        })
    }

    /// Why a maximum over the measurements of a run is not judged: it flatters noisy arms, unless the
    /// step was chosen on other images.
    fn hindsight(&self) -> String {
        if self.at != At::Best || self.chooser.is_some() {
            return String::new();
        }
        format!(
            "the best measurement of a run is chosen by its own value, which flatters noisy arms; \
             --at last, or `{}{VALIDATION}` in the runs (dataset.validation) to choose by",
            self.metric.trim_end_matches(VALIDATION)
        )
    }

    /// The step of the values, as the runs declare it or as the values show; and the images of an accuracy.
    fn grid(&self, summaries: &[Summary]) -> (Option<f64>, Option<f64>) {
        let runs = self.arms.iter().flat_map(|arm| &arm.runs);
        let meanings: Vec<_> = runs.filter_map(|run| run.meaning(&self.metric)).collect();
        let declared = meanings.iter().filter_map(|m| m.step).reduce(f64::max);
        let in_percent = meanings.iter().all(|m| m.unit == "%");
        let images = declared.filter(|_| in_percent).map(|step| (100.0 / step).round());
        let values = || summaries.iter().flat_map(|arm| arm.values.iter().copied()).collect::<Vec<_>>();
        (declared.or_else(|| stats::common_step(&values())), images)
    }

    /// Reads the metric of every run and summarises every arm; and the runs that cannot be read.
    fn summaries(&self) -> Result<(Vec<Summary>, Vec<String>), AnalysisError> {
        let Study { arms, metric, judged: Judged { goal, .. }, at, chooser, .. } = self;
        let runs: Vec<&Run> = arms.iter().flat_map(|arm| &arm.runs).collect();
        // A table that cannot be read is the damage of its run alone.
        let read = |name: &str| -> Vec<Result<Option<Series>, AnalysisError>> {
            runs.par_iter().map(|run| run.series(name)).collect()
        };
        let read_series = read(metric);
        let mut damages = damaged(&runs, &read_series);
        let series: Vec<Option<Series>> = read_series.iter().map(|s| s.clone().ok().flatten()).collect();
        let nowhere = series.iter().all(Option::is_none);
        if nowhere && runs.iter().all(|run| run.meaning(metric).is_none()) {
            return Err(unknown_metric(&runs.into_iter().cloned().collect::<Vec<_>>(), metric).also(&damages));
        }
        if let At::Step(step) = *at
            && !series.iter().flatten().flatten().any(|(s, _)| *s == step)
        {
            return Err(unknown_step(metric, step, &series));
        }
        let choosers: Vec<Option<Series>> = match chooser {
            Some(name) => read(name).into_iter().map(|s| s.ok().flatten()).collect(),
            None => vec![None; runs.len()],
        };
        let mut rest = read_series.iter().zip(&choosers);
        let summary = |arm: &Arm| {
            let reading = |run: &Run| {
                let (series, chooser) = rest.next().expect("one per run");
                let value = match series {
                    Err(_) => Err(Absence::Unreadable),
                    Ok(series) => value(run, series.as_ref(), chooser.as_ref(), *at, *goal),
                };
                Reading { seed: run.seed.clone(), value }
            };
            let readings = arm.runs.iter().map(reading).collect();
            let (images, short) = (arm.images().judging(metric), arm.short.clone());
            Summary { images, short, ..Summary::new(&arm.label, &arm.name, readings) }
        };
        let summaries = arms.iter().map(summary).collect();
        if damages.len() == runs.len() {
            let first = damages.swap_remove(0);
            return Err(AnalysisError::new(first).help("no run can be read"));
        }
        Ok((summaries, damages))
    }

    fn refuse_best_of_last(&self, at: At) -> Result<(), AnalysisError> {
        let last_only = self.arms.iter().flat_map(|arm| &arm.runs).find(|run| run.has_last_values_only());
        let Some(run) = last_only.filter(|_| at == At::Best) else { return Ok(()) };
        let message = format!("{} holds last values only, no best ones", run.source.display());
        Err(AnalysisError::new(message).help("name the sweep folder, with its run folders in place"))
    }

    /// The measurements of a metric: one per arm and run, none where a run lacks it or its files are damaged.
    pub fn series(&self, metric: &str) -> Result<Vec<Vec<Option<Series>>>, AnalysisError> {
        let one = |run: &Run| if run.damage.is_some() { Ok(None) } else { run.series(metric) };
        let of_arm = |arm: &Arm| arm.runs.par_iter().map(one).collect();
        self.arms.iter().map(of_arm).collect()
    }

    /// Unit of a metric; empty where no run says.
    pub fn unit(&self, metric: &str) -> String {
        let units = self.arms.iter().flat_map(|arm| &arm.runs).map(|run| run.unit(metric));
        units.into_iter().find(|unit| !unit.is_empty()).unwrap_or_default()
    }
}

/// Without a direction no measurement is the best one.
fn refuse_best_without_direction(at: At, judged: &Judged) -> Result<(), AnalysisError> {
    if at != At::Best || judged.goal.decides() {
        return Ok(());
    }
    Err(AnalysisError::new(format!("there is no best measurement: {}", judged.why_not)).help(SAY_GOAL))
}

/// What to do where no direction is known.
const SAY_GOAL: &str = "say --goal higher or --goal lower";

fn metric(request: &Request, hints: &Hints, runs: &[Run]) -> Result<String, AnalysisError> {
    let named = request.metric.clone().or(request.map.metric.clone()).or(hints.metric.clone());
    named.map_or_else(|| default_metric(runs), Ok)
}

fn baseline(arms: &[Arm], wanted: Option<&str>, hints: &Hints) -> Result<usize, AnalysisError> {
    let Some(wanted) = wanted else {
        let unchanged = arms.iter().position(|arm| Some(&arm.name) == hints.baseline.as_ref());
        return Ok(unchanged.unwrap_or(0));
    };
    let exactly = |arm: &Arm| [&arm.label, &arm.short].iter().any(|label| *label == wanted);
    if let Some(exact) = arms.iter().position(exactly) {
        return Ok(exact);
    }
    let all = |test: &dyn Fn(&Arm) -> bool| (0..arms.len()).filter(|&i| test(&arms[i])).collect::<Vec<_>>();
    let mut meant = all(&|arm| arm.name == wanted);
    if meant.is_empty() {
        meant = all(&|arm| labels::has_words(&arm.label, wanted) || labels::has_words(&arm.short, wanted));
    }
    let labels: Vec<String> = arms.iter().map(|arm| arm.label.clone()).collect();
    match meant.as_slice() {
        [one] => Ok(*one),
        [] => Err(AnalysisError::unknown("arm", wanted, &labels)),
        _ => {
            let list: Vec<&str> = meant.iter().map(|&i| labels[i].as_str()).collect();
            let message = format!("--baseline: {} arms are called `{wanted}`", list.len());
            Err(AnalysisError::new(message).help(format!("write one of: {}", list.join("; "))))
        }
    }
}
