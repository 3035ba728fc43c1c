//! `ijepa-run schedules FILE [FILE] [key=value ...]`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, files, page, print};
use crate::{
    bench::CostMemory,
    events::number,
    explore::{ScheduleCurve, ScheduleStudy, schedules_page},
};

const EXAMPLES: &str = "\
Examples:
  ijepa-run schedules experiments/baseline.yaml
  ijepa-run schedules experiments/baseline.yaml 'ema={ kind: half_life, start: 4000, end: 500000 }'
  ijepa-run schedules experiments/baseline.yaml experiments/baseline-meta.yaml --output schedules.html";

/// Columns of a curve drawn with characters.
const WIDTH: usize = 32;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SchedulesArgs {
    /// One experiment file or two, then settings to change in both, such as ema=0.996.
    #[arg(value_name = "FILE|KEY=VALUE", required = true)]
    words: Vec<String>,
    /// Page to write, with the curves drawn.
    #[arg(long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// Training images to count with where the data are not here.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    images: Option<u64>,
}

/// Prints the schedules, and writes the page if one is asked for.
pub(crate) fn schedules(args: &SchedulesArgs) -> Exit {
    let is_setting = |word: &&String| word.contains('=') && !Path::new(word).exists();
    let (overrides, words): (Vec<&String>, Vec<&String>) = args.words.iter().partition(is_setting);
    let overrides: Vec<String> = overrides.into_iter().cloned().collect();
    if !(1..=2).contains(&words.len()) {
        let message = format!("{} files are named; one or two can be drawn", words.len());
        print::stderr(&format!("{message}\n  help: ijepa-run schedules FILE.yaml [FILE.yaml] key=value"));
        return Exit::Config;
    }
    let studies: Result<Vec<ScheduleStudy>, String> =
        words.iter().map(|file| study(file.as_ref(), &overrides, args.images)).collect();
    match studies {
        Ok(studies) => {
            let page = |file| page::written(file, &schedules_page(&studies));
            print::stdout(&text(&studies)).or(args.output.as_deref().map_or(Exit::Done, page))
        }
        Err(message) => {
            print::stderr(&message);
            Exit::Config
        }
    }
}

fn study(file: &Path, overrides: &[String], images: Option<u64>) -> Result<ScheduleStudy, String> {
    let mut experiment = files::load_one(file, overrides)?;
    let images = match images {
        Some(images) => images as usize,
        None => {
            experiment = files::with_data(experiment, &CostMemory::default())
                .map_err(|e| format!("{e}\n  help: `--images 50000` draws them without the data"))?;
            let published = experiment.dataset.object.published_counts();
            let published = published.map(|(train, _)| train.saturating_sub(experiment.validation));
            let counted = experiment.train_images().or(published);
            counted.ok_or_else(|| {
                format!(
                    "{}: nobody says how many images there are\n  help: write `--images N`",
                    file.display()
                )
            })?
        }
    };
    ScheduleStudy::of(&experiment, images).ok_or_else(|| {
        format!("{}: {images} images are not one batch\n  help: see `train.batch_size`", file.display())
    })
}

fn text(studies: &[ScheduleStudy]) -> String {
    let one = |study: &ScheduleStudy| {
        let horizon = study.horizon;
        let head = ["schedule", "first", "half", "last", "over the run"].map(String::from);
        let table = print::aligned(head, study.curves().map(row).collect());
        format!(
            "{}: {} steps of {} images, {} an epoch\n{table}",
            study.name, horizon.steps, horizon.images_per_step, horizon.steps_per_epoch
        )
    };
    studies.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn row((what, points): ScheduleCurve<'_>) -> [String; 5] {
    // Six digits: a momentum says much in its last ones.
    let value = |at: usize| number(format!("{:.5e}", points[at].1).parse().unwrap_or(points[at].1));
    let last = points.len() - 1;
    [what.into(), value(0), value(last / 2), value(last), drawn(points)]
}

/// The curve in characters, from its least value to its greatest.
fn drawn(points: &[(u64, f64)]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = || points.iter().map(|(_, value)| *value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let columns = WIDTH.min(points.len());
    let level = |column: usize| {
        let at = column * (points.len() - 1) / (columns - 1).max(1);
        let share = if high > low { (points[at].1 - low) / (high - low) } else { 0.0 };
        LEVELS[((share * 8.0) as usize).min(7)]
    };
    (0..columns).map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn_from_low_to_high() {
        let line: Vec<(u64, f64)> = (0..8).map(|i| (i, i as f64)).collect();
        assert_eq!(drawn(&line), "▁▂▃▄▅▆▇█");
        assert_eq!(drawn(&[(0, 0.5), (1, 0.5)]), "▁▁");
        assert_eq!(drawn(&[(0, 0.5)]), "▁");
    }
}
