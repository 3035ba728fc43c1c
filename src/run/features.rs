//! Features of the images of a run, or of any others, as a file.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use ijepa_registry::{
    image::{ImageShape, Split},
    kinds::{Needs, Pooling},
};
use serde_json::{Value, json};

use super::{
    RunError,
    feature_images::{of_data, of_folder},
    stored::{OnSession, Opening, StoredRun},
};
use crate::{
    data::{Item, decode_bytes, hold_out, images_below},
    events::Phase,
    model::BuildDevice,
    sinks::{
        Progress, Verbosity,
        features::{FeatureFile, FeatureFormat, FeatureHead},
    },
    train::{FEATURE_BATCH, Session, SplitImages, Subject, TrainError},
};

pub use super::feature_images::FeatureSplit;

/// Which blocks of the encoder a feature holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// So many of the last blocks side by side, as the setting `layers` of probes.
    Last(usize),
    /// One block, counted from 1.
    Only(usize),
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct FeatureRequest {
    /// Whose features.
    pub subject: Subject,
    /// Of which blocks.
    pub layers: Layers,
    /// What is made of the tokens of an image.
    pub pooling: Pooling,
    /// Of which epoch; none: the last.
    pub epoch: Option<u64>,
    /// Which images of the data set; none: all.
    pub splits: Vec<FeatureSplit>,
    /// Where the data set lies now; none: where it was.
    pub data: Option<PathBuf>,
    /// A folder of other images.
    pub images: Option<PathBuf>,
    /// Where to.
    pub output: PathBuf,
    /// How.
    pub format: FeatureFormat,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFeatures {
    /// `(image, dim)` or `(image, token, dim)`.
    pub shape: Vec<usize>,
    /// The step of the weights.
    pub step: u64,
}

/// Writes the features of a run; none if `stop` was set meanwhile, and then no file is left.
pub fn write_features(
    folder: &Path,
    request: &FeatureRequest,
    threads: Option<usize>,
    verbosity: Verbosity,
    stop: &AtomicBool,
) -> Result<Option<WrittenFeatures>, RunError> {
    let mut progress = Progress::new(verbosity);
    let opening = Opening { epoch: request.epoch, data: request.data.as_deref(), ..Opening::default() };
    let mut run = StoredRun::open(folder, &opening)?;
    let encoder = &run.experiment.encoder;
    let form = Form::of(request, encoder.object.layers())?;
    if request.pooling.reads_class_token()
        && request.subject.is_encoder()
        && !encoder.object.has_class_token()
    {
        let message = format!("--pooling: the encoder of this run, `{}`, has no class token", encoder.kind);
        return Err(RunError::Config(message));
    }
    let (about, step) = (about(&run, request, &form), run.weights.step);
    let (head, data, source) = match &request.images {
        Some(images) => {
            let size = square(run.experiment.dataset.object.shape())?;
            let items = images_below(images)?.items;
            (of_folder(images, &items), run.no_data(), Source::Files(items, size))
        }
        None => {
            let set = run.read_data(&mut progress)?;
            let head = of_data(&run.experiment, &set, &request.splits)?;
            let splits = FeatureSplit::named(&request.splits);
            (head, hold_out(set, run.experiment.validation), Source::Splits(splits))
        }
    };
    let head = FeatureHead { about, ..head };
    let work = Writing { request, form, head, source, stop };
    let shape = run.on_session(Arc::new(data), threads, &mut progress, work)?;
    Ok(shape.map(|shape| WrittenFeatures { shape, step }))
}

/// Which features are asked of the encoder, and what is kept of them.
struct Form {
    needs: Needs,
    /// Whether only the first of the blocks is kept.
    first_only: bool,
    /// Numbers of the blocks, from 1; none without an encoder.
    blocks: Vec<usize>,
}

impl Form {
    fn of(request: &FeatureRequest, depth: usize) -> Result<Self, RunError> {
        let is_encoder = request.subject.is_encoder();
        let wanted = match request.layers {
            Layers::Last(n) => n,
            Layers::Only(n) => n,
        };
        if !is_encoder && request.layers != Layers::Last(1) {
            return Err(RunError::Config(
                "pixels have no layers, nor has pca; leave --layers and --layer out".into(),
            ));
        }
        if is_encoder && !(1..=depth).contains(&wanted) {
            let message =
                format!("layers: {wanted} is asked for, the encoder has {depth}; allowed: 1 to {depth}");
            return Err(RunError::Config(message));
        }
        let (layers, blocks) = match request.layers {
            Layers::Last(n) => (n, (depth + 1 - n.min(depth)..=depth).collect()),
            Layers::Only(n) => (depth + 1 - n.min(depth), vec![n]),
        };
        Ok(Form {
            needs: Needs { layers, pooling: request.pooling },
            first_only: matches!(request.layers, Layers::Only(_)),
            blocks: if is_encoder { blocks } else { Vec::new() },
        })
    }

    /// Width of what is kept of features of `width`.
    fn dim(&self, width: usize) -> usize {
        if self.first_only { width / self.needs.layers } else { width }
    }
}

/// What the file says of itself.
fn about(run: &StoredRun, request: &FeatureRequest, form: &Form) -> Value {
    json!({
        "run": run.folder.file_name().map(|name| name.to_string_lossy()),
        "identity": run.weights.identity,
        "data": run.data,
        "step": run.weights.step,
        "encoder": request.subject.name(),
        "layers": form.blocks,
        "features": match request.pooling {
            Pooling::Tokens => "tokens",
            Pooling::Mean => "pooled",
            Pooling::ClassToken => "class_token",
            Pooling::ClassAndMean => "class_and_mean",
        },
        "own_images": request.images.is_some(),
        "program": concat!("ijepa-run ", env!("CARGO_PKG_VERSION")),
    })
}

/// Side of the squares that image files are brought to.
fn square(shape: ImageShape) -> Result<usize, RunError> {
    if shape.channels == 3 && shape.height == shape.width {
        return Ok(shape.height);
    }
    let ImageShape { channels, height, width } = shape;
    Err(RunError::Config(format!(
        "image files become square RGB images; this run takes {channels} x {height} x {width} (channels, rows, columns)"
    )))
}

/// Where the images come from.
enum Source {
    /// From the data set of the run.
    Splits(Vec<FeatureSplit>),
    /// From files, as squares of so many pixels.
    Files(Vec<Item>, usize),
}

struct Writing<'a> {
    request: &'a FeatureRequest,
    form: Form,
    head: FeatureHead,
    source: Source,
    stop: &'a AtomicBool,
}

