//! One experiment from its configuration to a finished run folder.

pub(crate) mod data;
pub(crate) mod device;
mod ended;
pub(crate) mod memory;
mod older;
mod stamp;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use ijepa_registry::{
    image::{ImageSet, Labels},
    kinds::{DataError, LoadContext, Survey},
    tensor::Cpu,
};

use crate::{
    config::{ConfigError, Device, Experiment, LabelCounts},
    data::{Fingerprint, hold_out, overlap},
    events::{Event, Outcome, Phase},
    kernels,
    model::BuildDevice,
    results::{
        CHECKPOINT, EXPERIMENT, FileError, FolderError, MetricMeanings, RunFolder, RunState, Status, WEIGHTS,
        card::{DataCard, RunCard},
        seal, write_atomic,
    },
    sinks::{CheckpointError, CheckpointMeta, Files, Progress, Sink, Verbosity, read_checkpoint},
    train::{RunPlan, Session, TrainError, Until, run},
};
use device::Place;
use ended::Ended;

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
    /// A file of the run folder cannot be read, or is not what the run left there.
    #[error(
        "{0}\n  help: put the file back; or take what is there with `ijepa-run verify --accept {path}`; or start over with --force (earlier files are kept)",
        path = .1.display()
    )]
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
    // Without a lock: a finished run needs no write, and may lie where nothing can be written.
    if given.is_some() || data::is_known(&experiment) {
        let path = given.map_or_else(|| data::folder(&options.output, &experiment), Path::to_path_buf);
        if let (_, Some(finished)) = look(&path, &mut experiment, again, options)? {
            return Ok(finished);
        }
    }
    // Images are made on a thread of their own, however few may compute.
    if startable(1) == 0 {
        let message = "threads: the system lets this process start none (see `ulimit -u`); a run needs one";
        return Err(RunError::Config(message.into()));
    }
    let mut progress = Progress::new(options.verbosity);
    if let Some(note) = start_threads(options.threads) {
        progress.note(&note);
    }
    if let Some(warning) = device::warning(experiment.device) {
        progress.note(&warning);
    }
    if let Some(warning) = memory::check_before(&experiment)? {
        progress.note(&warning);
    }
    if let Some(note) = device::rounding_note(&place, experiment.train.matmul) {
        progress.note(&format!("note: {note}"));
    }
    let read = telling(&mut progress, |context| data::read(&experiment, context));
    let data::Read { set, content, facts } = read.map_err(|e| absent(e, &experiment, &options.output))?;
    experiment = configured(experiment.with_data(facts))?;
    check_data(&experiment, &set)?;
    let path = given.map_or_else(|| data::folder(&options.output, &experiment), Path::to_path_buf);
    if let (_, Some(finished)) = look(&path, &mut experiment, again, options)? {
        return Ok(finished);
    }
    let folder = RunFolder::open(&path)?;
    if options.force && folder.is_used() {
        folder.set_aside()?;
    }
    let (ended, finished) = look(&path, &mut experiment, again, options)?;
    if let Some(finished) = finished {
        return Ok(finished);
    }
    let images = describe(&experiment, &set);
    progress.note(&images);
    let card = DataCard { content, images };
    let data = Arc::new(hold_out(set, experiment.validation));
    let until = Until { stop, epoch: options.until_epoch };
    let name = place.to_string();
    match place {
        #[cfg(feature = "cuda-base")]
        Place::Cuda(ordinal, _) => {
            let gpu = device::open(ordinal)?;
            run_on(experiment, data, card, folder, ended, progress, &gpu, &name, until)
        }
        Place::Cpu => run_on(experiment, data, card, folder, ended, progress, &Cpu::default(), &name, until),
    }
}

