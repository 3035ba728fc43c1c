//! `ijepa-run show ID`

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Exit, print, resolve, results_table::LastProbes};
use crate::{
    analysis::{SweepTable, is_sweep},
    config::{self, Experiment},
    results::{
        Care, EXPERIMENT, RunOverview, RunState,
        card::RunCard,
        columns::{METRICS, TIMING, Table},
        escape::one_line,
        is_run_folder, read, run_name_parts,
    },
};

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// Run folder, or the start of its name or of its identity.
    #[arg(value_name = "ID")]
    run: PathBuf,
    /// Folder in which runs are looked up.
    #[arg(long, alias = "output", value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
}

/// Says everything about one run that its files tell; nothing is locked or written.
pub(crate) fn show(args: &ShowArgs) -> Exit {
    match find(&args.run, &args.results) {
        Ok(folder) => print::stdout(&text(&folder)),
        Err(message) => {
            print::stderr(&message);
            Exit::Config
        }
    }
}

/// The run folder that was meant.
pub(super) fn find(wanted: &Path, results: &Path) -> Result<PathBuf, String> {
    if is_run_folder(wanted) {
        return Ok(wanted.into());
    }
    if wanted.is_dir() {
        return Err(format!("{}: is no run folder, it holds no {EXPERIMENT}", wanted.display()));
    }
    let word = wanted.to_string_lossy();
    let known = resolve::folders(results, is_run_folder);
    let of = |name: &str, part: usize| run_name_parts(name).map(|(n, _, i)| [n, i][part].to_owned());
    let means = |name: &str| name.starts_with(&*word) || of(name, 1).is_some_and(|i| i.starts_with(&*word));
    let stem = |name: &str| -> usize { of(name, 0).map_or(name.len(), |n| n.len()) };
    let found = resolve::unique("run", &word, results, &known, means, |name| &name[..stem(name)])?;
    Ok(results.join(found))
}

fn text(folder: &Path) -> String {
    let standing = RunOverview::without_metrics(folder, Care::Words);
    let mut facts = vec![("state", state(&standing))];
    facts.extend(arms(folder).into_iter().map(|arm| ("arm", arm)));
    facts.extend(processes(folder));
    let mut parts = vec![format!("{}\n{}", folder.display(), pairs(&facts))];
    parts.push(format!("settings that differ from their defaults\n{}", settings(folder)));
    parts.extend(measurements(folder));
    parts.extend([METRICS, TIMING].iter().filter_map(|table| last_row(folder, table)));
    parts.push(format!("files\n{}", files(folder)));
    parts.push(commands(folder, &standing));
    parts.join("\n")
}

/// The last results, and apart from them what the probes chose.
fn measurements(folder: &Path) -> Vec<String> {
    let (results, others) = match LastProbes::read(folder) {
        Ok(last) => (last.results(), last.others()),
        Err(error) => (format!("  damaged: {error}\n"), String::new()),
    };
    let titled = [("last results", results), ("chosen by the probes, and diagnostics", others)];
    titled.into_iter().filter(|(_, t)| !t.is_empty()).map(|(title, t)| format!("{title}\n{t}")).collect()
}

/// Keys and values under each other.
fn pairs<K: AsRef<str>>(pairs: &[(K, String)]) -> String {
    let width = pairs.iter().map(|(key, _)| key.as_ref().len()).max().unwrap_or(0);
    let line = |(key, value): &(K, String)| format!("  {:<width$}  {}\n", key.as_ref(), one_line(value));
    pairs.iter().map(line).collect()
}

fn state(standing: &RunOverview) -> String {
    let (state, reason) = match standing.state() {
        RunState::Pending => (RunState::Pending, "no status was ever written".into()),
        state => (state, standing.reason()),
    };
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let at = standing.status.as_ref().map_or(String::new(), |s| {
        let share = (100.0 * s.step as f64 / s.steps.max(1) as f64).floor();
        format!("; step {} of {} ({share} %)", s.step, s.steps)
    });
    let seal = if standing.is_unsealed() { ", unsealed" } else { "" };
    format!("{state}{seal}{why}{at}")
}

