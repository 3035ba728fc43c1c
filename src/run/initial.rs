//! The weights that a run starts from, where they are those of another run.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use ijepa_registry::{
    kinds::{EncoderContext, PatchMoments, PredictorContext, RegularizerContext, Teacher},
    mask::Grid,
    params::Param,
    tensor::{Cpu, ModelError},
};

use super::RunError;
use crate::{
    config::{InitPart, InitSettings, ModelLookup, ModelParts, Models},
    events::Tensors,
    model::BuildDevice,
    nn::interpolated,
    results::{Care, RunState, Status, WEIGHTS, is_run_folder},
    sinks::read_weights,
    train::Session,
};

/// Digits of a hash of weights.
const DIGITS: usize = 16;

/// Where weights are, and which parts of them.
type Asked = (String, Vec<InitPart>);

/// A parameter: its name and shape.
type Shape = (String, Vec<usize>);

/// Looks at weights for those who read experiments, and remembers: a sweep asks for every run.
#[derive(Default)]
struct Looked {
    hashes: Mutex<HashMap<Asked, Result<String, String>>>,
    misfits: Mutex<HashMap<String, Vec<String>>>,
}

/// Who looks at the weights that `init` names, and at models.
pub fn model_lookup() -> Models {
    Arc::new(Looked::default())
}

impl ModelLookup for Looked {
    fn hash(&self, from: &str, parts: &[InitPart]) -> Result<String, String> {
        let key = (from.to_owned(), parts.to_vec());
        let mut known = self.hashes.lock().map_err(|e| e.to_string())?;
        known.entry(key).or_insert_with(|| read(from, parts).map(|tensors| hash(&tensors))).clone()
    }

    fn misfits(&self, init: &InitSettings, model: &ModelParts) -> Vec<String> {
        let key = format!(
            "{:?}",
            (&init.from, &init.parts, model.image, model.encoder, model.predictor, model.targets)
        );
        let Ok(mut known) = self.misfits.lock() else { return Vec::new() };
        let look = || match (read(&init.from, &init.parts), shapes(model)) {
            (Ok(tensors), Ok(shapes)) => {
                let own_teacher = model.targets.teacher() == Teacher::Own;
                misfits(
                    &shapes,
                    &complete(tensors),
                    own_teacher,
                    init,
                    model.image.grid(model.encoder.patch()),
                )
            }
            (Err(why), _) => vec![why],
            (_, Err(why)) => vec![why.to_string()],
        };
        known.entry(key).or_insert_with(look).clone()
    }

    fn parameters(&self, model: &ModelParts) -> Vec<String> {
        let learned = |(name, _): Shape| (!name.starts_with("target_encoder.")).then_some(name);
        let of_model = shapes(model).unwrap_or_default().into_iter().filter_map(learned);
        of_model.chain(of_terms(model).unwrap_or_default()).collect()
    }
}

/// Names of the parameters of further terms of the loss.
fn of_terms(model: &ModelParts) -> Result<Vec<String>, ModelError> {
    let [encoder_dim, target_dim] = [model.encoder.dim(), model.targets.dim(model.encoder, model.image)];
    let mut all = Vec::new();
    for (name, on, settings) in &model.terms {
        let dim = on.dim(encoder_dim, target_dim);
        let term = settings.cpu(&RegularizerContext { device: &Cpu::default(), seed: 0, dim })?;
        all.extend(term.params().iter().map(|param| format!("regularizers.{name}.{}", param.name)));
    }
    Ok(all)
}

/// Names and shapes of what can be started from: the parameters of the encoder, its teacher's and the predictor's.
fn shapes(model: &ModelParts) -> Result<Vec<Shape>, ModelError> {
    let ModelParts { image, encoder: settings, predictor, targets, .. } = *model;
    let device = &Cpu::default();
    // Shapes alone are asked for: no image is looked at.
    let patches = || PatchMoments::standard(image.channels * settings.patch().pow(2));
    let encoder = settings.cpu(&EncoderContext { device, seed: 0, image, patches: &patches })?;
    let [encoder_dim, target_dim] = [settings.dim(), targets.dim(settings, image)];
    let grid = image.grid(settings.patch());
    let predictor = predictor.cpu(&PredictorContext { device, seed: 0, grid, encoder_dim, target_dim })?;
    let named = |prefix: &str, param: &Param<Cpu>| (format!("{prefix}{}", param.name), param.dims.clone());
    let mut all: Vec<Shape> = encoder.params().iter().map(|p| named("context_encoder.", p)).collect();
    if targets.teacher() == Teacher::Own {
        all.extend(encoder.params().iter().map(|p| named("target_encoder.", p)));
    }
    all.extend(predictor.params().iter().map(|p| named("predictor.", p)));
    Ok(all)
}

/// The tensors of some parts in a run folder or a file of weights.
fn read(from: &str, parts: &[InitPart]) -> Result<Tensors, String> {
    let path = file(Path::new(from))?;
    let tensors = read_weights(&path).map_err(|e| e.to_string())?.tensors;
    for part in parts {
        let prefix = prefixes(*part)[0];
        if !tensors.iter().any(|(name, ..)| name.starts_with(prefix)) {
            return Err(format!("is {from}, which holds no {}", prefix.trim_end_matches('.')));
        }
    }
    let wanted =
        |name: &str| parts.iter().flat_map(|part| prefixes(*part)).any(|prefix| name.starts_with(prefix));
    Ok(tensors.into_iter().filter(|(name, ..)| wanted(name)).collect())
}

/// What the names of the parameters of a part begin with; a model has those of the first.
fn prefixes(part: InitPart) -> &'static [&'static str] {
    match part {
        InitPart::Encoder => &["context_encoder.", "target_encoder."],
        InitPart::Predictor => &["predictor."],
    }
}