/// A run that an earlier process has brought to its end: finished, or what it lacks of its probes.
fn look(
    path: &Path,
    experiment: &mut Experiment,
    again: &[String],
    options: &RunOptions,
) -> Result<(Option<Ended>, Option<Finished>), RunError> {
    let finished = already_finished(path, options)?;
    if finished.as_ref().is_none_or(|finished| finished.outcome != Outcome::Done) {
        return Ok((None, finished));
    }
    let ended = Ended::of(path, experiment, again)?.filter(|ended| !ended.missing.is_empty());
    let complete = ended.is_none();
    Ok((ended, finished.filter(|_| complete)))
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

/// Data that cannot be had do not make a finished run vanish, but it cannot be said to be of these data.
pub(crate) fn absent(error: DataError, experiment: &Experiment, output: &Path) -> DataError {
    let finished = data::runs_on_any_data(output, experiment).into_iter();
    let finished = finished
        .filter(|folder| Status::read(folder).is_ok_and(|s| s.is_some_and(|s| s.state == RunState::Done)));
    let lines: Vec<String> = finished
        .map(|folder| {
            format!("\n  finished before, on data that were there: ijepa-run show {}", folder.display())
        })
        .collect();
    DataError(error.0 + &lines.concat())
}

/// One line about the images: how many, what is left out, what is in both splits.
fn describe(experiment: &Experiment, set: &ImageSet) -> String {
    let held = match experiment.validation {
        0 => String::new(),
        n => format!("; {n} held out for validation"),
    };
    let both = match overlap(set) {
        0 => String::new(),
        n => format!("; warning: images in both the training and the test set: {n}"),
    };
    let survey = experiment.survey().unwrap_or_else(|| Survey::of(set));
    format!("{}{held}{both}", survey.sentence())
}

#[allow(clippy::too_many_arguments)]
fn run_on<D: BuildDevice>(
    mut experiment: Experiment,
    data: Arc<ImageSet>,
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
        experiment.probes.retain(|spec| ended.missing.contains(&spec.name));
    }
    let (plan, builder) = RunPlan::new(experiment, data);
    let mut session = Session::new(plan, builder, device)?;
    let path = folder.path().to_path_buf();
    let damaged = |error| RunError::Damaged(error, path.clone());
    let threads = rayon::current_num_threads();
    if let Some(warning) = memory::check_training(&session, threads)? {
        progress.note(&warning);
    }
    let resumed = resume(&mut session, &folder, &identity, &card.content)?;
    let content = card.content.clone();
    let card = RunCard::of_this_process(device_name, threads, &card, session.progress.step);
    if let Some(ended) = ended {
        let mut emit = |event: Event| {
            let _ = progress.take(&event);
            Ok(())
        };
        let rows = ended.measure(&session, &path, &mut emit, until.stop)?;
        let (Some(rows), Some(meta)) = (rows, resumed) else {
            return Ok(Finished { folder: path, outcome: Outcome::Stopped, reused: false });
        };
        ended.write(&folder, &rows, meta, &session.snapshot(), &|| {
            write_atomic(&path.join(EXPERIMENT), yaml.as_bytes())?;
            meanings.write(&path)
        })?;
        card.append_to(&path)?;
        return Ok(Finished { folder: path, outcome: Outcome::Done, reused: false });
    }
    let steps = session.plan.horizon.steps;
    let mut files = Files::open(folder, &identity, &content, steps, resumed.as_ref()).map_err(damaged)?;
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
    data: &Fingerprint,
) -> Result<Option<CheckpointMeta>, RunError> {
    let damaged = |error| RunError::Damaged(error, folder.path().into());
    let Some(path) = folder.existing_checkpoint().map_err(damaged)? else {
        folder.refuse_lost_checkpoint().map_err(damaged)?;
        return Ok(None);
    };
    let (meta, snapshot) = read_checkpoint(&path)?;
    // A checkpoint of version 0.1.0 has an identity of its own kind; what stands beside it tells.
    let same =
        meta.identity == identity || older::stored_identity(folder.path()).as_deref() == Some(identity);
    if !same || meta.data != data.all {
        let what = if meta.data == data.all { "another configuration" } else { "other data" };
        return Err(RunError::OtherData(format!(
            "{} was written by {what} under the same name; start over with --force (earlier files are kept)",
            path.display()
        )));
    }
    let (step, steps) = (meta.progress.step, session.plan.horizon.steps);
    if step > steps {
        return Err(RunError::OtherData(format!(
            "{}: says step {step} of a run of {steps} steps; start over with --force (earlier files are kept)",
            path.display()
        )));
    }
    session.restore(snapshot)?;
    Ok(Some(meta))
}

/// What a person should know of a run that goes on: who wrote it.
fn continued(folder: &Path, meta: &CheckpointMeta, now: &RunCard) -> Vec<String> {
    let mut notes = Vec::new();
    if meta.is_unsealed() {
        let what = "version 0.1.0 wrote this run: unsealed, its tables are known by their lengths only";
        notes.push(format!("note: {what}; from here on everything is sealed"));
    }
    let cards = RunCard::read_all(folder).unwrap_or_default();
    let program = |card: &RunCard| format!("version {} {}", card.version, card.git).trim_end().to_owned();
    if let Some(last) = cards.last().filter(|last| program(last) != program(now)) {
        notes.push(format!("note: {} worked on this run before, now {}", program(last), program(now)));
    }
    notes
}

