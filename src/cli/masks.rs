//! `ijepa-run masks FILE`

use std::path::{Path, PathBuf};

use clap::Args;
use ijepa_registry::mask::{Grid, MaskPlan};
use serde_json::json;

use super::{Exit, files, print};
use crate::{
    config::Experiment,
    report::{MaskReport, mask_report},
    results::write_atomic,
};

const EXAMPLES: &str = "\
Shown are the masks of the first images of the first epoch, exactly as training draws them. The page holds
everything, without network or script; its figures are also written as SVG files into `figures` beside it.

Examples:
  ijepa-run masks experiments/baseline.yaml                       in the terminal
  ijepa-run masks experiments/baseline.yaml masking=inverse_block masking.unit=2
  ijepa-run masks experiments/baseline.yaml --output masks.html   a page, with masks on training images
  ijepa-run masks experiments/baseline.yaml --write masks.yaml    a file for `masking: replay` to extend

Exit codes:
  0  shown, or written
  1  a file could not be written
  2  the experiment has a mistake";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MasksArgs {
    /// Experiment file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Settings to change, such as masking=random or masking.targets=8.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Page to write.
    #[arg(long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// Do not read the data set: masks without their images.
    #[arg(long)]
    no_images: bool,
    /// Write the masks of the first images as an experiment file with `masking: replay`.
    #[arg(long, value_name = "FILE.yaml")]
    write: Option<PathBuf>,
    /// How many masks to write.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1024))]
    count: u16,
}

/// Shows or writes the masks.
pub(crate) fn masks(args: &MasksArgs) -> Exit {
    let experiment = match files::load_offline(&args.file, &args.overrides) {
        Ok(experiment) => experiment,
        Err(message) => {
            print::stderr(&message);
            return Exit::Config;
        }
    };
    let page =
        args.output.as_ref().and_then(|p| p.file_name()).map(|name| name.to_string_lossy().into_owned());
    let images = args.output.is_some() && !args.no_images;
    let report = mask_report(&experiment, images, &page.unwrap_or_default());
    let written = args.output.as_ref().map(|path| page_written(path, &report));
    let listed = args.write.as_ref().map(|path| list_written(path, &report, usize::from(args.count)));
    match written.into_iter().chain(listed).collect::<Result<Vec<String>, String>>() {
        Ok(lines) if !lines.is_empty() => print::stdout(&lines.concat()),
        Ok(_) => print::stdout(&in_terminal(&experiment, &report)),
        Err(message) => {
            print::stderr(&message);
            Exit::Failed
        }
    }
}

fn page_written(path: &Path, report: &MaskReport) -> Result<String, String> {
    let folder = path.parent().unwrap_or(Path::new("")).join("figures");
    let failed = |path: &Path, e: std::io::Error| format!("error: {}: {e}", path.display());
    std::fs::create_dir_all(&folder).map_err(|e| failed(&folder, e))?;
    for (name, svg) in &report.figures {
        let file = folder.join(format!("{name}.svg"));
        write_atomic(&file, svg.as_bytes()).map_err(|e| failed(&file, e))?;
    }
    write_atomic(path, report.html.as_bytes()).map_err(|e| failed(path, e))?;
    Ok(format!("wrote {}\n", path.display()))
}

/// Masks of one view each, as a section of an experiment file.
fn list_written(path: &Path, report: &MaskReport, count: usize) -> Result<String, String> {
    let views = report.plans.iter().flat_map(|plan| &plan.views).take(count);
    let masks: Vec<_> = views.map(|v| json!({ "context": v.context, "targets": v.targets })).collect();
    let line = |mask| format!("    - {mask}\n");
    let text = format!("masking:\n  kind: replay\n  masks:\n{}", masks.iter().map(line).collect::<String>());
    write_atomic(path, text.as_bytes()).map_err(|e| format!("error: {}: {e}", path.display()))?;
    Ok(format!("wrote {} masks to {}\n", masks.len(), path.display()))
}