impl OnSession for Writing<'_> {
    type Output = Option<Vec<usize>>;

    fn on<D: BuildDevice>(
        self,
        session: &Session<D>,
        progress: &mut Progress,
    ) -> Result<Option<Vec<usize>>, RunError> {
        let Writing { request, form, head, source, stop } = self;
        let extractor = session.extractor(request.subject)?;
        let (tokens, width) = session.feature_shape(&extractor, form.needs);
        let head = FeatureHead {
            tokens: (request.pooling == Pooling::Tokens).then_some(tokens),
            dim: form.dim(width),
            ..head
        };
        let (shape, total) = (head.shape(), head.images.len());
        let mut file = FeatureFile::create(&request.output, request.format, head)?;
        let what = format!("features of {}", request.subject.name());
        let mut done = 0;
        let mut take = |features: &[f32]| {
            done += features.len() / (tokens * width);
            progress.phase(&Phase { what: what.clone(), done: done as u64, total: total as u64 });
            match form.first_only {
                false => file.take(features),
                true => file.take(&first(features, width, form.dim(width))),
            }
        };
        let mut extract = |from: &SplitImages<D>| -> Result<bool, TrainError> {
            session.extract(
                &extractor,
                form.needs,
                (from, session.plan.source.data.count(from.split)),
                stop,
                &mut take,
            )
        };
        let whole = match source {
            Source::Splits(splits) => of_splits(session, &splits, &mut extract)?,
            Source::Files(items, size) => of_files(&items, size, &mut extract)?,
        };
        if !whole {
            return Ok(None);
        }
        file.finish()?;
        Ok(Some(shape))
    }
}

/// The first `dim` values of every feature of `width`.
fn first(features: &[f32], width: usize, dim: usize) -> Vec<f32> {
    features.chunks_exact(width).flat_map(|feature| &feature[..dim]).copied().collect()
}

type Extract<'a, D> = &'a mut dyn FnMut(&SplitImages<D>) -> Result<bool, TrainError>;

fn of_splits<D: BuildDevice>(
    session: &Session<D>,
    splits: &[FeatureSplit],
    extract: Extract<D>,
) -> Result<bool, RunError> {
    for split in splits {
        let images = match split {
            FeatureSplit::Train => session.train_images(),
            FeatureSplit::Validation => session.validation_images(),
            FeatureSplit::Test => session.test_images(),
        };
        if !extract(&images)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A batch of files at a time: there may be more of them than memory holds.
fn of_files<D: BuildDevice>(items: &[Item], size: usize, extract: Extract<D>) -> Result<bool, RunError> {
    for some in items.chunks(FEATURE_BATCH) {
        let split = Split::new(decode_bytes(some, size)?, Vec::new());
        if !extract(&SplitImages { split: &split, resident: None })? {
            return Ok(false);
        }
    }
    Ok(true)
}
