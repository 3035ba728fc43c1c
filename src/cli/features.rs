//! `ijepa-run features RUN [IMAGES] --output FILE`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ijepa_registry::kinds::Pooling;

use super::{Exit, exit, looking_args::LookingArgs, print, show, signals};
use crate::{
    run::Subject,
    run::features::{FeatureRequest, FeatureSplit, Layers, WrittenFeatures, write_features},
    sinks::features::{FeatureFormat, images_beside},
};

const EXAMPLES: &str = "\
Order: training images, then those held out for validation, then test images, each in the order of the data
set; the images of a folder in the order of their paths. Images are not augmented: resized, and normalised as
the run does it. The same run gives the same bytes.

Examples:
  ijepa-run features 001765f2 --output cifar.npz                 all images of its data set
  ijepa-run features 001765f2 --split test --output test.csv
  ijepa-run features 001765f2 ~/pictures --output mine.safetensors
  ijepa-run features 001765f2 --encoder context --layer 3 --tokens --output tokens.npy

Exit codes:
   0  written
   1  it could not be written, or a file of the run is damaged
   2  usage error: no such run, no such layer, images that cannot be read
  75  stopped; no file is left";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FeaturesArgs {
    /// Run folder, or the start of its name or of its identity. A run that has not ended is taken at its last
    /// checkpoint.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// A folder of images, however deep they lie, or one image; without it the data set of the run. Folders
    /// in the folder are their classes.
    #[arg(value_name = "IMAGES")]
    images: Option<PathBuf>,
    /// File to write: .npz, .npy, .safetensors or .csv. Beside a .npy, FILE.images.csv says which images its
    /// rows are.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Whose features.
    #[arg(long, value_enum, default_value_t = Encoder::Target)]
    encoder: Encoder,
    /// Which images of the data set; all of them if left out.
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with = "images")]
    split: Vec<SplitName>,
    /// How many of the last blocks of the encoder, side by side: as `layers` of a probe.
    #[arg(long, value_name = "N", default_value_t = 1)]
    layers: usize,
    /// One block, counted from 1.
    #[arg(long, value_name = "N", conflicts_with = "layers")]
    layer: Option<usize>,
    /// The weights that `train.keep_every` kept of this epoch, instead of the last.
    #[arg(long, value_name = "N")]
    epoch: Option<u64>,
    /// What is made of the tokens of an image.
    #[arg(long, value_enum, default_value_t = PooledBy::Mean)]
    pooling: PooledBy,
    /// Features of every patch, row by row from the top left, instead of their mean.
    #[arg(long, conflicts_with = "pooling")]
    tokens: bool,
    /// Replace FILE if it is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    looking: LookingArgs,
}

/// Names of encoders and controls as probes have them.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Encoder {
    /// The teacher: the moving average.
    Target,
    /// The encoder that is trained.
    Context,
    /// The encoder as training starts from it.
    RandomInit,
    /// No encoder.
    Pixels,
    /// Principal components of patches.
    Pca,
}

/// As `pooling` of a probe.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum PooledBy {
    /// The mean of the patches.
    Mean,
    /// The class token, of an encoder that has one.
    ClassToken,
    /// The class token, then the mean of the patches.
    ClassAndMean,
}

impl From<PooledBy> for Pooling {
    fn from(by: PooledBy) -> Self {
        match by {
            PooledBy::Mean => Pooling::Mean,
            PooledBy::ClassToken => Pooling::ClassToken,
            PooledBy::ClassAndMean => Pooling::ClassAndMean,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SplitName {
    Train,
    Validation,
    Test,
}

impl FeaturesArgs {
    fn request(&self) -> Result<FeatureRequest, String> {
        let format = FeatureFormat::of(&self.output).ok_or_else(|| {
            let endings: Vec<String> = FeatureFormat::ENDINGS.iter().map(|(e, _)| format!(".{e}")).collect();
            format!("{}: the ending says the format: {}", self.output.display(), endings.join(", "))
        })?;
        let beside = (format == FeatureFormat::Npy).then(|| images_beside(&self.output));
        let there = [Some(self.output.clone()), beside].into_iter().flatten().find(|file| file.exists());
        if let Some(file) = there.filter(|_| !self.force) {
            return Err(format!("{} is there already; replace it with --force", file.display()));
        }
        Ok(FeatureRequest {
            subject: Subject::ALL[self.encoder as usize],
            layers: self.layer.map_or(Layers::Last(self.layers), Layers::Only),
            pooling: if self.tokens { Pooling::Tokens } else { self.pooling.into() },
            epoch: self.epoch,
            splits: self.split.iter().map(|split| FeatureSplit::ALL[*split as usize]).collect(),
            data: self.looking.data.clone(),
            images: self.images.clone(),
            output: self.output.clone(),
            format,
        })
    }
}

/// Writes the features of a run.
pub(crate) fn features(args: &FeaturesArgs) -> Exit {
    let asked =
        args.request().and_then(|request| Ok((show::find(&args.run, &args.looking.results)?, request)));
    let (folder, request) = match asked {
        Ok(asked) => asked,
        Err(message) => {
            print::stderr(&message);
            return Exit::Config;
        }
    };
    let verbosity = args.looking.verbosity();
    let threads = args.looking.threads();
    match write_features(&folder, &request, threads, verbosity, signals::stop_flag()) {
        Ok(Some(written)) => told(&request.output, &written, args),
        Ok(None) => {
            print::stderr("stopped: nothing was written");
            Exit::Requeue
        }
        Err(error) => {
            print::stderr(&format!("error: {error}"));
            exit::exit_of(&error)
        }
    }
}

fn told(output: &Path, written: &WrittenFeatures, args: &FeaturesArgs) -> Exit {
    if args.looking.quiet {
        return Exit::Done;
    }
    let shape: Vec<String> = written.shape.iter().map(ToString::to_string).collect();
    let axes = if args.tokens { "image, patch, dim" } else { "image, dim" };
    let name = Subject::ALL[args.encoder as usize].name();
    let of = format!("features of {name} at step {}", written.step);
    print::stdout(&format!("{}: {} ({axes}), {of}\n", output.display(), shape.join(" x ")))
}
