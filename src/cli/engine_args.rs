//! Options and the settings file that say where a sweep is carried out.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::text::read_text;
use crate::{
    config::Device,
    results::RunState,
    run::{
        launcher::{EngineKind, EngineSettings, EngineSweep, parse_time},
        sweep::sweep_folder,
    },
    sweep::Plan,
};

// Where the runs of a sweep are carried out; no doc comment: it would take the place of that of the command. A settings
// file can hold all of this: IJEPA_RUN_SETTINGS, or ijepa-run/settings.yaml in the folder of the user's settings.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sweeps on other engines (docs/cluster.md)")]
pub(crate) struct EngineArgs {
    /// Where runs are carried out: local (processes here), slurm (job arrays), hyperqueue (task arrays), emit (write
    /// scripts for Slurm, GNU parallel, Kubernetes, any shell).
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<EngineKind>,
    /// Runs per task of an engine.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub pack: Option<u32>,
    /// Runs of a task at a time, on the same processors and GPU; 1 if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub together: Option<u16>,
    /// Time of a task, such as 4h: asked for, and runs stop with a checkpoint ahead of its end. Of a single run: when it
    /// stops.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub time_limit: Option<Duration>,
    /// Option of the engine's own, such as --engine-option=--partition=gpu; may be given several times.
    #[arg(long = "engine-option", value_name = "OPTION", allow_hyphen_values = true)]
    pub options: Vec<String>,
    /// Only runs that stand like this: failed (interrupted ones too), missing, stopped.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse_only)]
    pub only: Vec<Only>,
    /// Stay until the engine has carried out all runs, and decide about arms that end early.
    #[arg(long)]
    pub wait: bool,
    /// Submit runs again that may still be in the queue: no run is ever carried out twice at a time.
    #[arg(long)]
    pub again: bool,
}

/// Runs that a word of `--only` takes.
pub(crate) type Only = Box<[RunState]>;

fn parse_only(word: &str) -> Result<Only, String> {
    let states: &[RunState] = match word {
        "missing" | "pending" => &[RunState::Pending],
        "failed" => &[RunState::Failed, RunState::Interrupted, RunState::Unreadable],
        "stopped" => &[RunState::Stopped],
        _ => return Err("allowed: failed, missing, stopped".into()),
    };
    Ok(states.into())
}

impl EngineArgs {
    /// The states that `--only` takes; empty: all.
    pub fn states(&self) -> Vec<RunState> {
        self.only.iter().flat_map(|states| states.iter().copied()).collect()
    }

    /// What was typed, and what the settings file says where nothing was.
    pub fn settings(&self, jobs: Option<u16>, threads: Option<u16>) -> Result<EngineSettings, String> {
        let typed = EngineSettings {
            engine: self.engine,
            pack: self.pack.map(|n| n as usize),
            together: self.together.map(usize::from),
            threads: threads.map(usize::from),
            at_a_time: jobs.map(usize::from),
            time_limit: self.time_limit,
            options: self.options.clone(),
            ..EngineSettings::default()
        };
        let Some(path) = settings_file() else { return Ok(typed) };
        let text = read_text(&path).map_err(|reason| format!("{}: {reason}", path.display()))?;
        let file = EngineSettings::read(&path.to_string_lossy(), &text).map_err(|e| e.to_string())?;
        Ok(typed.or(file))
    }
}

/// The settings file: the one that is named, or the usual one if it is there.
fn settings_file() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("IJEPA_RUN_SETTINGS").filter(|name| !name.is_empty()) {
        return Some(named.into());
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || Some(variable("HOME").or_else(|| variable("USERPROFILE"))?.join(".config"));
    let folder = variable("XDG_CONFIG_HOME").or_else(|| variable("APPDATA")).or_else(home)?;
    Some(folder.join("ijepa-run/settings.yaml")).filter(|path| path.is_file())
}

/// The sweep of a plan as engines see it.
pub(crate) fn engine_sweep(
    plan: &Plan,
    output: &Path,
    settings: EngineSettings,
) -> std::io::Result<EngineSweep> {
    let on_gpu = plan.runs.iter().any(|run| matches!(run.experiment.device, Device::Cuda(_)));
    Ok(EngineSweep {
        name: plan.name.clone(),
        folder: std::path::absolute(sweep_folder(plan, output))?,
        program: std::env::current_exe()?,
        runs: plan.runs.len(),
        gpu: plan.gpus.is_some() || on_gpu,
        until_epoch: None,
        settings,
    })
}
