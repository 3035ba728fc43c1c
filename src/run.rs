//! One experiment from its configuration to a finished run folder.

pub(crate) mod data;
pub(crate) mod device;
pub mod early_stopping;
mod ended;
pub mod exec;
mod extend;
mod extend_checks;
mod feature_images;
pub mod features;
mod finished;
pub mod foreign;
mod initial;
pub mod launcher;
mod live;
pub(crate) mod memory;
mod older;
mod resume;
mod stamp;
pub mod stored;
pub mod sweep;
mod threads;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use ijepa_registry::{image::ImageSet, kinds::DataError, tensor::Cpu};

pub use crate::train::Subject;
use crate::{
    config::{ConfigError, Device, Experiment},
    data::{held_out, hold_out},
    events::{Event, Outcome},
    model::BuildDevice,
    results::{
        EXPERIMENT, FileError, FolderError, MetricMeanings, RunFolder, RunState, Status,
        card::{DataCard, RunCard},
        is_superseded, seal, write_atomic,
    },
    sinks::{CheckpointError, Files, Progress, Sink, Verbosity, write_artifact, write_predictions},
    train::{RunPlan, Session, TrainError, Until, run},
};
pub(crate) use data::{absent, check_data};
use device::ComputeDevice;
use ended::Ended;
use extend::Extension;
use finished::{Found, look};
pub use initial::model_lookup;
use initial::start_from;
use live::{Live, session_info};
use resume::{continued, resume};
pub use stored::moved;
pub(crate) use threads::start_threads;

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
    /// Go on from a finished run of the same experiment with fewer epochs, instead of from nothing.
    pub extend: bool,
    /// Take over from a process of another machine whose heartbeat stands still for so long.
    pub steal: Option<Duration>,
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
    /// A file of the run folder cannot be read, or is not what the run left there.
    #[error("{0}\n  help: {help}", help = seal::remedy(.1))]
    Damaged(FileError, PathBuf),
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

impl RunError {
    /// Whether another process has taken over the run, so that this one stopped and wrote nothing more.
    pub fn is_superseded(&self) -> bool {
        match self {
            RunError::Io(error) | RunError::Train(TrainError::Sink(error)) => is_superseded(error),
            _ => false,
        }
    }
}

/// Runs `experiment` in its folder: starts, continues from the checkpoint, or finds it done.
/// Setting `stop` makes it write a checkpoint and leave.
pub fn run_experiment(
    experiment: Experiment,
    options: &RunOptions,
    stop: &AtomicBool,
) -> Result<Finished, RunError> {
    in_folder(experiment, None, &[], options, stop)
}

/// Measures probes on the last weights of the finished run in `folder`, without training: those of
/// `experiment` that it lacks, and those named in `again`.
pub fn probe_run(
    experiment: Experiment,
    folder: &Path,
    again: &[String],
    options: &RunOptions,
    stop: &AtomicBool,
) -> Result<Finished, RunError> {
    let damaged = |error| RunError::Damaged(error, folder.into());
    let state = Status::read(folder).map_err(damaged)?.map_or(RunState::Pending, |status| status.state);
    if state != RunState::Done {
        return Err(RunError::Config(format!(
            "{}: the run is {state}, not done; probes that its experiment names are measured when it ends, so name \
             them there: ijepa-run FILE 'probes=[...]'",
            folder.display()
        )));
    }
    in_folder(experiment, Some(folder), again, options, stop)
}

