//! `ijepa-run export FORMAT RUN...`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Exit, clean, exit, looking_args::LookingArgs, print, signals};
use crate::{
    export::{
        ClassifierRequest, ExportedFile, Library, ModelRequest, Tracker, export_histories, export_model,
        histories, write,
    },
    run::RunError,
};

const EXAMPLES: &str = "\
Formats:
  huggingface  a folder that transformers (4 and 5) loads with AutoModel.from_pretrained, with model card
  timm         a folder that timm.create_model('local-dir:...') loads, with model card
  tensorboard  event files: tensorboard --logdir exports/tensorboard; arms are groups of its HPARAMS table
  mlflow       a file store; set MLFLOW_ALLOW_FILE_STORE=true, or: mlflow migrate-filestore --source exports/mlflow ...
What a format has no place for is refused with the setting. For Weights & Biases there is scripts/to_wandb.py.

Examples:
  ijepa-run export huggingface 001765f2 --license apache-2.0
  ijepa-run export huggingface 001765f2 --classifier linear --output model    with the linear probe on top
  ijepa-run export timm 001765f2 --encoder context --epoch 50
  ijepa-run export tensorboard mask-count                                     all runs of a sweep
  ijepa-run export mlflow results                                             all runs of a folder

Exit codes:
   0  written
   1  it could not be written, or a file of a run is damaged
   2  usage error: no such run, or one that the format cannot hold
  75  stopped; nothing was written of the run under way";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// What is written.
    #[arg(value_enum, value_name = "FORMAT")]
    format: Format,
    /// Runs, sweeps, or folders of run folders; a run is a folder, or the start of its name or identity.
    #[arg(value_name = "RUN|SWEEP|DIR", required = true)]
    runs: Vec<PathBuf>,
    /// Folder to write to; by default exports/FORMAT, and in it a folder per model.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Whose weights; by default the target encoder, where there is one.
    #[arg(long, value_enum)]
    encoder: Option<Encoder>,
    /// The weights that `train.keep_every` kept of this epoch, instead of the last.
    #[arg(long, value_name = "N")]
    epoch: Option<u64>,
    /// A linear probe as classifier on top: its name in the run, or an entry of `probes` as a file holds it. It is
    /// fitted again, to the same numbers.
    #[arg(long, value_name = "PROBE", num_args = 0..=1, default_missing_value = "linear")]
    classifier: Option<String>,
    /// Labels that the classifier says; by default the first of the probe.
    #[arg(long, value_name = "LABELS", requires = "classifier")]
    labels: Option<String>,
    /// Licence of the weights for the model card, such as apache-2.0, mit or cc-by-4.0.
    #[arg(long, value_name = "ID")]
    license: Option<String>,
    /// Replace a model that is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    looking: LookingArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For transformers.
    Huggingface,
    /// For timm.
    Timm,
    /// Event files.
    Tensorboard,
    /// A file store.
    Mlflow,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Encoder {
    /// The teacher: the moving average.
    Target,
    /// The encoder that is trained.
    Context,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Huggingface => "huggingface",
            Format::Timm => "timm",
            Format::Tensorboard => "tensorboard",
            Format::Mlflow => "mlflow",
        }
    }

    fn library(self) -> Result<Library, Tracker> {
        match self {
            Format::Huggingface => Ok(Library::Transformers),
            Format::Timm => Ok(Library::Timm),
            Format::Tensorboard => Err(Tracker::Tensorboard),
            Format::Mlflow => Err(Tracker::Mlflow),
        }
    }
}

/// Writes runs in the format of another program.
pub(crate) fn export(args: &ExportArgs) -> Exit {
    let folders = match folders(args) {
        Ok(folders) => folders,
        Err(message) => return refuse(&message),
    };
    match args.format.library() {
        Ok(library) => models(library, &folders, args),
        Err(tracker) => match args.for_models_only() {
            Some(option) => refuse(&format!("{option} is for models: huggingface, timm")),
            None => numbers(tracker, &folders, args),
        },
    }
}

/// The run folders that are meant, each once.
fn folders(args: &ExportArgs) -> Result<Vec<PathBuf>, String> {
    let found = args.runs.iter().map(|run| clean::meant(run, &args.looking.results));
    let mut folders = found.collect::<Result<Vec<_>, _>>()?.concat();
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    Ok(folders)
}

fn refuse(message: &str) -> Exit {
    print::stderr(message);
    Exit::Config
}

impl ExportArgs {
    fn output(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(|| Path::new("exports").join(self.format.name()))
    }

    /// An option that means nothing to trackers.
    fn for_models_only(&self) -> Option<&'static str> {
        let given = [
            (self.encoder.is_some(), "--encoder"),
            (self.epoch.is_some(), "--epoch"),
            (self.classifier.is_some(), "--classifier"),
            (self.license.is_some(), "--license"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
    }

    fn request(&self, library: Library) -> ModelRequest {
        let classifier = self.classifier.clone();
        ModelRequest {
            library,
            encoder: self.encoder.map(|e| ["target", "context"][e as usize]),
            epoch: self.epoch,
            data: self.looking.data.clone(),
            classifier: classifier.map(|probe| ClassifierRequest { probe, labels: self.labels.clone() }),
            license: self.license.clone(),
        }
    }

    /// Where the model of a run goes: the folder that was named, if that is for it alone.
    fn model_folder(&self, folder: &Path, of: usize) -> PathBuf {
        match &self.output {
            Some(output) if of == 1 => output.clone(),
            _ => self.output().join(folder.file_name().unwrap_or_default()),
        }
    }
}

fn models(library: Library, folders: &[PathBuf], args: &ExportArgs) -> Exit {
    let wanted: Vec<(&PathBuf, PathBuf)> =
        folders.iter().map(|folder| (folder, args.model_folder(folder, folders.len()))).collect();
    let there = |to: &Path| to.join("config.json").exists() || to.join("model.safetensors").exists();
    if let Some((_, to)) = wanted.iter().find(|(_, to)| !args.force && there(to)) {
        return refuse(&format!("{} holds a model already; replace it with --force", to.display()));
    }
    let request = args.request(library);
    for (folder, to) in &wanted {
        let exported = export_model(
            folder,
            &request,
            args.looking.threads(),
            args.looking.verbosity(),
            signals::stop_flag(),
        );
        let done = match exported {
            Ok(Some(files)) => written(to, &files, args),
            Ok(None) => {
                print::stderr("stopped: nothing was written");
                Exit::Requeue
            }
            Err(error) => failed(&error),
        };
        if done != Exit::Done {
            return done;
        }
    }
    if request.license.is_none() && !args.looking.quiet {
        print::stderr("note: the model card names no licence; --license ID adds it");
    }
    Exit::Done
}

fn failed(error: &RunError) -> Exit {
    print::stderr(&format!("error: {error}"));
    exit::exit_of(error)
}

fn numbers(tracker: Tracker, folders: &[PathBuf], args: &ExportArgs) -> Exit {
    let output = args.output();
    match histories(folders) {
        Ok(histories) => written(&output, &export_histories(tracker, &histories, &output), args),
        Err(error) => {
            print::stderr(&format!("error: {error}"));
            Exit::Failed
        }
    }
}

fn written(folder: &Path, files: &[ExportedFile], args: &ExportArgs) -> Exit {
    match write(folder, files) {
        Ok(()) if args.looking.quiet => Exit::Done,
        Ok(()) => print::stdout(&format!("{}\n", folder.display())),
        Err(error) => {
            print::stderr(&format!("error: {}: {error}", folder.display()));
            Exit::Failed
        }
    }
}
