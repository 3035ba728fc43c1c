//! A run that is read back: its experiment, its data, and the model with its weights.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ijepa_registry::{image::ImageSet, tensor::Cpu};
use serde_json::{Value, json};

use super::{RunError, configured, data, device, device::ComputeDevice, start_threads};
use crate::{
    config::{self, Experiment},
    model::BuildDevice,
    results::{CHECKPOINT, Care, EXPERIMENT, Status, WEIGHTS, kept_epochs, kept_weights, read, seal},
    sinks::{Progress, Weights, read_weights},
    train::{RunPlan, Session},
};

/// A run, finished or not, with the last weights that it left.
pub struct StoredRun {
    /// Its folder.
    pub folder: PathBuf,
    /// Its experiment, without probes and rules of collapse: they may be of another program.
    pub experiment: Experiment,
    /// Its weights.
    pub weights: Weights,
    /// Fingerprint of the data that it was trained on; empty if it does not say.
    pub data: String,
    /// Whether it is a model of another program, whose encoder is all there is.
    pub foreign: bool,
}

/// How a run is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening<'a> {
    /// Of which epoch the weights are; none: the last that there are.
    pub epoch: Option<u64>,
    /// Probes, as entries of a file.
    pub probes: &'a [Value],
    /// Where its data set lies now; none: where it was.
    pub data: Option<&'a Path>,
}

impl Opening<'_> {
    /// Changes to the stored experiment: its own probes and rules may be of another program.
    fn changes(&self) -> Vec<String> {
        let moved = self.data.map(moved);
        [format!("probes={}", json!(self.probes)), "collapse=[]".into()].into_iter().chain(moved).collect()
    }
}

/// The change of an experiment whose data lie elsewhere now.
pub fn moved(data: &Path) -> String {
    format!("dataset.path={}", json!(data.to_string_lossy()))
}

/// What is done with a session, on whatever device it is.
pub trait OnSession {
    /// What comes of it.
    type Output;
    /// Does it.
    fn on<D: BuildDevice>(
        self,
        session: &Session<D>,
        progress: &mut Progress,
    ) -> Result<Self::Output, RunError>;
}

impl StoredRun {
    /// Reads experiment and weights of the run in `folder`, and makes sure that they are what it left there.
    pub fn open(folder: &Path, opening: &Opening) -> Result<Self, RunError> {
        let damaged = |error| RunError::Damaged(error, folder.into());
        let status = Status::expected(folder).map_err(damaged)?.unwrap_or_default();
        if let Some(error) = status.damages(folder, Care::Weights).into_iter().next() {
            return Err(damaged(error));
        }
        let path = folder.join(EXPERIMENT);
        let text = read::text(&path).map_err(damaged)?;
        let text = text.ok_or_else(|| damaged(seal::missing(&path)))?;
        let stored = config::load_stored(&path.to_string_lossy(), &text, &opening.changes());
        let experiment = configured(stored)?;
        let weights = read_weights(&weights_of(folder, opening.epoch, experiment.train.epochs)?)?;
        Ok(StoredRun { folder: folder.into(), experiment, weights, data: status.data, foreign: false })
    }

    /// The data it was trained on; other data under their name are an error.
    pub fn read_data(&mut self, progress: &mut Progress) -> Result<ImageSet, RunError> {
        let read = data::telling(progress, |context| data::read(&self.experiment, context))?;
        if !self.data.is_empty() && self.data != read.content.all {
            return Err(RunError::OtherData(format!(
                "{}: the images of `dataset` are not those that this run was trained on",
                self.folder.display()
            )));
        }
        Ok(read.set)
    }

    /// An empty data set of its shape, for a model that is given other images.
    pub fn no_data(&self) -> ImageSet {
        ImageSet::new(self.experiment.dataset.object.shape(), Default::default(), Default::default())
    }

    /// Builds the model on the device of the run, with its weights, and does `work` with it.
    pub fn on_session<W: OnSession>(
        self,
        data: Arc<ImageSet>,
        threads: Option<usize>,
        progress: &mut Progress,
        work: W,
    ) -> Result<W::Output, RunError> {
        let notes = [start_threads(threads), device::warning(self.experiment.device)];
        notes.iter().flatten().for_each(|note| progress.note(note));
        match device::choose(self.experiment.device)? {
            ComputeDevice::Cpu => {}
            #[cfg(feature = "cuda-base")]
            ComputeDevice::Cuda(ordinal, _) => match device::open(ordinal) {
                Ok(gpu) => return self.on_device(data, &gpu, progress, work),
                Err(cause) if self.experiment.device == config::Device::Auto => {
                    progress.note(&device::fallback(&cause));
                }
                Err(cause) => return Err(cause),
            },
        }
        self.on_device(data, &Cpu::default(), progress, work)
    }

    fn on_device<D: BuildDevice, W: OnSession>(
        self,
        data: Arc<ImageSet>,
        device: &D,
        progress: &mut Progress,
        work: W,
    ) -> Result<W::Output, RunError> {
        let (plan, builder) = RunPlan::new(self.experiment, data);
        let mut session = Session::new(plan, builder, device)?;
        if self.foreign {
            session.restore_encoders(self.weights.tensors)?;
        } else {
            session.restore_weights(self.weights.tensors)?;
        }
        work.on(&session, progress)
    }
}

/// The file with the weights of a run after an epoch, or its last: those of its end, else those of its last
/// checkpoint.
fn weights_of(folder: &Path, epoch: Option<u64>, epochs: u64) -> Result<PathBuf, RunError> {
    let there = |path: &PathBuf| path.symlink_metadata().is_ok();
    if let Some(epoch) = epoch.filter(|epoch| *epoch != epochs) {
        return Some(kept_weights(folder, epoch)).filter(there).ok_or_else(|| not_kept(folder, epoch));
    }
    let last = [WEIGHTS, CHECKPOINT].map(|name| folder.join(name));
    let wanted = if epoch.is_some() { &last[..1] } else { &last };
    wanted.iter().find(|path| there(path)).cloned().ok_or_else(|| {
        let which =
            if epoch.is_some() { "of its last epoch yet" } else { "yet; its first checkpoint brings them" };
        RunError::Config(format!("{}: the run has no weights {which}", folder.display()))
    })
}

fn not_kept(folder: &Path, epoch: u64) -> RunError {
    let kept: Vec<String> = kept_epochs(folder).iter().map(ToString::to_string).collect();
    let kept = match kept.as_slice() {
        [] => "none is kept before the last; `train.keep_every` keeps them".to_owned(),
        kept => format!("kept are those of epochs {}", kept.join(", ")),
    };
    RunError::Config(format!("{}: the weights of epoch {epoch} are not there: {kept}", folder.display()))
}
