//! `ijepa-run why FILE [key=value ...]`

use std::{collections::HashSet, path::PathBuf};

use clap::Args;

use super::{
    Exit,
    files::{self, Loaded},
    print, run,
};
use crate::{
    analysis::{
        Earlier, StoredSettings,
        settings::{SettingDifference, differences},
    },
    bench::{CostMemory, Look, Rates},
    config::Experiment,
    results::{RunOverview, RunState, Status},
    run::{data, launcher::cores},
    sinks::Verbosity,
};

/// The setting that says where images are.
const PATH: &str = "dataset.path";

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
            print::stderr(&message);
            return Exit::Config;
        }
    };
    let earlier = Earlier::list(&args.output);
    print::stdout(&experiments.iter().map(|e| explain(e, &earlier)).collect::<String>())
}

fn explain(experiment: &Experiment, earlier: &Earlier) -> String {
    let folder = data::folder(earlier.output(), experiment);
    let own = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let standing = RunOverview::read(&folder);
    if standing.state() == RunState::Unreadable {
        return format!("{own}\n  unreadable: {}\n", standing.reason());
    }
    let Some(status) = &standing.status else { return unknown(&own, experiment, earlier) };
    let state = match standing.is_over() {
        true => format!("{}: reused, a run of this identity is there", standing.state()),
        false => format!("{}: continues at step {} of {}", standing.state(), status.step, status.steps),
    };
    let planned = StoredSettings::of(&experiment.resolved());
    let stored = earlier.settings(&own);
    let differences = stored.map_or(Vec::new(), |stored| differences(&[&stored.settings, &planned.settings]));
    // The folder was found by the content of the data.
    let same_data = Some(experiment.dataset.object.reads_files());
    format!("{own}\n  {state}\n{}", table(&differences, &planned.deciding, same_data))
}

fn unknown(own: &str, experiment: &Experiment, earlier: &Earlier) -> String {
    let Some(neighbour) = earlier.nearest(own, experiment) else {
        return format!("{own}\n  new: there is no run in {}\n", earlier.output().display());
    };
    let theirs = Status::read(&earlier.output().join(&neighbour.run_id));
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
