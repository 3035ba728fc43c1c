//! `ijepa-run report SWEEP`

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Exit, metric_args::MetricArgs, print, resolve};
use crate::{
    report::{ReportRequest, SweepReport, report as write_report},
    results::write_atomic,
};

const EXAMPLES: &str = "\
The page holds everything: no network, no script. The figures are also written as SVG files into
the folder `figures` beside it. Numbers are those of `ijepa-run compare SWEEP`.

Examples:
  ijepa-run report mask-count                       the sweep of that name in results/sweeps
  ijepa-run report results/sweeps/mask-count-50b9   a sweep folder
  ijepa-run report mask-count --baseline masking.targets=4 --output page/index.html

Exit codes:
  0  written
  2  usage error: no such sweep, unknown metric, nothing measured";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReportArgs {
    /// Folder of a sweep, or its name.
    #[arg(value_name = "SWEEP")]
    sweep: PathBuf,
    /// Page to write; by default report.html in the sweep folder.
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

/// Writes the report of a sweep.
pub(crate) fn report(args: &ReportArgs) -> Exit {
    let made = resolve::sweep(&args.sweep, &args.results).and_then(|sweep| {
        let page = args.output.clone().unwrap_or_else(|| sweep.join("report.html"));
        let name = page.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let request = ReportRequest {
            sweep,
            page: name,
            metric: args.judging.metric.clone(),
            baseline: args.judging.baseline.clone(),
            at: args.judging.at,
            margin: args.judging.margin,
            goal: args.judging.goal,
            images: !args.no_images,
        };
        write_report(&request).map(|report| (page, report)).map_err(|e| e.to_string())
    });
    match made {
        Ok((page, report)) => written(&page, &report),
        Err(message) => {
            print::stderr(&message);
            Exit::Config
        }
    }
}

fn written(page: &Path, report: &SweepReport) -> Exit {
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
fn write(page: &Path, report: &SweepReport) -> io::Result<()> {
    let folder = page.parent().unwrap_or(Path::new("")).join("figures");
    std::fs::create_dir_all(&folder)?;
    for (name, svg) in &report.figures {
        write_atomic(&folder.join(format!("{name}.svg")), svg.as_bytes())?;
    }
    write_atomic(page, report.html.as_bytes())
}
