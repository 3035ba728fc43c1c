//! The encoder of a run as a folder that another library loads.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use serde_json::Value;

use super::{
    ExportedFile,
    card::Card,
    classifier::{self, Classifier, Fitting},
    encoder::Encoder,
    huggingface,
    preprocessing::Preprocessing,
    request::{ClassifierRequest, Library, ModelRequest},
    tensors::safetensors_bytes,
    timm,
};
use crate::{
    config::ProbedEncoder,
    data::hold_out,
    run::{
        RunError, Subject,
        stored::{Opening, StoredRun},
    },
    sinks::{Progress, Verbosity},
};

/// The files of the model of the run in `folder`; none if `stop` was set meanwhile.
pub fn export_model(
    folder: &Path,
    request: &ModelRequest,
    threads: Option<usize>,
    verbosity: Verbosity,
    stop: &AtomicBool,
) -> Result<Option<Vec<ExportedFile>>, RunError> {
    let wanted = request.classifier.as_ref();
    let probes: Vec<Value> =
        wanted.map(|c| classifier::entry(folder, &c.probe)).transpose()?.into_iter().collect();
    let run = StoredRun::open(
        folder,
        &Opening { epoch: request.epoch, probes: &probes, data: request.data.as_deref() },
    )?;
    let holds = if request.library == Library::Timm { timm::HOLDS } else { huggingface::HOLDS };
    let (encoder, image) =
        match (Encoder::of(&run, request.encoder, holds), Preprocessing::of(&run.experiment)) {
            (Ok(encoder), Ok(image)) => (encoder, image),
            (encoder, image) => {
                let problems = [encoder.err(), image.err()].into_iter().flatten().flatten();
                let lines: Vec<String> =
                    problems.map(|problem| format!("{}: {problem}", folder.display())).collect();
                return Err(RunError::Config(lines.join("\n")));
            }
        };
    let card = Card::read(&run, encoder.subject)?;
    let fitted = match wanted {
        None => None,
        Some(wanted) => match fit(run, wanted, encoder.subject, threads, verbosity, stop)? {
            None => return Ok(None),
            some => some,
        },
    };
    files(&card, &encoder, &image, fitted.as_ref(), request).map(Some)
}

fn fit(
    mut run: StoredRun,
    wanted: &ClassifierRequest,
    subject: &str,
    threads: Option<usize>,
    verbosity: Verbosity,
    stop: &AtomicBool,
) -> Result<Option<Classifier>, RunError> {
    let mut progress = Progress::new(verbosity);
    let of = if subject == "target" { ProbedEncoder::Target } else { ProbedEncoder::Context };
    let set = run.read_data(&mut progress)?;
    let data = Arc::new(hold_out(set, run.experiment.validation));
    let work = Fitting { subject: Subject::Encoder(of), labels: wanted.labels.as_deref(), stop };
    run.on_session(data, threads, &mut progress, work)
}

fn files(
    card: &Card,
    encoder: &Encoder,
    image: &Preprocessing,
    classifier: Option<&Classifier>,
    request: &ModelRequest,
) -> Result<Vec<ExportedFile>, RunError> {
    let (tensors, configs) = match request.library {
        Library::Timm => {
            let config = timm::config(encoder, image, classifier);
            (timm::tensors(encoder, classifier), vec![("config.json", config)])
        }
        Library::Transformers => {
            let config = huggingface::config(encoder, image, classifier);
            let preprocessor = huggingface::preprocessor(image);
            let configs = vec![("config.json", config), ("preprocessor_config.json", preprocessor)];
            (huggingface::tensors(encoder, classifier), configs)
        }
    };
    let weights = safetensors_bytes(&tensors).map_err(std::io::Error::other)?;
    let json = |(name, value): (&str, Value)| ExportedFile::new(name, format!("{value:#}\n"));
    let mut all = vec![ExportedFile::new("model.safetensors", weights)];
    all.extend(configs.into_iter().map(json));
    all.push(ExportedFile::new("README.md", card.text(encoder, image, classifier, request)));
    Ok(all)
}
