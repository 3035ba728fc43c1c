//! The runs that are there already, and which of them is nearest to a planned one.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    rc::Rc,
};

use super::settings::{SettingDifference, Settings, deciding, differences};
use crate::{
    config::Experiment,
    results::{EXPERIMENT, read, run_name_parts},
};

/// Earlier runs that are read in search of the nearest one.
const MOST_READ: usize = 200;

/// An earlier run and the settings in which it differs: its value, then the planned one.
pub struct Neighbour {
    /// Name of its folder.
    pub run_id: String,
    /// All settings that differ, also those that cannot change a result.
    pub differences: Vec<SettingDifference>,
    /// Paths of those that can.
    pub deciding: HashSet<String>,
}

impl Neighbour {
    /// Settings in which it differs and that can change a result.
    pub fn decisive(&self) -> impl Iterator<Item = &SettingDifference> {
        self.differences.iter().filter(|d| self.deciding.contains(&d.path))
    }
}

/// The settings of a configuration, and which of them can change a result.
pub struct StoredSettings {
    /// All settings.
    pub settings: Settings,
    /// Paths of those that can change a result.
    pub deciding: HashSet<String>,
}

impl StoredSettings {
    /// The settings of a configuration with nothing left to default.
    pub fn of(configuration: &serde_json::Value) -> Self {
        StoredSettings { settings: Settings::all(configuration), deciding: deciding(configuration) }
    }
}

/// The runs of an output folder, each read once however often it is compared.
pub struct Earlier {
    output: PathBuf,
    names: Vec<String>,
    read: RefCell<HashMap<String, Option<Rc<StoredSettings>>>>,
}

impl Earlier {
    /// The runs in `output`, none of them read yet.
    pub fn list(output: &Path) -> Self {
        let entries = std::fs::read_dir(output).into_iter().flatten().flatten();
        let names = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        Earlier { output: output.into(), names, read: RefCell::default() }
    }

    /// The folder of the run folders.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// The run that differs in the fewest settings that count from `own`, a run that is not there. Runs of
    /// the same name and seed are looked at first.
    pub fn nearest(&self, own: &str, experiment: &Experiment) -> Option<Neighbour> {
        let (name, seed, _) = run_name_parts(own)?;
        let distance = |n: &str| run_name_parts(n).map(|(n, s, _)| (n != name, s != seed));
        let others = self.names.iter().filter(|n| n.as_str() != own);
        let mut candidates: Vec<(_, &String)> = others.filter_map(|n| Some((distance(n)?, n))).collect();
        candidates.sort();
        candidates.truncate(MOST_READ);
        let planned = StoredSettings::of(&experiment.resolved());
        let compared = candidates.into_iter().filter_map(|(_, run_id)| {
            let earlier = self.settings(run_id)?;
            let deciding = earlier.deciding.union(&planned.deciding).cloned().collect();
            let differences = differences(&[&earlier.settings, &planned.settings]);
            Some(Neighbour { run_id: run_id.clone(), differences, deciding })
        });
        compared.min_by_key(|n| n.decisive().count())
    }

    /// The settings a run folder was made with; none if they cannot be read.
    pub fn settings(&self, run_id: &str) -> Option<Rc<StoredSettings>> {
        let read = || {
            let text = read::text(&self.output.join(run_id).join(EXPERIMENT)).ok()??;
            let value: serde_json::Value = serde_yaml::from_str(&text).ok()?;
            Some(Rc::new(StoredSettings::of(&value)))
        };
        self.read.borrow_mut().entry(run_id.to_owned()).or_insert_with(read).clone()
    }
}
