//! `ijepa-run show-data FILE`

use std::path::PathBuf;

use clap::Args;

use super::{Exit, files, page, print};
use crate::{
    explore::{Counts, Moments, SampleOptions, Samples, samples_page},
    sinks::Verbosity,
};

const EXAMPLES: &str = "\
The page shows training images before and after augmentation, exactly as the first epochs see them, and holds
everything, without network or script. Nothing is downloaded.

Examples:
  ijepa-run show-data experiments/quickstart.yaml                     counts and values in the terminal
  ijepa-run show-data experiments/baseline.yaml --output data.html    the page, with images
  ijepa-run show-data experiments/baseline.yaml 'augmentation=[hflip, pad_crop]' --output data.html

Exit codes:
  0  shown, or written
  1  the page could not be written
  2  the experiment has a mistake, or its data cannot be read";

/// Values of a label that have a line of their own.
const LINES: usize = 20;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShowDataArgs {
    /// Experiment file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Settings to change, such as dataset.path=DIR or augmentation=[hflip].
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Page to write.
    #[arg(long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// Training images on the page.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=256))]
    images: u16,
    /// Draws of the augmentation of each image: the first epochs.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=64))]
    draws: u16,
}

/// Shows the data, or writes the page.
pub(crate) fn show_data(args: &ShowDataArgs) -> Exit {
    let on_page = args.output.is_some();
    let options = SampleOptions {
        images: if on_page { args.images.into() } else { 0 },
        draws: args.draws.into(),
        verbosity: Verbosity::Normal,
    };
    let samples = files::load_offline(&args.file, &args.overrides)
        .and_then(|experiment| Samples::read(experiment, options).map_err(|e| format!("error: {e}")));
    match (samples, &args.output) {
        (Ok(samples), Some(file)) => page::written(file, &samples_page(&samples)),
        (Ok(samples), None) => print::stdout(&in_terminal(&samples)),
        (Err(message), _) => {
            print::stderr(&message);
            Exit::Config
        }
    }
}

fn in_terminal(samples: &Samples) -> String {
    let facts: Vec<Vec<String>> =
        samples.facts.iter().map(|(what, value)| vec![(*what).to_owned(), value.clone()]).collect();
    let counts: String = samples.counts.iter().map(|counts| format!("\n{}", table(counts))).collect();
    format!(
        "data of {}\n{}\n{}\nthe stored training images would be normalised by\n  {}\n{counts}",
        samples.name,
        print::columns(&facts),
        channels(samples),
        samples.normalisation()
    )
}

fn channels(samples: &Samples) -> String {
    let cells = |m: &Moments| [format!("{:.4}", m.mean), format!("{:.4}", m.std)];
    let row = |(i, (stored, seen)): (usize, &(Moments, Moments))| {
        let ([a, b], [c, d]) = (cells(stored), cells(seen));
        [i.to_string(), a, b, c, d]
    };
    let head = ["channel", "mean", "std", "augmented: mean", "std"].map(String::from);
    print::aligned(head, samples.channels.iter().enumerate().map(row).collect())
}

/// A line per value; of many, the first ones and the range of all.
fn table(counts: &Counts) -> String {
    let splits = || counts.splits.iter();
    let head: Vec<String> =
        [counts.name.clone()].into_iter().chain(splits().map(|(split, _)| (*split).to_owned())).collect();
    let row = |(value, name): (usize, &String)| -> Vec<String> {
        [name.clone()].into_iter().chain(splits().map(|(_, of)| of[value].to_string())).collect()
    };
    let range = |of: &[usize]| match (of.iter().min(), of.iter().max()) {
        (Some(least), Some(most)) if least != most => format!("{least} to {most}"),
        (Some(each), _) => format!("{each} each"),
        _ => String::new(),
    };
    let mut rows = vec![head];
    rows.extend(counts.values.iter().enumerate().take(LINES).map(row));
    if let Some(more) = counts.values.len().checked_sub(LINES + 1) {
        rows.push(vec![format!("and {} more", more + 1)]);
    }
    let ranges = splits().map(|(_, of)| range(of));
    rows.push([format!("{} values", counts.values.len())].into_iter().chain(ranges).collect());
    print::columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_values_are_cut_and_counted() {
        let of = |count: usize, each: usize| Counts {
            name: "class".into(),
            values: (0..count).map(|i| format!("c{i}")).collect(),
            splits: vec![("train", (0..count).map(|i| each + i % 2).collect()), ("test", vec![3; count])],
        };
        let drawn = table(&of(2, 5));
        assert_eq!(
            drawn,
            "  class     train   test\n  c0        5       3\n  c1        6       3\n  2 values  5 to 6  3 each\n"
        );
        let drawn = table(&of(100, 1));
        assert!(
            drawn.contains("  c19 ") && !drawn.contains("  c20 ") && drawn.contains("and 80 more"),
            "{drawn}"
        );
        assert!(!table(&of(20, 1)).contains("more"));
        assert!(table(&of(21, 1)).contains("and 1 more"));
    }
}
