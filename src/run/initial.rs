//! The weights that a run starts from, where they are those of another run.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::RunError;
use crate::{
    config::{InitPart, InitSettings, WeightsOf},
    events::Tensors,
    model::BuildDevice,
    results::{Care, RunState, Status, WEIGHTS, is_run_folder},
    sinks::read_weights,
    train::Session,
};

/// Parameters that do not fit, of which as many are named: a deeper model lacks dozens.
const SHOWN: usize = 12;

/// Digits of a hash of weights.
const DIGITS: usize = 16;

/// Where weights are, and which parts of them.
type Asked = (String, Vec<InitPart>);

/// Tells the hash of weights, and remembers it: a sweep asks for every run.
pub fn weights_of() -> WeightsOf {
    let known: Mutex<HashMap<Asked, Result<String, String>>> = Mutex::default();
    Arc::new(move |from: &str, parts: &[InitPart]| {
        let key = (from.to_owned(), parts.to_vec());
        let mut known = known.lock().map_err(|e| e.to_string())?;
        known.entry(key).or_insert_with(|| read(from, parts).map(|tensors| hash(&tensors))).clone()
    })
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

/// Gives a session that has not begun the weights that its experiment names; every parameter that does not fit is
/// named.
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
    let mut given: HashMap<String, (Vec<usize>, Vec<f32>)> =
        tensors.into_iter().map(|(name, shape, values)| (name, (shape, values))).collect();
    if !given.keys().any(|name| name.starts_with("target_encoder.")) {
        // A teacher starts as a copy of its student.
        let student = |(name, tensor): (&String, &(Vec<usize>, Vec<f32>))| {
            Some((format!("target_encoder.{}", name.strip_prefix("context_encoder.")?), tensor.clone()))
        };
        let teacher: Vec<_> = given.iter().filter_map(student).collect();
        given.extend(teacher);
    }
    let problems = fill(session, &mut given, init);
    if problems.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> =
        problems.iter().take(SHOWN).map(|problem| format!("\n  {problem}")).collect();
    if problems.len() > SHOWN {
        lines.push(format!("\n  and {} more", problems.len() - SHOWN));
    }
    let (from, lines) = (&init.from, lines.concat());
    let help = "build the model as that run did, or take other `parts`";
    Err(refuse(format!("the weights of {from} do not fit this model:{lines}\n  help: {help}")))
}

/// Puts the tensors into the parameters of the parts, and says what does not fit.
fn fill<D: BuildDevice>(
    session: &mut Session<D>,
    given: &mut HashMap<String, (Vec<usize>, Vec<f32>)>,
    init: &InitSettings,
) -> Vec<String> {
    let is_wanted = |name: &str| {
        init.parts.iter().flat_map(|part| prefixes(*part)).any(|prefix| name.starts_with(prefix))
    };
    let mut problems = Vec::new();
    for (name, param) in session.jepa.all_params_mut() {
        if !is_wanted(&name) {
            continue;
        }
        match given.remove(&name) {
            None => problems.push(format!("it holds no {name}")),
            Some((shape, _)) if shape != param.dims => {
                problems.push(format!("{name} has shape {shape:?} there and {:?} here", param.dims));
            }
            Some((_, values)) => param.data.copy_from(&values),
        }
    }
    let own_teacher = session.jepa.all_params().iter().any(|(name, _)| name.starts_with("target_encoder."));
    let mut left: Vec<&String> =
        given.keys().filter(|name| own_teacher || !name.starts_with("target_encoder.")).collect();
    left.sort();
    problems.extend(left.into_iter().map(|name| format!("this model has no {name}")));
    problems
}
