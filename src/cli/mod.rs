//! The command line: one file per subcommand. The only layer that prints.

mod bench;
mod cancel;
mod check;
mod clean;
mod compare;
mod completions;
mod components;
mod doctor;
mod engine_args;
mod exec;
mod exit;
mod explore;
mod export;
mod features;
mod files;
mod hints;
mod looking_args;
mod ls;
mod man;
mod masks;
mod metric_args;
mod new;
mod page;
mod print;
mod probe;
mod probe_words;
mod report;
mod resolve;
mod results_table;
mod run;
mod schedules;
mod schema;
mod show;
mod show_data;
mod signals;
mod slow;
mod status;
mod summary;
mod sweep;
mod sweep_progress;
mod text;
mod time_limit;
mod verify;
mod watch;
mod why;

use std::{
    ffi::OsString,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use ijepa_registry::image::UnreadableImage;

/// How a command ended; the numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All runs done or reused.
    Done = 0,
    /// A run failed, or the program did.
    Failed = 1,
    /// Usage or configuration error; nothing was started.
    Config = 2,
    /// A run diverged or collapsed, none failed.
    Diverged = 3,
    /// `compare --fail-on worse`, and an arm is worse.
    Worse = 4,
    /// The run folder is in use by another process.
    Locked = 5,
    /// Stopped on request after writing a checkpoint: run again to continue.
    Requeue = 75,
    /// Interrupted a second time, without a checkpoint.
    Interrupted = 130,
}

impl Exit {
    /// This, or if it is success how something else ended: an answer that could not be printed, say.
    fn or(self, other: Exit) -> Exit {
        if self == Exit::Done { other } else { self }
    }

