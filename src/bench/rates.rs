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
    data::hold_out,
    model::BuildDevice,
    results::{
        card,
        columns::{RATES, RateRow, number},
        read, table, write_atomic,
    },
    run::{
        RunError, check_data,
        device::{self, ComputeDevice},
        start_threads,
    },
    train::{RunPlan, Session},
};

/// Steps that are timed.
const STEPS: usize = 20;

/// The table of measured rates in an output folder.
pub struct Rates {
    output: PathBuf,
    threads: usize,
}

impl Rates {
    /// Those of runs with so many threads.
    pub fn of(output: &Path, threads: usize) -> Self {
        Rates { output: output.into(), threads }
    }

    /// Seconds per step of `experiment`, whose sizes are called `key`: read, else measured and kept.
    pub fn seconds_per_step(&self, key: &str, experiment: &Experiment) -> Result<f64, String> {
        let place = device::choose(experiment.device).map_err(|e| e.to_string())?;
        let device = match &place {
            ComputeDevice::Cpu => card::cpu_name(),
            #[cfg(feature = "cuda-base")]
            ComputeDevice::Cuda(_, name) => name.clone(),
        };
        let mut rows: Vec<RateRow> = read::rows(&self.output, &RATES).map_err(|e| e.to_string())?;
        let threads = self.threads as u64;
        let same = |row: &&RateRow| row.device == device && row.threads == threads && row.sizes == key;
        if let Some(row) = rows.iter().find(same) {
            return Ok(row.seconds_per_step);
        }
        let seconds = measure(experiment, &place, self.threads)?;
        // As it will be read.
        let seconds_per_step = number(seconds).parse().unwrap_or(seconds);
        rows.push(RateRow { device, threads, sizes: key.into(), seconds_per_step });
        self.write(rows).map_err(|e| e.to_string())?;
        Ok(seconds_per_step)
    }

    fn write(&self, rows: Vec<RateRow>) -> io::Result<()> {
        let path = self.output.join(RATES.file);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        write_atomic(&path, &table(rows.into_iter())?)
    }
}

/// Mean seconds of a step, where the experiment would run.
fn measure(experiment: &Experiment, place: &ComputeDevice, threads: usize) -> Result<f64, String> {
    start_threads(Some(threads));
    let seconds = match place {
        ComputeDevice::Cpu => measure_on(&Cpu::default(), experiment),
        #[cfg(feature = "cuda-base")]
        ComputeDevice::Cuda(ordinal, _) => {
            device::open(*ordinal).and_then(|gpu| measure_on(&gpu, experiment))
        }
    };
    seconds.map_err(|e| e.to_string())
}

fn measure_on<D: BuildDevice>(device: &D, experiment: &Experiment) -> Result<f64, RunError> {
    let read = |name: &str| Err(format!("there is no {name}"));
    // A plan takes an experiment apart; this one is still needed whole.
    let again = config::load("experiment", &experiment.to_yaml(), &[], &read);
    let again = again.map_err(|e| RunError::Config(e.to_string()))?;
    let set = again.dataset.object.load(&LoadContext::silent())?;
    check_data(&again, &set)?;
    let data = Arc::new(hold_out(set, again.validation));
    let (plan, builder) = RunPlan::new(again, data);
    let mut session = Session::new(plan, builder, device)?;
    Ok(super::steps::steps(&mut session, STEPS)?.step)
}
