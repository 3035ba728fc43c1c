//! `ijepa-run compare A B ...`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Exit, metric_args::MetricArgs, print, resolve};
use crate::{
    analysis::{self, AnalysisError, ColumnMap, Contrast, Report, Request, Verdict, render},
    results::{
        columns::{ARMS, COMPARISONS},
        write_atomic,
    },
};

const EXAMPLES: &str = "\
Runs that differ only in their seed are one arm. The first arm is the baseline. A run that diverged or
collapsed is worse than any value. docs/statistics.md describes tests, columns and verdicts.

CSV files of other programs: one row per run (seed=), one per step (seed= step=), one file per run (names
such as base_seed0.csv tell arm and seed), or a chart with a column per run. A column `state` tells how runs
ended; semicolons, tabs and decimal commas are understood.

Examples:
  ijepa-run compare results                                   every run in the folder
  ijepa-run compare results --baseline baseline --margin 0.5  what is within half a point?
  ijepa-run compare mask-count                                the arms of a sweep, by its metric
  ijepa-run compare before after --fail-on worse              same experiments, two programs
  ijepa-run compare results --metric loss                     which loss is lowest?
  ijepa-run compare a.csv b.csv --map metric=acc seed=seed --goal higher
                                                              files of other programs

Exit codes:
  0  compared
  2  usage error: no runs, unknown metric, a file that cannot be read
  4  --fail-on worse, and an arm is worse, or more of its runs broke down than of the baseline's";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareArgs {
    /// Run folders, folders of run folders, sweep folders, their names or their runs.csv, CSV files of other
    /// programs.
    #[arg(value_name = "PATH", required = true)]
    inputs: Vec<PathBuf>,
    /// Folder in which sweeps are looked up by name.
    #[arg(long, value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
    #[command(flatten)]
    judging: MetricArgs,
    /// Columns of CSV files of other programs: metric=, seed=, group= (arm), step=, state= (finished, crashed ...).
    #[arg(long, value_name = "KEY=COLUMN", num_args = 1..)]
    map: Vec<String>,
    /// Form of the output.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Also write arms.csv and comparisons.csv into this folder.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Exit with code 4 if any arm is worse, or breaks down more often than the baseline.
    #[arg(long, value_enum, value_name = "worse")]
    fail_on: Option<FailOn>,
}

/// Width of tables that are not written to a terminal.
const PIPED: usize = 100;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
    Md,
    Latex,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    Worse,
}

/// Compares arms and prints what came out.
pub(crate) fn compare(args: &CompareArgs) -> Exit {
    let report = match request(args).and_then(|request| analysis::compare(&request)) {
        Ok(report) => report,
        Err(error) => {
            print::stderr(&error.to_string());
            return Exit::Config;
        }
    };
    if let Some(Err(error)) = args.output.as_ref().map(|folder| write(folder, &report)) {
        print::stderr(&format!("error: {error}"));
        return Exit::Failed;
    }
    if args.fail_on.is_some() && !report.unjudged.is_empty() {
        print::stderr(&format!(
            "--fail-on worse: {}\n  help: say --goal higher or --goal lower",
            report.unjudged
        ));
        return Exit::Config;
    }
    if matches!(args.format, Format::Csv) {
        // The tables have no place for them.
        report.notes.iter().for_each(|note| print::stderr(&format!("note: {note}")));
    }
    let text = text(&report, args.format);
    let printed = if matches!(args.format, Format::Csv) { print::data(&text) } else { print::stdout(&text) };
    let fails = |c: &Contrast| c.verdict == Verdict::Worse || c.unstable.is_some();
    if args.fail_on.is_some() && report.contrasts.iter().any(fails) {
        return Exit::Worse;
    }
    printed
}

fn request(args: &CompareArgs) -> Result<Request, AnalysisError> {
    Ok(Request {
        inputs: args.inputs.iter().map(|input| meant(input, &args.results)).collect(),
        metric: args.judging.metric.clone(),
        baseline: args.judging.baseline.clone(),
        at: args.judging.at,
        margin: args.judging.margin,
        goal: args.judging.goal,
        map: ColumnMap::parse(&args.map)?,
    })
}

/// A path, or the folder of the sweep of that name.
fn meant(input: &Path, results: &Path) -> PathBuf {
    let named = || resolve::sweep(input, results).ok();
    if input.exists() { input.into() } else { named().unwrap_or_else(|| input.into()) }
}

fn text(report: &Report, format: Format) -> String {
    match format {
        Format::Table => {
            let terminal = print::terminal_width();
            render::table(report, terminal.unwrap_or(PIPED), terminal.is_some())
        }
        Format::Csv => format!("{}\n{}", render::arms_csv(report), render::comparisons_csv(report)),
        Format::Json => format!("{:#}\n", render::json(report)),
        Format::Md => render::markdown(report),
        Format::Latex => render::latex(report),
    }
}

fn write(folder: &Path, report: &Report) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    write_atomic(&folder.join(ARMS.file), render::arms_csv(report).as_bytes())?;
    write_atomic(&folder.join(COMPARISONS.file), render::comparisons_csv(report).as_bytes())
}