/// `given` is the folder of a run that is there; none: the one that is the experiment's.
fn in_folder(
    experiment: Experiment,
    given: Option<&Path>,
    again: &[String],
    options: &RunOptions,
    stop: &AtomicBool,
) -> Result<Finished, RunError> {
    let place = device::choose(experiment.device)?;
    let mut experiment = surveyed(experiment, &options.output)?;
    let folder_of =
        |e: &Experiment| given.map_or_else(|| data::folder(&options.output, e), Path::to_path_buf);
    // Before images are read, if it is known which run is meant: what is finished costs a moment.
    if given.is_some() || data::is_known(&experiment) {
        let path = folder_of(&experiment);
        if let Found::Complete(finished) = look(&path, &mut experiment, again, options)? {
            return Ok(finished);
        }
    }
    threads::refuse_none()?;
    let mut progress = Progress::new(options.verbosity);
    for note in prepared(&experiment, &place, options)? {
        progress.note(&note);
    }
    let read = data::telling(&mut progress, |context| data::read(&experiment, context));
    let data::Read { set, content, facts } = read.map_err(|e| absent(e, &experiment, &options.output))?;
    experiment = configured(experiment.with_data(facts))?;
    check_data(&experiment, &set)?;
    let path = folder_of(&experiment);
    // The images tell which run it is, or that it is another one than was remembered. Still without a lock: a
    // finished run needs no write, and may lie where nothing can be written.
    if let Found::Complete(finished) = look(&path, &mut experiment, again, options)? {
        return Ok(finished);
    }
    let extension = extension(&path, &experiment, &set, options)?;
    let folder = RunFolder::open_or_steal(&path, options.steal)?;
    if options.force && folder.is_used() {
        folder.set_aside()?;
    }
    // Under the lock: whoever held it may have finished meanwhile.
    let ended = match look(&path, &mut experiment, again, options)? {
        Found::Complete(finished) => return Ok(finished),
        Found::Lacking(ended) => Some(ended),
        Found::Unfinished => None,
    };
    if let Some(extension) = extension.filter(|_| ended.is_none()) {
        extension.begin(&folder, &experiment, &content)?;
        let (from, epochs) = (extension.from.display(), extension.epochs);
        progress.note(&format!("note: goes on from {from}, after its {epochs} epochs"));
    }
    let images = data::describe(&experiment, &set);
    progress.note(&images);
    let card = DataCard { content, images };
    let held = held_out(&set, experiment.validation);
    let data = (Arc::new(hold_out(set, experiment.validation)), held);
    let until = Until { stop, epoch: options.until_epoch };
    #[cfg(feature = "cuda-base")]
    if let ComputeDevice::Cuda(ordinal, _) = place {
        match device::open(ordinal) {
            Ok(gpu) => {
                let name = place.to_string();
                return run_on(experiment, data, card, folder, ended, progress, &gpu, &name, until);
            }
            Err(cause) if experiment.device == Device::Auto => progress.note(&device::fallback(&cause)),
            Err(cause) => return Err(cause),
        }
    }
    let name = ComputeDevice::Cpu.to_string();
    run_on(experiment, data, card, folder, ended, progress, &Cpu::default(), &name, until)
}

/// The finished run that a new one goes on from, if it is to; one that has begun goes on from its own checkpoint.
fn extension(
    path: &Path,
    experiment: &Experiment,
    set: &ImageSet,
    options: &RunOptions,
) -> Result<Option<Extension>, RunError> {
    let damaged = |error| RunError::Damaged(error, path.into());
    if !options.extend || RunFolder::checkpoint_in(path).map_err(damaged)?.is_some() {
        return Ok(None);
    }
    let horizon = experiment.horizon(set.count(&set.train) - experiment.validation);
    Extension::find(&options.output, experiment, horizon).map(Some)
}

/// Starts the threads that compute; what a person should know of them, of the device and of the memory.
fn prepared(
    experiment: &Experiment,
    place: &ComputeDevice,
    options: &RunOptions,
) -> Result<impl Iterator<Item = String>, RunError> {
    let threads = start_threads(options.threads);
    let device = device::warning(experiment.device);
    let memory = memory::check_before(experiment)?;
    let rounding = device::rounding_note(place, experiment.train.matmul).map(|note| format!("note: {note}"));
    Ok([threads, device, memory, rounding].into_iter().flatten())
}

/// The experiment with what names and sizes say about its data, if they speak for running it.
fn surveyed(experiment: Experiment, output: &Path) -> Result<Experiment, RunError> {
    match data::facts(&experiment).map_err(|e| absent(e, &experiment, output))? {
        Some(facts) => configured(experiment.with_data(facts)),
        None => Ok(experiment),
    }
}

