//! `ijepa-run why FILE [key=value ...]`

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    rc::Rc,
};

use clap::Args;

use super::{
    Exit,
    files::{self, Loaded},
    ls, out,
    sweep::cores,
};
use crate::{
    analysis::settings::{SettingDifference, Settings, deciding, differences},
    bench::{CostMemory, Rates},
    config::Experiment,
    results::{EXPERIMENT, RunState, Standing, read},
};

/// Earlier runs that are read in search of the nearest one.
const MOST_READ: usize = 200;

#[derive(Args, Debug)]
pub(crate) struct WhyArgs {
    /// Experiment or sweep file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Settings to change, such as encoder.depth=4; values are YAML.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder of the run folders.
    #[arg(
        long = "results",
        alias = "output",
        value_name = "DIR",
        env = "IJEPA_RUN_OUTPUT",
        default_value = "results"
    )]
    output: PathBuf,
}

/// Says of every run why it is reused or runs, key by key.
pub(crate) fn why(args: &WhyArgs) -> Exit {
    let costs = CostMemory::with(Rates::of(&args.output, cores()));
    let experiments = match files::load(&args.file, &args.overrides, false, &costs) {
        Ok(Loaded::One(experiment)) => vec![*experiment],
        Ok(Loaded::Sweep(plan)) => plan.runs.into_iter().map(|run| run.experiment).collect(),
        Err(message) => {
            out::stderr(&message);
            return Exit::Config;
        }
    };
    let earlier = Earlier::list(&args.output);
    out::stdout(&experiments.iter().map(|e| explain(e, &earlier)).collect::<String>())
}

/// An earlier run and the settings in which it differs: its value, then the planned one.
pub(crate) struct Neighbour {
    /// Name of its folder.
    pub run_id: String,
    /// All settings that differ, also those that cannot change a result.
    pub differences: Vec<SettingDifference>,
    /// Those that can.
    deciding: HashSet<String>,
}

impl Neighbour {
    /// Settings in which it differs and that can change a result.
    pub fn decisive(&self) -> impl Iterator<Item = &SettingDifference> {
        self.differences.iter().filter(|d| self.deciding.contains(&d.path))
    }
}

/// The settings of a configuration, and which of them can change a result.
struct Stored {
    settings: Settings,
    deciding: HashSet<String>,
}

impl Stored {
    fn of(configuration: &serde_json::Value) -> Self {
        Stored { settings: Settings::all(configuration), deciding: deciding(configuration) }
    }
}

/// The runs of an output folder, each read once however often it is compared.
pub(crate) struct Earlier {
    output: PathBuf,
    names: Vec<String>,
    read: RefCell<HashMap<String, Option<Rc<Stored>>>>,
}

impl Earlier {
    /// The runs in `output`, none of them read yet.
    pub fn list(output: &Path) -> Self {
        let entries = std::fs::read_dir(output).into_iter().flatten().flatten();
        let names = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        Earlier { output: output.into(), names, read: RefCell::default() }
    }

    /// The run that differs in the fewest settings that count. Runs of the same name and seed are looked
    /// at first.
    pub fn nearest(&self, experiment: &Experiment) -> Option<Neighbour> {
        let own = experiment.run_folder_name();
        let (name, seed, _) = ls::parts(&own)?;
        let distance = |n: &str| ls::parts(n).map(|(n, s, _)| (n != name, s != seed));
        let others = self.names.iter().filter(|n| **n != own);
        let mut candidates: Vec<(_, &String)> = others.filter_map(|n| Some((distance(n)?, n))).collect();
        candidates.sort();
        candidates.truncate(MOST_READ);
        let planned = Stored::of(&experiment.resolved());
        let compared = candidates.into_iter().filter_map(|(_, run_id)| {
            let earlier = self.settings(run_id)?;
            let deciding = earlier.deciding.union(&planned.deciding).cloned().collect();
            let differences = differences(&[&earlier.settings, &planned.settings]);
            Some(Neighbour { run_id: run_id.clone(), differences, deciding })
        });
        compared.min_by_key(|n| n.decisive().count())
    }

    /// The settings a run folder was made with.
    fn settings(&self, run_id: &str) -> Option<Rc<Stored>> {
        let read = || {
            let text = read::text(&self.output.join(run_id).join(EXPERIMENT)).ok()??;
            let value: serde_json::Value = serde_yaml::from_str(&text).ok()?;
            Some(Rc::new(Stored::of(&value)))
        };
        self.read.borrow_mut().entry(run_id.to_owned()).or_insert_with(read).clone()
    }
}

fn explain(experiment: &Experiment, earlier: &Earlier) -> String {
    let own = experiment.run_folder_name();
    let standing = Standing::read(&earlier.output.join(&own));
    if standing.state() == RunState::Unreadable {
        return format!("{own}\n  unreadable: {}\n", standing.reason());
    }
    let Some(status) = &standing.status else { return unknown(experiment, earlier) };
    let state = match standing.is_over() {
        true => format!("{}: reused, a run of this identity is there", standing.state()),
        false => format!("{}: continues at step {} of {}", standing.state(), status.step, status.steps),
    };
    let planned = Stored::of(&experiment.resolved());
    let stored = earlier.settings(&own);
    let differences = stored.map_or(Vec::new(), |stored| differences(&[&stored.settings, &planned.settings]));
    format!("{own}\n  {state}\n{}", table(&differences, &planned.deciding))
}

fn unknown(experiment: &Experiment, earlier: &Earlier) -> String {
    let own = experiment.run_folder_name();
    match earlier.nearest(experiment) {
        None => format!("{own}\n  new: there is no run in {}\n", earlier.output.display()),
        Some(neighbour) => format!(
            "{own}\n  new: no run of this identity; the nearest is {}\n{}",
            neighbour.run_id,
            table(&neighbour.differences, &neighbour.deciding)
        ),
    }
}

fn table(differences: &[SettingDifference], deciding: &HashSet<String>) -> String {
    let row = |d: &SettingDifference| {
        let effect = if deciding.contains(&d.path) { "decides results" } else { "does not matter" };
        format!("    {}: {} -> {} ({effect})\n", d.path, d.values[0], d.values[1])
    };
    differences.iter().map(row).collect()
}
