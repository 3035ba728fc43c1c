//! One experiment from its configuration to a finished run folder.

pub(crate) mod device;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use ijepa_registry::{
    image::ImageSet,
    kinds::{DataError, LoadContext},
    tensor::Cpu,
};

use crate::{
    config::{Device, Experiment},
    data::fingerprint,
    events::{Event, Outcome, Phase},
    kernels,
    model::BuildDevice,
    results::{
        EXPERIMENT, FileError, FolderError, MetricMeanings, RunFolder, RunState, card::RunCard, write_atomic,
    },
    sinks::{CheckpointError, CheckpointMeta, Files, Progress, Sink, Verbosity, read_checkpoint},
    train::{RunPlan, Session, TrainError, Until, run},
};
use device::Place;

/// How to run, apart from what.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Folder that receives the run folder.
    pub output: PathBuf,
    /// Compute threads; none: one per core.
    pub threads: Option<usize>,
    /// How much to say.
    pub verbosity: Verbosity,
    /// Start over; files of an earlier attempt are moved aside, never deleted.
    pub force: bool,
    /// Stop with a checkpoint when this epoch is over; none: train to the end.
    pub until_epoch: Option<u64>,
}

/// What became of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its folder.
    pub folder: PathBuf,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether an earlier process had already finished it, so that nothing was computed.
    pub reused: bool,
}

/// Why a run could not be carried through.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration does not fit the data or this program.
    #[error("{0}")]
    Config(String),
    /// The data cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The run folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file of the run folder cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of other data.
    #[error("{0}")]
    OtherData(String),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A file cannot be written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs `experiment` in its folder: starts, continues from the checkpoint, or finds it done.
/// Setting `stop` makes it write a checkpoint and leave.
pub fn run_experiment(
    experiment: Experiment,
    options: &RunOptions,
    stop: &AtomicBool,
) -> Result<Finished, RunError> {
    let place = device::choose(experiment.device)?;
    let folder = RunFolder::open(&options.output.join(experiment.run_folder_name()))?;
    if options.force && folder.is_used() {
        folder.set_aside()?;
    }
    if let Some(finished) = already_finished(&folder)? {
        return Ok(finished);
    }
    start_threads(options.threads);
    let mut progress = Progress::new(options.verbosity);
    if let Some(warning) = device::warning(experiment.device) {
        progress.note(&warning);
    }
    let data = Arc::new(load(&experiment, &mut progress)?);
    check_data(&experiment, &data)?;
    let until = Until { stop, epoch: options.until_epoch };
    let name = place.to_string();
    match place {
        #[cfg(feature = "cuda-base")]
        Place::Cuda(ordinal, _) => {
            let gpu = device::open(ordinal)?;
            run_on(experiment, data, folder, progress, &gpu, &name, until)
        }
        Place::Cpu => run_on(experiment, data, folder, progress, &Cpu::default(), &name, until),
    }
}

fn run_on<D: BuildDevice>(
    experiment: Experiment,
    data: Arc<ImageSet>,
    folder: RunFolder,
    mut progress: Progress,
    device: &D,
    device_name: &str,
    until: Until,
) -> Result<Finished, RunError> {
    let (identity, yaml, print) = (experiment.identity(), experiment.to_yaml(), fingerprint(&data));
    let meanings = MetricMeanings::of(&experiment, data.count(&data.test));
    let (plan, builder) = RunPlan::new(experiment, data);
    let mut session = Session::new(plan, builder, device)?;
    let resumed = resume(&mut session, &folder, &identity, &print)?;
    let path = folder.path().to_path_buf();
    write_atomic(&path.join(EXPERIMENT), yaml.as_bytes())?;
    meanings.write(&path)?;
    let threads = rayon::current_num_threads();
    RunCard::of_this_process(device_name, threads, &print, session.progress.step).append_to(&path)?;
    let mut files = Files::open(folder, &identity, &print, resumed.as_ref())?;
    let mut emit = |event: Event| {
        files.take(&event)?;
        // A display never ends a run.
        let _ = progress.take(&event);
        Ok(())
    };
    match run(&mut session, &mut emit, until) {
        Ok(outcome) => Ok(Finished { folder: path, outcome, reused: false }),
        Err(error) => {
            // The disk may be what failed; the error itself matters more.
            let _ = files.failed(&error.to_string());
            Err(error.into())
        }
    }
}

/// Puts the session where the checkpoint left off, if there is one.
fn resume<D: BuildDevice>(
    session: &mut Session<D>,
    folder: &RunFolder,
    identity: &str,
    data: &str,
) -> Result<Option<CheckpointMeta>, RunError> {
    let path = folder.checkpoint();
    if !path.exists() {
        return Ok(None);
    }
    let (meta, snapshot) = read_checkpoint(&path)?;
    if meta.identity != identity || meta.data != data {
        let what = if meta.data == data { "another configuration" } else { "other data" };
        return Err(RunError::OtherData(format!(
            "{} was written by {what} under the same name; start over with --force (earlier files are kept)",
            path.display()
        )));
    }
    session.restore(snapshot)?;
    Ok(Some(meta))
}

/// A run that an earlier process has brought to its end.
fn already_finished(folder: &RunFolder) -> Result<Option<Finished>, RunError> {
    let Some(status) = folder.status()? else { return Ok(None) };
    let outcome = match status.state {
        RunState::Done => Outcome::Done,
        RunState::Diverged => Outcome::Diverged { reason: status.reason },
        RunState::Collapsed => Outcome::Collapsed { reason: status.reason },
        _ => return Ok(None),
    };
    Ok(Some(Finished { folder: folder.path().to_path_buf(), outcome, reused: true }))
}

/// The name of the device that `wanted` leads to on this machine.
pub fn device_for(wanted: Device) -> Result<String, RunError> {
    device::choose(wanted).map(|place| place.to_string())
}

/// Sizes the compute pool. A second call in one process keeps the first size.
pub(crate) fn start_threads(threads: Option<usize>) {
    kernels::keep_memory();
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
    let _ = builder.build_global();
}

fn load(experiment: &Experiment, progress: &mut Progress) -> Result<ImageSet, RunError> {
    let progress = std::sync::Mutex::new(progress);
    let tell = |what: &str, done: u64, total: u64| {
        if let Ok(mut progress) = progress.lock() {
            progress.phase(&Phase { what: what.into(), done, total });
        }
    };
    Ok(experiment.dataset.object.load(&LoadContext { progress: &tell })?)
}

/// What can only be checked with the data at hand.
pub(crate) fn check_data(experiment: &Experiment, data: &ImageSet) -> Result<(), RunError> {
    experiment.check_length(data.count(&data.train)).map_err(|e| RunError::Config(e.to_string()))?;
    let names: Vec<&str> = data.train.labels.iter().map(|l| l.name.as_str()).collect();
    for probe in experiment.probes.iter().filter(|p| p.component.object.uses_labels()) {
        if let Some(label) = probe.labels.iter().find(|l| !names.contains(&l.as_str())) {
            return Err(RunError::Config(format!(
                "probes: `{}` asks for labels `{label}`, but the data set has: {}",
                probe.name,
                names.join(", ")
            )));
        }
    }
    Ok(())
}