fn configured<T>(result: Result<T, ConfigError>) -> Result<T, RunError> {
    result.map_err(|e| RunError::Config(e.to_string()))
}

#[allow(clippy::too_many_arguments)]
fn run_on<D: BuildDevice>(
    mut experiment: Experiment,
    (data, held): (Arc<ImageSet>, Vec<usize>),
    card: DataCard,
    folder: RunFolder,
    ended: Option<Ended>,
    mut progress: Progress,
    device: &D,
    device_name: &str,
    until: Until,
) -> Result<Finished, RunError> {
    let (identity, yaml) = (experiment.identity(), experiment.to_yaml());
    let meanings = MetricMeanings::of(&experiment, data.count(&data.test));
    if let Some(ended) = &ended {
        experiment.probes.retain(|spec| ended.lacks(&spec.name));
    }
    let init = experiment.init.take();
    let watched = session_info(&experiment);
    let (plan, builder) = RunPlan::new(experiment, data);
    let plan = RunPlan { held_out: held, ..plan };
    let mut session = Session::new(plan, builder, device)?;
    let path = folder.path().to_path_buf();
    let damaged = |error| RunError::Damaged(error, path.clone());
    let threads = rayon::current_num_threads();
    if let Some(warning) = memory::check_training(&session, threads)? {
        progress.note(&warning);
    }
    let resumed = match &ended {
        Some(ended) if ended.take_weights(&mut session, &path, &card.content.all)? => None,
        _ => resume(&mut session, &folder, &identity, &card.content)?,
    };
    if let (Some(init), None, None) = (&init, &resumed, &ended) {
        start_from(&mut session, init)?;
    }
    let content = card.content.clone();
    let card = RunCard::of_this_process(device_name, threads, &card, session.progress.step);
    if let Some(ended) = ended {
        let mut emit = |event: Event| {
            match &event {
                Event::Artifact(artifact) => write_artifact(&path, artifact)?,
                Event::Predictions(predictions) => write_predictions(&path, predictions)?,
                _ => {}
            }
            let _ = progress.take(&event);
            Ok(())
        };
        let rows = ended.measure(&mut session, &path, &mut emit, until.stop)?;
        let Some(rows) = rows else {
            return Ok(Finished { folder: path, outcome: Outcome::Stopped, reused: false });
        };
        let describe = || {
            write_atomic(&path.join(EXPERIMENT), yaml.as_bytes())?;
            meanings.write(&path)
        };
        match resumed {
            Some(meta) => ended.write(&folder, &rows, meta, &session.snapshot(), &describe)?,
            None => ended.write_cleaned(&path, &rows, &describe)?,
        }
        card.append_to(&path)?;
        return Ok(Finished { folder: path, outcome: Outcome::Done, reused: false });
    }
    let steps = session.plan.horizon.steps;
    let terms = session.plan.term_columns();
    let mut files =
        Files::open(folder, &identity, &content, steps, &terms, resumed.as_ref()).map_err(damaged)?;
    write_atomic(&path.join(EXPERIMENT), yaml.as_bytes())?;
    meanings.write(&path)?;
    for note in resumed.iter().flat_map(|meta| continued(&path, meta, &card)) {
        progress.note(&note);
    }
    if let Some(aside) = card.append_to(&path)? {
        progress.note(&format!("note: run.json could not be read; it is kept as {}", aside.display()));
    }
    if files.need_checkpoint() {
        files.take(&Event::Checkpoint(Box::new(session.snapshot())))?;
    }
    let mut live = Live::open(&path, watched, session.progress.step, &mut progress);
    let mut emit = |event: Event| {
        files.take(&event)?;
        // A display never ends a run.
        live.take(&event, &mut progress);
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

/// The name of the device that `wanted` leads to on this machine.
pub fn device_for(wanted: Device) -> Result<String, RunError> {
    device::choose(wanted).map(|place| place.to_string())
}
