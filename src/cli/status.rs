//! `ijepa-run status SWEEP`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, print, resolve, summary};
use crate::{
    analysis::{SweepRun, SweepTable},
    results::{RunOverview, columns::Action, decisions, seal},
    run::early_stopping::ended_early,
};

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Folder of a sweep, or its name.
    #[arg(value_name = "SWEEP")]
    sweep: PathBuf,
    /// Print one line per run too.
    #[arg(short, long)]
    runs: bool,
    /// Folder in which sweeps are looked up by name.
    #[arg(long, alias = "output", value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
}

/// How far a sweep is, from its files only; nothing is locked or written.
pub(crate) fn status(args: &StatusArgs) -> Exit {
    match read(args) {
        Ok(text) => print::stdout(&text),
        Err(message) => {
            print::stderr(&message);
            Exit::Config
        }
    }
}

/// A run of the sweep, and how it stands.
struct Line {
    run: SweepRun,
    standing: RunOverview,
}

fn read(args: &StatusArgs) -> Result<String, String> {
    let folder = resolve::sweep(&args.sweep, &args.results)?;
    let table = SweepTable::read(&folder).map_err(|e| e.to_string())?;
    let standing = |run: &SweepRun| RunOverview::read(&table.run_folder(run));
    let mut lines: Vec<Line> =
        table.runs.iter().map(|run| Line { run: run.clone(), standing: standing(run) }).collect();
    // Written only where arms can end early.
    let decisions = decisions(&folder).map_err(|e| e.to_string())?;
    for decision in decisions.iter().filter(|d| d.action == Action::Stop) {
        let reason = ended_early(&decision.rule, decision.epoch, &decision.reason);
        let of_arm = lines.iter_mut().filter(|l| l.run.arm == decision.arm && !l.standing.is_over());
        of_arm.for_each(|l| l.standing.ended_early = Some(reason.clone()));
    }
    lines.iter().filter_map(|line| damage(&table, line)).for_each(|line| print::stderr(&line));
    Ok(text(&folder, &lines, args.runs))
}

/// What is wrong with the files of a run, and the line to type.
fn damage(table: &SweepTable, line: &Line) -> Option<String> {
    let problem = line.standing.problem.as_ref()?;
    Some(format!("unreadable: {problem}\n  help: {}", seal::remedy(&table.run_folder(&line.run))))
}

fn text(folder: &Path, lines: &[Line], each: bool) -> String {
    let steps = |l: &Line| l.standing.status.as_ref().map_or((0, 0), |s| (s.step, s.steps));
    let mut arms: Vec<&str> = lines.iter().map(|l| l.run.arm.as_str()).collect();
    arms.dedup();
    let arm = |name: &&str| {
        let of_arm: Vec<&Line> = lines.iter().filter(|l| l.run.arm == **name).collect();
        let done: u64 = of_arm.iter().map(|l| steps(l).0).sum();
        let states = summary::states(&of_arm.iter().map(|l| &l.standing).collect::<Vec<_>>());
        [(*name).to_owned(), of_arm.len().to_string(), done.to_string(), states]
    };
    let head = ["arm", "runs", "steps", "states"].map(String::from);
    let table = print::aligned(head, arms.iter().map(arm).collect());
    let each = if each { format!("\n{}", runs_table(lines)) } else { String::new() };
    let all = summary::states(&lines.iter().map(|l| &l.standing).collect::<Vec<_>>());
    format!("{}\n{table}{each}\n{} runs: {all}\n", folder.display(), lines.len())
}

fn runs_table(lines: &[Line]) -> String {
    let row = |l: &Line| {
        let steps = l.standing.status.as_ref().map_or(String::new(), |s| format!("{}/{}", s.step, s.steps));
        let [run, arm, seed] = [&l.run.id, &l.run.arm, &l.run.seed].map(String::clone);
        [run, arm, seed, l.standing.state().name().to_owned(), steps, l.standing.reason()]
    };
    let head = ["run", "arm", "seed", "state", "steps", "reason"].map(String::from);
    print::aligned(head, lines.iter().map(row).collect())
}