/// A run that an earlier process has brought to its end, unless it is to start over. Its files must be
/// what it left; weights that are gone are made again, which is not nothing.
fn already_finished(folder: &Path, options: &RunOptions) -> Result<Option<Finished>, RunError> {
    let damaged = |error| RunError::Damaged(error, folder.into());
    if options.force {
        return Ok(None);
    }
    let Some(status) = Status::read(folder).map_err(damaged)? else { return Ok(None) };
    let there = |name: &str| folder.join(name).symlink_metadata().is_ok();
    let weights_to_make = status.state == RunState::Done && !there(WEIGHTS) && there(CHECKPOINT);
    if !status.state.is_over() || weights_to_make {
        return Ok(None);
    }
    if let Some(error) = seal::damages(folder, &status.files).into_iter().next() {
        return Err(damaged(error));
    }
    let outcome = match status.state {
        RunState::Done => Outcome::Done,
        RunState::Diverged => Outcome::Diverged { reason: status.reason },
        RunState::Collapsed => Outcome::Collapsed { reason: status.reason },
        _ => return Ok(None),
    };
    Ok(Some(Finished { folder: folder.into(), outcome, reused: true }))
}

/// The name of the device that `wanted` leads to on this machine.
pub fn device_for(wanted: Device) -> Result<String, RunError> {
    device::choose(wanted).map(|place| place.to_string())
}

/// Sizes the compute pool. A second call in one process keeps the first size. Where fewer threads can be
/// had, says so and takes what there is: no number depends on it.
pub(crate) fn start_threads(threads: Option<usize>) -> Option<String> {
    kernels::keep_memory();
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = threads.unwrap_or_else(cores);
    let started = startable(wanted + OTHER_THREADS);
    let possible = started.saturating_sub(OTHER_THREADS).clamp(1, wanted);
    let builder = rayon::ThreadPoolBuilder::new().num_threads(possible);
    // The thread that asks computes along where there may be no room for another.
    let builder = if started <= OTHER_THREADS { builder.use_current_thread() } else { builder };
    let _ = builder.build_global();
    let line = "threads were wanted, the system allows";
    let fewer = || format!("note: {wanted} {line} {possible} (see `ulimit -u`); no number depends on it");
    (started < wanted + OTHER_THREADS).then(fewer)
}

/// Threads that a run needs besides those that compute: images, signals, the display.
const OTHER_THREADS: usize = 8;

/// How many threads can be started, at most `wanted`: tries it.
fn startable(wanted: usize) -> usize {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let wait = |gate: Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>| {
        let _ = gate.lock().map(|gate| gate.recv());
    };
    let start = |_| {
        let gate = gate.clone();
        std::thread::Builder::new().spawn(move || wait(gate)).ok()
    };
    let started: Vec<_> = (0..wanted).map_while(start).collect();
    drop(release);
    let possible = started.len();
    started.into_iter().for_each(|thread| drop(thread.join()));
    possible
}

/// Runs `read` with a context that shows its progress.
fn telling<T>(
    progress: &mut Progress,
    read: impl FnOnce(&LoadContext) -> Result<T, DataError>,
) -> Result<T, DataError> {
    let progress = std::sync::Mutex::new(progress);
    let tell = |what: &str, done: u64, total: u64| {
        if let Ok(mut progress) = progress.lock() {
            progress.phase(&Phase { what: what.into(), done, total });
        }
    };
    read(&LoadContext { progress: &tell })
}

/// What can only be checked with the data at hand.
pub(crate) fn check_data(experiment: &Experiment, data: &ImageSet) -> Result<(), RunError> {
    configured(experiment.check_data(&Survey::of(data)))?;
    let counts = |labels: &Labels| {
        let mut train = vec![0; labels.values.len()];
        labels.labels.iter().for_each(|&label| train[label as usize] += 1);
        LabelCounts { name: labels.name.clone(), train }
    };
    let counts: Vec<LabelCounts> = data.train.labels.iter().map(counts).collect();
    let measured = data.count(&data.test).max(experiment.validation);
    let train = data.count(&data.train) - experiment.validation;
    configured(experiment.check_probes(train, measured, &counts))
}