fn in_terminal(experiment: &Experiment, report: &MaskReport) -> String {
    let Grid { rows, cols } = experiment.grid();
    let rows_of = report.sentences.iter().map(|(what, value)| vec![what.clone(), value.clone()]);
    let facts = print::columns(&rows_of.collect::<Vec<_>>());
    let histograms: String = report.histograms.iter().map(|(title, bins)| histogram(title, bins)).collect();
    let [context, target] = [&report.context, &report.target].map(|shares| map(shares, cols));
    let maps = beside(("per cent of images: in the context", context), ("in a target block", target));
    let examples = report.plans.first().map_or(String::new(), |plan| example(plan, experiment.grid()));
    format!(
        "masks of {} on {rows}x{cols} patches, {} images of the first epoch\n\n{facts}\n{histograms}{maps}\n{examples}",
        experiment.name,
        report.plans.len()
    )
}

/// Bars of one row each.
fn histogram(title: &str, bins: &[(String, f64)]) -> String {
    const WIDE: f64 = 40.0;
    let most = bins.iter().map(|(_, share)| *share).fold(1e-9, f64::max);
    let wide = bins.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let bar = |(label, share): &(String, f64)| {
        let length = (WIDE * share / most).round() as usize;
        format!("  {label:>wide$}  {:4.1} %  {}\n", 100.0 * share, "#".repeat(length)).replace("  \n", "\n")
    };
    format!("{title}\n{}\n", bins.iter().map(bar).collect::<String>())
}

/// One row of text per row of patches.
fn map(shares: &[f64], cols: usize) -> Vec<String> {
    let row = |row: &[f64]| row.iter().map(|share| format!("{:4.0}", 100.0 * share)).collect::<String>();
    shares.chunks(cols.max(1)).map(row).collect()
}

fn beside((left, a): (&str, Vec<String>), (right, b): (&str, Vec<String>)) -> String {
    let wide = a.iter().map(String::len).chain([left.len()]).max().unwrap_or(0) + 4;
    let heads = format!("{left:<wide$}{right}\n");
    heads + &a.iter().zip(&b).map(|(a, b)| format!("{a:<wide$}{b}\n")).collect::<String>()
}

/// The first image: `#` is seen, a digit the number of the (last) target block, a dot neither.
fn example(plan: &MaskPlan, grid: Grid) -> String {
    let view = &plan.views[0];
    let mark = |patch: u32| match view.targets.iter().rposition(|block| block.contains(&patch)) {
        Some(block) => char::from_digit(block as u32 % 10, 10).unwrap_or('0'),
        None if view.context.contains(&patch) => '#',
        None => '.',
    };
    let row = |row: usize| {
        let patches = (row * grid.cols..(row + 1) * grid.cols).map(|patch| mark(patch as u32));
        format!("  {}\n", patches.flat_map(|mark| [mark, ' ']).collect::<String>().trim_end())
    };
    let rows: String = (0..grid.rows).map(row).collect();
    format!("the first image: # is seen, digits are the target blocks, . is neither\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_shows_every_patch_once() {
        let plan = MaskPlan::new(vec![0, 1], vec![vec![2, 5], vec![5]]);
        let drawn = example(&plan, Grid { rows: 2, cols: 3 });
        assert!(drawn.ends_with("  # # 0\n  . . 1\n"), "{drawn}");
    }

    #[test]
    fn bars_are_as_long_as_shares() {
        let drawn = histogram("sizes", &[("4".into(), 0.25), ("5-6".into(), 0.5), ("7-8".into(), 0.0)]);
        assert_eq!(
            drawn,
            format!(
                "sizes\n    4  25.0 %  {}\n  5-6  50.0 %  {}\n  7-8   0.0 %\n\n",
                "#".repeat(20),
                "#".repeat(40)
            )
        );
    }
}