    /// The one with this number; a failure if there is none.
    fn of_code(code: u8) -> Exit {
        let all = [Exit::Done, Exit::Config, Exit::Diverged, Exit::Worse, Exit::Locked, Exit::Requeue];
        all.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Exit::Failed)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

const EXAMPLES: &str = "\
Examples:
  ijepa-run experiments/baseline.yaml                       run it; run it again to resume
  ijepa-run experiments/baseline.yaml encoder.depth=4       change one setting
  ijepa-run experiments/baseline.yaml masking=random seed=1 take another component
  ijepa-run experiments/baseline.yaml train.epochs=200 --extend
                                                            more epochs, where the first ones are the same
  ijepa-run experiments/baseline.yaml --dry-run             say what would run
  ijepa-run experiments/sweeps/mask-count.yaml -j 2         run a sweep, two runs at a time
  ijepa-run experiments/sweeps/mask-count.yaml --engine emit
                                                            write scripts for Slurm, GNU parallel, Kubernetes
  ijepa-run experiments/baseline.yaml -m masking.targets=1,2,4 seed=0,1
                                                            run a grid typed here
  ijepa-run check experiments/*.yaml                        find every mistake, run nothing
  ijepa-run schedules experiments/baseline.yaml             learning rate, decay, momentum over the run
  ijepa-run components masking multiblock                   settings of one component
  ijepa-run masks experiments/baseline.yaml                 what its masks are like, before anything runs
  ijepa-run show-data experiments/baseline.yaml             its images, before and after augmentation; labels, counts
  ijepa-run compare results                                 which arm is better, and how sure is that
  ijepa-run report mask-count                               figures and verdicts of a sweep as HTML
  ijepa-run watch mask-count                                follow its runs in the terminal
  ijepa-run explore 001765f2                                a page to look at one run: curves, t-SNE, neighbours
  ijepa-run show 001765f2                                   one run: settings, state, numbers, files
  ijepa-run probe 001765f2 knn 'linear={ labels: [colour] }'
                                                            more probes on a finished run
  ijepa-run new loss focal                                  a loss of your own: the file, and what to fill in
  ijepa-run features 001765f2 --output f.npz                features of its images, for NumPy and others
  ijepa-run export huggingface 001765f2                     its encoder, for transformers; or timm, tensorboard, mlflow
  ijepa-run bench                                           speed on this machine, time of the recipe
  ijepa-run doctor                                          what this machine offers, what is missing

Exit codes:
    0  done, or reused
    1  a run failed
    2  usage or configuration error, nothing was started
    3  a run diverged or collapsed
    4  compare --fail-on worse, and an arm is worse
    5  the run folder is in use by another process; a sweep: so are runs of it
   75  stopped with a checkpoint: run again to continue
  130  interrupted without a checkpoint
  134  no memory was to be had (aborted by the system's allocator)
  137  killed from outside, as systems do that run out of memory";

/// Runs I-JEPA experiments that are described by a YAML file.
#[derive(Parser, Debug)]
#[command(name = "ijepa-run", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Measure how fast an experiment runs here, and estimate how long it takes.
    Bench(bench::BenchArgs),
    /// Take the tasks of a sweep out of the queue of a cluster; those under way stop with a checkpoint.
    Cancel(cancel::CancelArgs),
    /// Check experiment and sweep files: every mistake with its line, nothing is run.
    Check(check::CheckArgs),
    /// Free the checkpoints that finished runs no longer need: shown first, deleted with --yes.
    Clean(clean::CleanArgs),
    /// Compare finished runs: statistics per arm, tests against a baseline, verdicts.
    Compare(compare::CompareArgs),
    /// List components, or explain one.
    Components(components::ComponentsArgs),
    /// Print the script that lets a shell complete commands and options.
    Completions(completions::CompletionsArgs),
    /// Say what this machine offers a run: processor, memory, GPUs, data, and what is missing.
    Doctor(doctor::DoctorArgs),
    /// Carry out one task of a plan: some runs of a sweep, in a job array or by hand.
    Exec(exec::ExecArgs),
    /// Write a page to look at a run, or at two: learning curves, t-SNE, neighbours, classes, patches, masks.
    Explore(explore::ExploreArgs),
    /// Write runs for other programs: transformers, timm, TensorBoard, MLflow.
    Export(export::ExportArgs),
    /// Write features of a run, of its data set or of any images: NumPy, safetensors or CSV.
    Features(features::FeaturesArgs),
    /// List run folders, from their files only.
    Ls(ls::LsArgs),
    /// Write manual pages.
    Man(man::ManArgs),
    /// Show the masks of an experiment: sizes, shapes, overlap, how often each patch is seen, examples.
    Masks(masks::MasksArgs),
    /// Write the skeleton of a component of your own: it compiles, runs, and says what to fill in.
    New(new::NewArgs),
    /// Measure probes on the weights of finished runs and sweeps, without training.
    Probe(probe::ProbeArgs),
    /// Write the report of a sweep or of a run: one HTML file with figures, verdicts, masks.
    Report(report::ReportArgs),
    /// Draw what changes over the steps of an experiment: learning rate, weight decay, momentum, weights of terms.
    Schedules(schedules::SchedulesArgs),
    /// Print the JSON schema of experiment or sweep files, for editors.
    Schema(schema::SchemaArgs),
    /// Show one run: settings, state, measurements, files, commands; from its files only.
    Show(show::ShowArgs),
    /// Show the data of an experiment: images before and after augmentation, labels, counts, values.
    ShowData(show_data::ShowDataArgs),
    /// Say how far a sweep is, from its files only.
    Status(status::StatusArgs),
    /// Check every byte of run folders against what their runs left; accept a deliberate change.
    Verify(verify::VerifyArgs),
    /// Follow runs in the terminal: progress, loss, results, pace, time left; from their files only.
    Watch(watch::WatchArgs),
    /// Say why runs are reused or run, setting by setting.
    Why(why::WhyArgs),
}

#[derive(Args, Debug)]
struct RunArgs {
    /// Experiment or sweep file.
    #[arg(value_name = "FILE", required = true)]
    file: Option<PathBuf>,
    /// Settings to change, such as encoder.depth=4 or masking=random; values are YAML.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Run the grid of all settings that list several values: masking.targets=1,2,4 seed=0,1.
    #[arg(short, long)]
    multirun: bool,
    #[command(flatten)]
    options: RunOptions,
}

/// How to run, as opposed to what: nothing here changes a result.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunOptions {
    /// Say what would run, and run nothing.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the experiment with nothing left to default, as YAML, and run nothing.
    #[arg(long)]
    pub print_config: bool,
    /// Folder of the run folders.
    #[arg(
        long = "results",
        alias = "output",
        value_name = "DIR",
        env = "IJEPA_RUN_OUTPUT",
        default_value = "results"
    )]
    pub output: PathBuf,
    /// Runs of a sweep at a time, each a process of its own; 1 on this machine if left out.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Threads to compute with, per run; all cores if left out, shared by the runs of a sweep.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Start over: files of an earlier attempt are moved aside, never deleted.
    #[arg(long)]
    pub force: bool,
    /// Go on from a finished run of the same experiment with fewer epochs, where its steps are the first ones of
    /// this one: with schedules that do not depend on the length. The result is that of a run of this length.
    #[arg(long, conflicts_with_all = ["force", "multirun"])]
    pub extend: bool,
    /// Take over a run from a process of another machine that is gone: watches its heartbeat for 10 minutes first.
    #[arg(long)]
    pub steal: bool,
    /// Print errors only.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more.
    #[arg(short, long)]
    pub verbose: bool,
    /// Stop with a checkpoint when stdin ends: how a sweep stops its runs.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
    /// Stop with a checkpoint when this epoch is over: how a sweep judges runs on the way.
    #[arg(long, hide = true, value_name = "EPOCH")]
    pub until_epoch: Option<u64>,
    #[command(flatten)]
    pub engine: engine_args::EngineArgs,
}

impl RunOptions {
    /// Runs at a time on this machine.
    fn jobs(&self) -> usize {
        self.jobs.map_or(1, usize::from)
    }
}

/// Names of the subcommands.
fn command_names() -> Vec<String> {
    Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect()
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    with_args(std::env::args_os())
}

fn with_args(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(e) => {
            let words: Vec<String> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
            if let Some(message) = hints::for_unknown_option(&e, &words) {
                print::stderr(&message);
                return Exit::Config.into();
            }
            if e.use_stderr() {
                // Nobody is left to tell if this fails.
                let _ = e.print();
                return Exit::Config.into();
            }
            return print::stdout(&e.render().to_string()).into();
        }
    };
    match catch_unwind(AssertUnwindSafe(|| carry_out(cli))) {
        Ok(code) => code,
        Err(payload) => match payload.downcast::<UnreadableImage>() {
            Ok(gone) => {
                let help = "what was computed is kept up to the last checkpoint: run it again";
                print::stderr(&format!("error: {gone}\n  help: {help}"));
                Exit::Failed.into()
            }
            // The panic hook has said what it is.
            Err(payload) => resume_unwind(payload),
        },
    }
}

fn carry_out(cli: Cli) -> ExitCode {
    match cli.command {
        Some(Command::Bench(args)) => bench::bench(&args).into(),
        Some(Command::Cancel(args)) => cancel::cancel(&args).into(),
        Some(Command::Check(args)) => check::check(&args).into(),
        Some(Command::Clean(args)) => clean::clean(&args).into(),
        Some(Command::Compare(args)) => compare::compare(&args).into(),
        Some(Command::Components(args)) => components::components(&args).into(),
        Some(Command::Completions(args)) => completions::completions(&args).into(),
        Some(Command::Doctor(args)) => doctor::doctor(&args).into(),
        Some(Command::Exec(args)) => exec::exec(&args).into(),
        Some(Command::Explore(args)) => explore::explore(&args).into(),
        Some(Command::Export(args)) => export::export(&args).into(),
        Some(Command::Features(args)) => features::features(&args).into(),
        Some(Command::Ls(args)) => ls::ls(&args).into(),
        Some(Command::Man(args)) => man::man(&args).into(),
        Some(Command::Masks(args)) => masks::masks(&args).into(),
        Some(Command::ShowData(args)) => show_data::show_data(&args).into(),
        Some(Command::New(args)) => new::new(&args).into(),
        Some(Command::Probe(args)) => probe::probe(&args).into(),
        Some(Command::Report(args)) => report::report(&args).into(),
        Some(Command::Schedules(args)) => schedules::schedules(&args).into(),
        Some(Command::Schema(args)) => schema::schema(&args).into(),
        Some(Command::Show(args)) => show::show(&args).into(),
        Some(Command::Status(args)) => status::status(&args).into(),
        Some(Command::Verify(args)) => verify::verify(&args).into(),
        Some(Command::Watch(args)) => watch::watch(&args).into(),
        Some(Command::Why(args)) => why::why(&args).into(),
        None => run::from_file(&cli.run).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_main_form_has_no_subcommand_word() {
        let cli = parse("ijepa-run a.yaml encoder.depth=4 --dry-run seed=1").expect("valid");
        assert!(cli.command.is_none() && cli.run.options.dry_run);
        assert_eq!(cli.run.overrides, ["encoder.depth=4", "seed=1"]);
        assert!(matches!(parse("ijepa-run schema").expect("valid").command, Some(Command::Schema(_))));
        assert!(parse("ijepa-run").is_err());
        let cli = parse("ijepa-run a.yaml -m x=1,2 -j 2").expect("valid");
        assert!(cli.run.multirun && cli.run.options.jobs == Some(2));
    }
}
