//! Seconds per step of this machine, measured once and kept: a budget of equal seconds must give the
//! same plan when the sweep is run again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ijepa_registry::{kinds::LoadContext, tensor::Cpu};

use crate::{
    config::{self, Experiment},
    model::BuildDevice,
    results::{
        card,
        columns::{RATES, number},
        write_atomic,
    },
    run::{
        RunError, check_data,
        device::{self, Place},
        start_threads,
    },
    train::{RunPlan, Session},
};

/// Steps that are timed.
const STEPS: usize = 20;

/// The table of measured rates in an output folder.
pub struct Rates {
    path: PathBuf,
    threads: usize,
}

impl Rates {
    /// Those of runs with so many threads.
    pub fn of(output: &Path, threads: usize) -> Self {
        Rates { path: output.join(RATES.file), threads }
    }

    /// Seconds per step of `experiment`, whose sizes are called `key`: read, else measured and kept.
    pub fn seconds_per_step(&self, key: &str, experiment: &Experiment) -> Result<f64, String> {
        let place = device::choose(experiment.device).map_err(|e| e.to_string())?;
        let device = match &place {
            Place::Cpu => card::cpu_name(),
            #[cfg(feature = "cuda-base")]
            Place::Cuda(_, name) => name.clone(),
        };
        let mut rows = self.rows();
        let named = [device.as_str(), &self.threads.to_string(), key].map(str::to_owned);
        if let Some(row) = rows.iter().find(|row| row[..3] == named) {
            return row[3].parse().map_err(|_| format!("{}: `{}` is no number", self.path.display(), row[3]));
        }
        let seconds = measure(experiment, &place, self.threads)?;
        let [device, threads, key] = named;
        rows.push([device, threads, key, number(seconds)]);
        self.write(&rows).map_err(|e| e.to_string())?;
        // As it will be read.
        Ok(number(seconds).parse().unwrap_or(seconds))
    }

    fn rows(&self) -> Vec<[String; 4]> {
        let Ok(mut reader) = csv::Reader::from_path(&self.path) else { return Vec::new() };
        reader.deserialize().flatten().collect()
    }

    fn write(&self, rows: &[[String; 4]]) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(RATES.columns.iter().map(|c| c.name))?;
        rows.iter().try_for_each(|row| writer.write_record(row))?;
        let bytes = writer.into_inner().map_err(|e| io::Error::other(e.to_string()))?;
        fs::create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
        write_atomic(&self.path, &bytes)
    }
}

/// Mean seconds of a step, where the experiment would run.
fn measure(experiment: &Experiment, place: &Place, threads: usize) -> Result<f64, String> {
    start_threads(Some(threads));
    let seconds = match place {
        Place::Cpu => measure_on(&Cpu::default(), experiment),
        #[cfg(feature = "cuda-base")]
        Place::Cuda(ordinal, _) => device::open(*ordinal).and_then(|gpu| measure_on(&gpu, experiment)),
    };
    seconds.map_err(|e| e.to_string())
}

fn measure_on<D: BuildDevice>(device: &D, experiment: &Experiment) -> Result<f64, RunError> {
    let read = |name: &str| Err(format!("there is no {name}"));
    // A plan takes an experiment apart; this one is still needed whole.
    let again = config::load("experiment", &experiment.to_yaml(), &[], &read);
    let again = again.map_err(|e| RunError::Config(e.to_string()))?;
    let data = again.dataset.object.load(&LoadContext::silent())?;
    check_data(&again, &data)?;
    let (plan, builder) = RunPlan::new(again, Arc::new(data));
    let mut session = Session::new(plan, builder, device)?;
    Ok(super::steps::steps(&mut session, STEPS)?.step)
}
