//! `ijepa-run report SWEEP|RUN`

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Exit, metric_args::MetricArgs, print, resolve, show};
use crate::{
    report::{ReportRequest, RunReportRequest, Written, report as write_report, report_run},
    results::{is_run_folder, write_atomic},
};

const EXAMPLES: &str = "\
The page holds everything: no network, no script. The figures are also written as SVG files into
the folder `figures` beside it. Numbers are those of `ijepa-run compare SWEEP`. The page of a run has its
learning curves, the last values of its probes, and its masks.

Examples:
  ijepa-run report mask-count                       the sweep of that name in results/sweeps
  ijepa-run report results/sweeps/mask-count-50b9   a sweep folder
  ijepa-run report mask-count --baseline masking.targets=4 --output page/index.html
  ijepa-run report results/baseline-s0-3597d31ef87f one run

Exit codes:
  0  written
  2  usage error: no such sweep or run, unknown metric, nothing measured";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReportArgs {
    /// Folder of a sweep or of a run, or its name.
    #[arg(value_name = "SWEEP|RUN")]
    wanted: PathBuf,
    /// Page to write; by default report.html in that folder.
    #[arg(long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    #[command(flatten)]
    judging: MetricArgs,
    /// Do not read the data set: masks are shown without images.
    #[arg(long)]
    no_images: bool,
    /// Folder in which sweeps are looked up by name.
    #[arg(long, value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
}

/// Writes the report of a sweep or of a run.
pub(crate) fn report(args: &ReportArgs) -> Exit {
    match made(args) {
        Ok((page, report)) => written(&page, &report),
        Err(message) => {
            print::stderr(&message);
            Exit::Config
        }
    }
}

fn made(args: &ReportArgs) -> Result<(PathBuf, Written), String> {
    let (folder, is_run) = meant(&args.wanted, &args.results)?;
    let page = args.output.clone().unwrap_or_else(|| folder.join("report.html"));
    let name = page.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let made = if is_run { of_run(args, folder, name)? } else { of_sweep(args, folder, name)? };
    Ok((page, made))
}

/// The folder that was meant, and whether it is that of a run. A sweep answers to its name first.
fn meant(wanted: &Path, results: &Path) -> Result<(PathBuf, bool), String> {
    if is_run_folder(wanted) {
        return Ok((wanted.into(), true));
    }
    match resolve::sweep(wanted, results) {
        Ok(sweep) => Ok((sweep, false)),
        Err(no_sweep) => match show::find(wanted, results) {
            Ok(run) => Ok((run, true)),
            Err(several) if several.contains("` means ") && !no_sweep.contains("` means ") => Err(several),
            Err(_) => Err(no_sweep),
        },
    }
}

fn of_sweep(args: &ReportArgs, sweep: PathBuf, page: String) -> Result<Written, String> {
    let request = ReportRequest {
        sweep,
        page,
        metric: args.judging.metric.clone(),
        baseline: args.judging.baseline.clone(),
        at: args.judging.at,
        margin: args.judging.margin,
        goal: args.judging.goal,
        images: !args.no_images,
    };
    write_report(&request).map_err(|e| e.to_string())
}

fn of_run(args: &ReportArgs, run: PathBuf, page: String) -> Result<Written, String> {
    if let Some(option) = args.judging.first_given() {
        let name = run.display();
        return Err(format!(
            "{name} is one run, with nothing to compare\n  help: leave out {option}, or name a sweep"
        ));
    }
    report_run(&RunReportRequest { run, page, images: !args.no_images }).map_err(|e| e.to_string())
}

fn written(page: &Path, report: &Written) -> Exit {
    report.left_out.iter().for_each(|line| print::stderr(line));
    match write(page, report) {
        Ok(()) => print::stdout(&format!("{}\n", page.display())),
        Err(error) => {
            print::stderr(&format!("error: {error}"));
            Exit::Failed
        }
    }
}

/// The figures first: a page never stands beside older ones.
fn write(page: &Path, report: &Written) -> io::Result<()> {
    let folder = page.parent().unwrap_or(Path::new("")).join("figures");
    std::fs::create_dir_all(&folder)?;
    for (name, svg) in &report.figures {
        write_atomic(&folder.join(format!("{name}.svg")), svg.as_bytes())?;
    }
    write_atomic(page, report.html.as_bytes())
}
