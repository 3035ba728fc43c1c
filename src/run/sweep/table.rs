//! The folder of a sweep under way: its files, and the table of its runs, kept up to date on disk.

use std::{collections::BTreeSet, io, path::Path};

use super::{SweepOptions, overviews, reusable, run_folder};
use crate::{
    events::RunEnd,
    results::{FolderError, Measured, RunOverview, RunRow, SWEEP, Sizes, SweepFolder, write_atomic},
    run::launcher::Ended,
    sweep::{Decision, Plan, PlannedRun},
};

/// The runs of a plan and how they stand, in the order of the plan.
pub(super) struct Table<'a> {
    pub plan: &'a Plan,
    pub folder: SweepFolder,
    pub runs: Vec<(RunRow, RunOverview)>,
    /// Runs that are left to others: not asked for, or not started by the launcher although nobody stopped it.
    pub handed_on: BTreeSet<usize>,
}

impl<'a> Table<'a> {
    /// Creates and locks the folder `path`, and looks at the folder of every run.
    pub fn open(plan: &'a Plan, options: &SweepOptions, path: &Path) -> Result<Self, FolderError> {
        let folder = SweepFolder::open(path)?;
        let rows = plan.runs.iter().map(|run| row(plan, run, options));
        let look = if options.force { overviews } else { reusable };
        let runs: Vec<(RunRow, RunOverview)> = rows.zip(look(plan, &options.output)).collect();
        let wanted =
            |overview: &RunOverview| options.only.is_empty() || options.only.contains(&overview.state());
        let left = runs.iter().filter(|(_, overview)| !wanted(overview)).map(|(row, _)| row.index);
        Ok(Table { plan, folder, handed_on: left.collect(), runs })
    }

    /// Writes everything that is known before the first run.
    pub fn prepare(&self) -> io::Result<()> {
        write_atomic(&self.folder.path().join(SWEEP), self.plan.source.as_bytes())?;
        self.folder.write_plan(&self.runs.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>())?;
        for run in &self.plan.runs {
            write_atomic(&self.folder.config(run.index), run.experiment.to_yaml().as_bytes())?;
        }
        self.write()
    }

    /// Writes `runs.csv` as the runs stand now.
    pub fn write(&self) -> io::Result<()> {
        self.folder.write_runs(&self.plan.parameters, self.plan.metric.as_ref(), &self.runs)
    }

    /// Writes what early termination has decided, and what follows for the runs.
    pub fn write_decisions(&self, metric: &str, decisions: &[Decision]) -> io::Result<()> {
        self.folder.write_decisions(metric, decisions)?;
        self.write()
    }

    /// Writes what the clocks of all runs say.
    pub fn finish(&self, output: &Path) -> io::Result<()> {
        self.folder.write_timing(output, self.runs.iter().map(|(row, _)| row))
    }

    /// Looks again at a run that has ended like that.
    pub fn take_end(&mut self, index: usize, ended: &Ended, options: &SweepOptions) -> RunEnd {
        let overview = &mut self.runs[index].1;
        *overview = RunOverview::read(&run_folder(&self.plan.runs[index], &options.output));
        if let Ended::Failed(reason) | Ended::Refused(reason) = ended {
            overview.failure = Some(reason.clone());
        }
        let last = |(name, all): &(String, Vec<Measured>)| Some((name.clone(), all.last()?.value));
        RunEnd {
            index,
            state: overview.state(),
            failure: overview.failure.clone(),
            step: overview.status.as_ref().map_or(0, |status| status.step),
            metrics: overview.metrics.iter().filter_map(last).collect(),
        }
    }
}

fn row(plan: &Plan, run: &PlannedRun, options: &SweepOptions) -> RunRow {
    let changed: Vec<String> = run.changed.iter().map(|(path, value)| format!("{path}={value}")).collect();
    let folder = run_folder(run, &options.output);
    RunRow {
        index: run.index,
        run_id: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        arm: run.arm.clone(),
        seed: run.seed,
        changed: changed.join(","),
        parameters: plan.parameters.iter().map(|path| run.parameter(path)).collect(),
        sizes: Sizes {
            epochs: run.experiment.train.epochs,
            steps: run.steps(),
            parameters: run.cost.map(|c| c.parameters),
            tokens: run.tokens(),
            flop: run.flop(),
            memory: run.cost.and_then(|c| c.memory),
        },
    }
}