/// The file of weights that is meant.
fn file(from: &Path) -> Result<PathBuf, String> {
    let shown = from.display();
    if from.is_file() {
        return Ok(from.into());
    }
    if !is_run_folder(from) {
        let what = if from.exists() { "is no run folder and no file of weights" } else { "is not there" };
        return Err(format!("{shown} {what}; write the folder of a finished run"));
    }
    let status = Status::expected(from).map_err(|e| e.to_string())?.unwrap_or_default();
    if status.state != RunState::Done {
        let help = "name the file of weights that `train.keep_every` kept, or wait for its end";
        return Err(format!("the run in {shown} is {}, not done; {help}", status.state));
    }
    match status.damages(from, Care::Weights).into_iter().next() {
        Some(damage) => Err(damage.to_string()),
        None => Ok(from.join(WEIGHTS)),
    }
}

/// One hash over name, shape and values, in the order of the names.
fn hash(tensors: &Tensors) -> String {
    let sorted: BTreeMap<&str, (&[usize], &[f32])> =
        tensors.iter().map(|(name, shape, values)| (name.as_str(), (&shape[..], &values[..]))).collect();
    let mut hasher = blake3::Hasher::new();
    for (name, (shape, values)) in sorted {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&(shape.len() as u64).to_le_bytes());
        let bytes: Vec<u8> = shape.iter().flat_map(|n| (*n as u64).to_le_bytes()).collect();
        hasher.update(&bytes);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    hasher.finalize().to_hex()[..DIGITS].to_owned()
}

/// Gives a session that has not begun the weights that its experiment names. They were found to fit when it was read.
pub fn start_from<D: BuildDevice>(session: &mut Session<D>, init: &InitSettings) -> Result<(), RunError> {
    let refuse = |reason: String| RunError::Config(format!("init.from: {reason}"));
    let tensors = read(&init.from, &init.parts).map_err(refuse)?;
    let found = hash(&tensors);
    if init.weights.as_ref().is_some_and(|named| *named != found) {
        return Err(refuse(format!(
            "{} holds other weights ({found}) than when the experiment was read",
            init.from
        )));
    }
    let own_teacher = session.jepa.all_params().iter().any(|(name, _)| name.starts_with("target_encoder."));
    let mut given = complete(tensors);
    let model: Vec<Shape> =
        session.jepa.all_params().into_iter().map(|(name, param)| (name, param.dims.clone())).collect();
    let grid = session.jepa.geometry.grid();
    if let Some(misfit) = misfits(&model, &given, own_teacher, init, grid).first() {
        return Err(refuse(format!("the weights of {} do not fit this model: {misfit}", init.from)));
    }
    for (name, param) in session.jepa.all_params_mut() {
        let Some((shape, values)) = given.remove(&name) else { continue };
        match source_grid(&name, &shape, &param.dims, grid) {
            None => param.data.copy_from(&values),
            Some(from) if param.trainable => param.data.copy_from(&interpolated(&values, from, grid)),
            // A fixed table is that of this grid.
            Some(_) => (),
        }
    }
    Ok(())
}

/// Shape and values of parameters by name.
type Given = HashMap<String, (Vec<usize>, Vec<f32>)>;

/// The tensors by name; a teacher that is not there starts as a copy of its student.
fn complete(tensors: Tensors) -> Given {
    let mut given: Given = tensors.into_iter().map(|(name, shape, values)| (name, (shape, values))).collect();
    if !given.keys().any(|name| name.starts_with("target_encoder.")) {
        let student = |(name, tensor): (&String, &(Vec<usize>, Vec<f32>))| {
            Some((format!("target_encoder.{}", name.strip_prefix("context_encoder.")?), tensor.clone()))
        };
        let teacher: Vec<_> = given.iter().filter_map(student).collect();
        given.extend(teacher);
    }
    given
}

/// The grid of a table of positions `[1, patch, dim]` that is to be carried over to a table on `grid`, a grid of another
/// size and the same form; none for anything else.
fn source_grid(name: &str, there: &[usize], here: &[usize], grid: Grid) -> Option<Grid> {
    let (&[1, patches, width], &[1, own, dim]) = (there, here) else { return None };
    let rows = ((patches * grid.rows) as f64 / grid.cols as f64).sqrt().round() as usize;
    let from = Grid { rows, cols: patches / rows.max(1) };
    let alike = from.len() == patches && from.rows * grid.cols == from.cols * grid.rows && own == grid.len();
    (name.ends_with("pos_embed") && patches != own && width == dim && alike).then_some(from)
}

/// What does not fit, parameter by parameter; a teacher's is not missed in a model without one.
fn misfits(
    model: &[Shape],
    given: &Given,
    own_teacher: bool,
    init: &InitSettings,
    grid: Grid,
) -> Vec<String> {
    let is_wanted = |name: &str| {
        init.parts.iter().flat_map(|part| prefixes(*part)).any(|prefix| name.starts_with(prefix))
    };
    let misfit = |(name, dims): &Shape| match given.get(name) {
        None => Some(format!("it holds no {name}")),
        Some((shape, _)) if shape != dims && source_grid(name, shape, dims, grid).is_none() => {
            Some(format!("{name} has shape {shape:?} there and {dims:?} here"))
        }
        Some(_) => None,
    };
    let mut problems: Vec<String> =
        model.iter().filter(|(name, _)| is_wanted(name)).filter_map(misfit).collect();
    let mut left: Vec<&String> = given
        .keys()
        .filter(|name| own_teacher || !name.starts_with("target_encoder."))
        .filter(|name| !model.iter().any(|(known, _)| known == *name))
        .collect();
    left.sort();
    problems.extend(left.into_iter().map(|name| format!("this model has no {name}")));
    problems
}
