//! A run, or two side by side, as one page to look at: how it learned, where its features put the images, what
//! its encoder sees. Returns text; nothing is written here.
//!
//! ```text
//! run folder -> StoredRun -> Session -> Look (features, tokens, tables, masks) -> Space (numerics) -> figures -> page
//! ```

mod curves;
mod facts;
mod figures;
mod look;
mod page;
mod predictions;
mod sample;
mod samples;
mod schedules;
mod space;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use ijepa_registry::image::ImageSet;

use crate::{
    config::Experiment,
    data::hold_out,
    report::{Masks, masks_of},
    results::run_name_parts,
    run::{
        RunError,
        foreign::ForeignEncoder,
        stored::{Opening, StoredRun},
    },
    sinks::{Progress, Verbosity},
};

use look::{Look, Looking};
use sample::Sample;
pub use samples::{Counts, Moments, SampleOptions, Samples, Shown, samples_page};
pub use schedules::{ScheduleCurve, ScheduleStudy, schedules_page};
use space::Space;

/// Most runs of a page.
pub const MOST_RUNS: usize = 2;

/// What to show.
#[derive(Clone, Debug)]
pub struct ExploreRequest {
    /// One run, or two to be compared.
    pub runs: Vec<ExploredRun>,
    /// Images whose features are looked at, at most.
    pub images: usize,
    /// Where their data set lies now; none: where it was.
    pub data: Option<PathBuf>,
    /// Compute threads; none: one per core.
    pub threads: Option<usize>,
    /// How much to say.
    pub verbosity: Verbosity,
}

/// A run at an epoch, or a model of another program.
#[derive(Clone, Debug)]
pub struct ExploredRun {
    /// Its folder; the file of a model.
    pub folder: PathBuf,
    /// Whether it is the weights of a vision transformer in timm's names. It is looked at on the images of a run that
    /// is named before it.
    pub foreign: bool,
    /// The epoch whose weights are looked at, one of those that `train.keep_every` kept; none: the last weights.
    pub epoch: Option<u64>,
}

/// Everything a page is made of.
struct Material {
    looks: Vec<Look>,
    spaces: Vec<Space>,
    sample: Sample,
    masks: Masks,
}

/// The page of one run or two; none if `stop` was set meanwhile. The same files give the same bytes.
pub fn explore(request: &ExploreRequest, stop: &AtomicBool) -> Result<Option<String>, RunError> {
    let mut progress = Progress::new(request.verbosity);
    let names = names(&request.runs);
    let (mut looks, mut found, mut sets) = (Vec::new(), None::<Sample>, Vec::new());
    for (asked, name) in request.runs.iter().zip(&names) {
        let ExploredRun { folder, epoch, .. } = asked;
        let opening = Opening { data: request.data.as_deref(), epoch: *epoch, ..Opening::default() };
        let open = || match (asked.foreign, request.runs.first()) {
            (false, _) => StoredRun::open(folder, &opening),
            (true, Some(first)) if !first.foreign => {
                let like = StoredRun::open(&first.folder, &opening)?.experiment;
                ForeignEncoder::read(folder)?.as_run(&like)
            }
            (true, _) => Err(nothing_like_it(folder)),
        };
        let mut run = open()?;
        let set = Arc::new(hold_out(run.read_data(&mut progress)?, run.experiment.validation));
        let sample = Sample::of(&set, request.images).ok_or_else(|| no_images(folder))?;
        let again = if asked.foreign { None } else { Some(open()?.experiment) };
        let work = Looking { name, run: asked, sample: &sample, stop };
        let Some(look) = run.on_session(set.clone(), request.threads, &mut progress, work)? else {
            return Ok(None);
        };
        match &found {
            Some(first) if !first.is_same(&sample) => return Err(other_images(&request.runs)),
            _ => found = Some(sample),
        }
        looks.push(look);
        sets.push((again, set));
    }
    let masked: Vec<(&Experiment, &ImageSet, &str)> = sets
        .iter()
        .zip(&names)
        .filter_map(|((experiment, set), name)| Some((experiment.as_ref()?, &**set, name.as_str())))
        .collect();
    let masks = masks_of(&masked);
    let Some(sample) = found else { return Err(RunError::Config("explore: no run is named".into())) };
    progress.note(&format!("t-SNE of {} images", sample.count()));
    let spaces = looks.iter().map(|look| Space::of(look, &sample)).collect();
    Ok(Some(page::page(&Material { looks, spaces, sample, masks })))
}

/// Names of the runs: `baseline-s0` of the folder `baseline-s0-001765f2`, or the whole name where two would be alike;
/// with `@20` for the weights of an epoch.
fn names(runs: &[ExploredRun]) -> Vec<String> {
    let whole: Vec<String> = runs.iter().map(|run| facts::folder_name(&run.folder)).collect();
    let at = |names: Vec<String>| -> Vec<String> {
        let at = |run: &ExploredRun| run.epoch.map_or(String::new(), |epoch| format!("@{epoch}"));
        names.into_iter().zip(runs).map(|(name, run)| name + &at(run)).collect()
    };
    let short = |name: &String| run_name_parts(name).map(|(name, seed, _)| format!("{name}-s{seed}"));
    let short = whole.iter().map(short).collect::<Option<Vec<String>>>().map(at);
    match short {
        Some(short) if whole.len() > 1 && (1..short.len()).all(|i| !short[..i].contains(&short[i])) => short,
        _ => at(whole),
    }
}

fn nothing_like_it(file: &std::path::Path) -> RunError {
    let file = file.display();
    RunError::Config(format!(
        "{file}: a model of another program has no images of its own\n  help: name a run in front of it, on whose \
         images both are looked at: ijepa-run explore RUN {file}"
    ))
}

fn no_images(folder: &std::path::Path) -> RunError {
    RunError::Config(format!("{}: the data set of the run has no image to look at", folder.display()))
}

fn other_images(runs: &[ExploredRun]) -> RunError {
    let names: Vec<String> = runs.iter().map(|run| run.folder.display().to_string()).collect();
    RunError::Config(format!(
        "{}: the runs have other images, so that their features cannot be compared; explore them one at a time",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_have_short_names_where_these_tell_them_apart() {
        let run = |word: &&str| {
            let (folder, epoch) = word.split_once('@').map_or((*word, None), |(f, e)| (f, e.parse().ok()));
            ExploredRun { folder: folder.into(), epoch, foreign: false }
        };
        let of = |runs: &[&str]| names(&runs.iter().map(run).collect::<Vec<_>>());
        assert_eq!(of(&["r/one-s0-0123", "r/two-s0-4567"]), ["one-s0", "two-s0"]);
        assert_eq!(of(&["r/one-s0-0123", "r/one-s0-4567"]), ["one-s0-0123", "one-s0-4567"]);
        assert_eq!(of(&["r/one-s0-0123"]), ["one-s0-0123"]);
        assert_eq!(of(&["r/moved", "r/one-s0-0123"]), ["moved", "one-s0-0123"]);
        assert_eq!(of(&["r/one-s0-0123@5", "r/one-s0-0123"]), ["one-s0@5", "one-s0"]);
    }
}