/// The arms of sweeps beside the run that it belongs to.
fn arms(folder: &Path) -> Vec<String> {
    let results = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sweeps = results.join("sweeps");
    let id = folder.file_name().unwrap_or_default().to_string_lossy();
    let tables = resolve::folders(&sweeps, is_sweep).into_iter().filter_map(|name| {
        let table = SweepTable::read(&sweeps.join(&name)).ok()?;
        table.runs.into_iter().find(|run| run.id == id).map(|run| format!("{} of sweep {name}", run.arm))
    });
    tables.collect()
}

/// When, where and with what it ran, from `run.json`.
fn processes(folder: &Path) -> Vec<(&'static str, String)> {
    let cards = match RunCard::read_all(folder) {
        Ok(cards) => cards,
        Err(error) => return vec![("started", format!("damaged: {error}"))],
    };
    let Some(last) = cards.last() else { return Vec::new() };
    let RunCard { started_at, version, git, cpu, threads, device, data, images, first_step, .. } = last;
    let git = if git.is_empty() { String::new() } else { format!(", commit {git}") };
    let first = &cards[0].started_at;
    let again = format!("{first}; process {} from step {first_step} at {started_at}", cards.len());
    let mut facts = vec![
        ("started", if cards.len() == 1 { first.clone() } else { again }),
        ("on", format!("{device}, {threads} threads, {cpu}")),
        ("program", format!("ijepa-run {version}{git}")),
        ("data", data.clone()),
    ];
    if !images.is_empty() {
        facts.push(("images", images.clone()));
    }
    facts
}

fn settings(folder: &Path) -> String {
    match experiment(folder) {
        Ok(experiment) => pairs(&experiment.brief()),
        Err(why) => format!("  not known to this program: {why}\n"),
    }
}

fn experiment(folder: &Path) -> Result<Experiment, String> {
    let file = folder.join(EXPERIMENT);
    let text = read::text(&file).map_err(|e| e.to_string())?.ok_or("there is no such file")?;
    config::load_stored(&file.to_string_lossy(), &text, &[]).map_err(|e| e.to_string())
}

/// The last whole row of a table, one column per line.
fn last_row(folder: &Path, table: &Table) -> Option<String> {
    let file = table.file;
    let table = match read::table(folder, table) {
        Ok(table) => table?,
        Err(error) => return Some(format!("last row of {file}\n  damaged: {error}\n")),
    };
    let cells = table.header.iter().zip(table.rows.last()?).filter(|(_, value)| !value.is_empty());
    let cells: Vec<(&str, String)> = cells.map(|(name, value)| (name.as_str(), value.to_owned())).collect();
    Some(format!("last row of {file}\n{}", pairs(&cells)))
}

/// Files of the folder with their sizes, those of `checkpoints` too.
fn files(folder: &Path) -> String {
    let in_folder = |sub: &str| {
        let all = resolve::folders(&folder.join(sub), Path::is_file);
        all.into_iter()
            .map(|name| Path::new(sub).join(name).to_string_lossy().into_owned())
            .collect::<Vec<_>>()
    };
    let names = [in_folder(""), in_folder("checkpoints")].concat();
    let size = |name: &String| fs::metadata(folder.join(name)).map_or(0, |m| m.len());
    pairs(&names.iter().map(|name| (name, bytes(size(name)))).collect::<Vec<_>>())
}

fn bytes(n: u64) -> String {
    match n {
        0..10_000 => format!("{n} B"),
        10_000..10_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        _ => format!("{:.1} MB", n as f64 / 1e6),
    }
}

/// What continues the run, and what repeats it.
fn commands(folder: &Path, standing: &RunOverview) -> String {
    let file = folder.join(EXPERIMENT);
    let results = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut lines = Vec::new();
    if !standing.is_over() {
        lines.push(("continue", format!("ijepa-run {} --results {}", file.display(), results.display())));
    }
    lines.push(("repeat", format!("ijepa-run {} --results again", file.display())));
    format!("commands\n{}", pairs(&lines))
}
