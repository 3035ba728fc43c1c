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
    ls, out, run,
    sweep::cores,
};
use crate::{
    analysis::settings::{SettingDifference, Settings, deciding, differences},
    bench::{CostMemory, Look, Rates},
    config::Experiment,
    results::{EXPERIMENT, RunState, Standing, Status, read},
    run::data,
    sinks::Verbosity,
};

/// The setting that says where images are.
const PATH: &str = "dataset.path";

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
    let costs = CostMemory::with(Rates::of(&args.output, cores()), Look::From(args.output.clone()));
    let costs = costs.telling(run::display(Verbosity::Normal));
    let loaded = files::load(&args.file, &args.overrides, false, &costs);
    let loaded = loaded.and_then(|loaded| match loaded {
        Loaded::One(experiment) => Ok(vec![files::with_data(*experiment, &costs)?]),
        Loaded::Sweep(plan) => Ok(plan.runs.into_iter().map(|run| run.experiment).collect()),
    });
    let experiments: Vec<Experiment> = match loaded {
        Ok(experiments) => experiments,
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

    /// The run that differs in the fewest settings that count from `own`, a run that is not there. Runs of
    /// the same name and seed are looked at first.
    pub fn nearest(&self, own: &str, experiment: &Experiment) -> Option<Neighbour> {
        let (name, seed, _) = ls::parts(own)?;
        let distance = |n: &str| ls::parts(n).map(|(n, s, _)| (n != name, s != seed));
        let others = self.names.iter().filter(|n| n.as_str() != own);
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
    let folder = data::folder(&earlier.output, experiment);
    let own = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let standing = Standing::read(&folder);
    if standing.state() == RunState::Unreadable {
        return format!("{own}\n  unreadable: {}\n", standing.reason());
    }
    let Some(status) = &standing.status else { return unknown(&own, experiment, earlier) };
    let state = match standing.is_over() {
        true => format!("{}: reused, a run of this identity is there", standing.state()),
        false => format!("{}: continues at step {} of {}", standing.state(), status.step, status.steps),
    };
    let planned = Stored::of(&experiment.resolved());
    let stored = earlier.settings(&own);
    let differences = stored.map_or(Vec::new(), |stored| differences(&[&stored.settings, &planned.settings]));
    // The folder was found by the content of the data.
    let same_data = Some(experiment.dataset.object.reads_files());
    format!("{own}\n  {state}\n{}", table(&differences, &planned.deciding, same_data))
}

fn unknown(own: &str, experiment: &Experiment, earlier: &Earlier) -> String {
    let Some(neighbour) = earlier.nearest(own, experiment) else {
        return format!("{own}\n  new: there is no run in {}\n", earlier.output.display());
    };
    let theirs = Status::read(&earlier.output.join(&neighbour.run_id));
    let theirs = theirs.ok().flatten().map(|status| status.data);
    let content = experiment.data.as_ref().and_then(|facts| facts.content.clone());
    let same = content.zip(theirs).map(|(own, theirs)| own == theirs);
    let images = match same {
        Some(false) => "    images: others than that run was made with (decides results)\n",
        _ => "",
    };
    format!(
        "{own}\n  new: no run of this identity{}; the nearest is {}\n{}{images}",
        if same == Some(false) { " and these images" } else { "" },
        neighbour.run_id,
        table(&neighbour.differences, &neighbour.deciding, same)
    )
}

/// `same_data`: whether the images are equal, where that is known.
fn table(differences: &[SettingDifference], deciding: &HashSet<String>, same_data: Option<bool>) -> String {
    let row = |d: &SettingDifference| {
        let effect = match same_data {
            Some(true) if d.path == PATH => "the same images",
            Some(false) if d.path == PATH => "other images",
            None if d.path == PATH => "decides results if the images differ",
            _ if deciding.contains(&d.path) => "decides results",
            _ => "does not matter",
        };
        format!("    {}: {} -> {} ({effect})\n", d.path, d.values[0], d.values[1])
    };
    differences.iter().map(row).collect()
}
