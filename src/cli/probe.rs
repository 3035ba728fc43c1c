//! `ijepa-run probe RUN... [PROBE ...]`

use std::path::{Path, PathBuf};

use clap::Args;
use ijepa_registry::{catalogue, kinds::Probe};
use serde_json::{Map, Value, json};

use super::{Exit, exit, print, show, signals};
use crate::{
    config::{self, Experiment},
    results::EXPERIMENT,
    run::{self, RunOptions},
    sinks::Verbosity,
};

#[derive(Args, Debug)]
pub(crate) struct ProbeArgs {
    /// Run folders, or starts of their names or identities, then probes: the name of one, such as knn, or a
    /// name with what an entry of `probes` may hold: 'linear={ labels: [colour], controls: [pixels] }'. Without
    /// a probe: what the experiments of the runs name and lack. A probe gets the name of its kind, or `name`.
    #[arg(value_name = "RUN|PROBE", required = true)]
    words: Vec<String>,
    /// Folder in which runs are looked up.
    #[arg(long, value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
    /// Threads to compute with; all cores if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print errors only.
    #[arg(short, long)]
    quiet: bool,
}

/// Measures probes on finished runs, one run after the other.
pub(crate) fn probe(args: &ProbeArgs) -> Exit {
    let (probes, runs): (Vec<&String>, Vec<&String>) = args.words.iter().partition(|w| is_probe(w));
    let wanted: Result<Vec<Value>, String> = probes.into_iter().map(|word| entry(word)).collect();
    let folders: Result<Vec<PathBuf>, String> =
        runs.iter().map(|run| show::find(Path::new(run), &args.results)).collect();
    match (wanted, folders) {
        (Ok(_), Ok(folders)) if folders.is_empty() => {
            refuse("name a run too: ijepa-run probe RUN PROBE; `ijepa-run ls` lists runs")
        }
        (Ok(wanted), Ok(folders)) => {
            let exits = folders.iter().map(|folder| probe_one(folder, &wanted, args));
            exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Done)
        }
        (Err(message), _) | (_, Err(message)) => refuse(&message),
    }
}

fn refuse(message: &str) -> Exit {
    print::stderr(message);
    Exit::Config
}

/// Whether a word is a probe of this program: its name, alone or with `=`.
fn is_probe(word: &str) -> bool {
    let kind = word.split_once('=').map_or(word, |(kind, _)| kind);
    catalogue::find::<dyn Probe>(kind.trim()).is_some()
}

/// `linear={ labels: [colour] }` as an entry of `probes`.
fn entry(word: &str) -> Result<Value, String> {
    let (kind, settings) = word.split_once('=').unwrap_or((word, "{}"));
    let mut all = Map::from_iter([("kind".to_owned(), json!(kind.trim()))]);
    match serde_yaml::from_str::<Value>(settings) {
        Ok(Value::Object(settings)) => all.extend(settings),
        Ok(_) => {
            return Err(format!("{word}: write settings as a mapping, such as {kind}={{ labels: [class] }}"));
        }
        Err(e) => return Err(format!("{word}: the settings are no YAML: {e}")),
    }
    Ok(Value::Object(all))
}

/// The name of the rows of an entry.
fn name(entry: &Value) -> String {
    entry["name"].as_str().or(entry["kind"].as_str()).unwrap_or_default().to_owned()
}

fn probe_one(folder: &Path, wanted: &[Value], args: &ProbeArgs) -> Exit {
    let experiment = match experiment(folder, wanted) {
        Ok(experiment) => experiment,
        Err(message) => return refuse(&message),
    };
    let verbosity = if args.quiet { Verbosity::Quiet } else { Verbosity::Normal };
    let options = RunOptions {
        output: args.results.clone(),
        threads: args.threads.map(usize::from),
        verbosity,
        force: false,
        until_epoch: None,
    };
    let again: Vec<String> = wanted.iter().map(name).collect();
    match run::probe_run(experiment, folder, &again, &options, signals::stop_flag()) {
        Ok(finished) => exit::report(&finished, verbosity),
        Err(error) => {
            print::stderr(&format!("error: {error}"));
            exit::exit_of(&error)
        }
    }
}

/// The experiment of a run, with these probes beside its own; one of the same name takes its place.
fn experiment(folder: &Path, wanted: &[Value]) -> Result<Experiment, String> {
    let path = folder.join(EXPERIMENT);
    let at = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = crate::results::read::text(&path).map_err(|e| e.to_string())?;
    let text = text.ok_or_else(|| at(&"there is no such file"))?;
    let stored: Value = serde_yaml::from_str(&text).map_err(|e| at(&e))?;
    let mut probes = stored["probes"].as_array().cloned().unwrap_or_default();
    for entry in wanted {
        match probes.iter_mut().find(|probe| name(probe) == name(entry)) {
            Some(probe) => *probe = entry.clone(),
            None => probes.push(entry.clone()),
        }
    }
    let changes = if wanted.is_empty() { vec![] } else { vec![format!("probes={}", json!(probes))] };
    config::load_stored(&path.to_string_lossy(), &text, &changes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_probes_by_their_kind_and_runs_otherwise() {
        assert!(is_probe("knn") && is_probe("linear={ labels: [colour] }") && !is_probe("001765f2"));
        let named = entry("knn={ k: 5, name: few }").expect("a mapping");
        assert_eq!((name(&named), &named["kind"], &named["k"]), ("few".into(), &json!("knn"), &json!(5)));
        assert!(entry("knn=5").unwrap_err().contains("knn={ labels: [class] }"));
        assert!(entry("knn={ k: ").unwrap_err().contains("no YAML"));
    }
}
