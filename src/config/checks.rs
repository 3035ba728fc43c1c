//! Checks that need more than one section: components in the context they will run in.

use std::collections::BTreeSet;

use ijepa_registry::{
    image::ImageShape,
    kinds::{Augmentation, Dataset, EncoderSettings, Schedule, Survey, Teacher},
    mask::Grid,
    problem::Problem,
};

use super::{
    collapse,
    component::Component,
    data,
    error::Report,
    experiment::{ProbeSpec, RegularizerSpec},
    parts::Parts,
    schedules,
    sections::{ProbedEncoder, TrainSettings},
    span::join,
    surroundings::ModelParts,
};

/// Checks whatever could be read. A component is only asked about what depends on another one if
/// that one is in order.
pub(crate) fn check(parts: &Parts, report: &mut Report) -> Vec<String> {
    let shape = image_shape(parts, report);
    let grid = shape.and_then(|shape| grid(parts, shape, report));
    predictor(parts, report);
    targets(parts, report);
    regularizers(parts, report);
    if let Some((masking, grid)) = parts.masking.as_ref().zip(grid) {
        report.clean("masking", masking.object.check_views(grid, &parts.views));
    }
    if let Some(loss) = &parts.loss {
        report.clean("loss", loss.object.check());
    }
    if let Some(optimizer) = &parts.optimizer {
        report.clean("optimizer", optimizer.object.check());
    }
    probes(&parts.probes, report);
    layers(parts, report);
    of_model(parts, shape, report);
    collapse::check(&parts.collapse, &parts.probes, &parts.regularizers, report);
    let known = parts.dataset.as_ref().filter(|_| shape.is_some()).and_then(|d| survey(d.object.as_ref()));
    if let Some(survey) = &known {
        data::probes(&parts.probes, parts.validation, survey, report);
    }
    let Some(train) = &parts.train else { return Vec::new() };
    let schedules = [&parts.learning_rate, &parts.weight_decay, &parts.ema].map(Option::as_ref);
    match &known {
        Some(survey) if data::held_out(parts.validation, survey, report) => {
            length(train, survey.train - parts.validation, schedules, &parts.regularizers, report);
        }
        _ => {
            schedules::check_ranges(schedules, schedules::typical(train), report);
            schedules::check_weights(&parts.regularizers, schedules::typical(train), report);
        }
    }
    schedules::advice(schedules, schedules::typical(train), report)
}

/// What a data set holds, if its settings alone say so.
pub(super) fn survey(dataset: &dyn Dataset) -> Option<Survey> {
    if dataset.reads_files() { None } else { dataset.survey().ok().flatten() }
}

fn image_shape(parts: &Parts, report: &mut Report) -> Option<ImageShape> {
    let dataset = &parts.dataset.as_ref()?.object;
    if !report.clean("dataset", dataset.check()) {
        return None;
    }
    let shape = dataset.shape();
    for (i, step) in parts.augmentation.iter().enumerate() {
        report.clean(&join("augmentation", &i.to_string()), step.object.check(shape));
    }
    report.clean("augmentation", out_of_order(&parts.augmentation));
    Some(shape)
}

/// Steps on colours behind one after which values are colours no more.
fn out_of_order(steps: &[Component<dyn Augmentation>]) -> Vec<Problem> {
    let Some(leaves) = steps.iter().position(|step| step.object.leaves_unit_range()) else { return vec![] };
    let behind = steps.iter().enumerate().skip(leaves + 1).filter(|(_, step)| step.object.needs_unit_range());
    let problem = |(i, step): (usize, &Component<dyn Augmentation>)| {
        let message = format!(
            "`{}` works on values 0 to 1, which `{}` before it leaves",
            step.kind, steps[leaves].kind
        );
        Problem::new(i.to_string(), message).help(format!("write it above `{}`", steps[leaves].kind))
    };
    behind.map(problem).collect()
}

/// The patch grid, if encoder and images agree on one.
fn grid(parts: &Parts, shape: ImageShape, report: &mut Report) -> Option<Grid> {
    let encoder = &parts.encoder.as_ref()?.object;
    let in_order = report.clean("encoder", encoder.check(shape));
    if !report.mentions("encoder.patch") {
        report.clean("encoder", indivisible(encoder.as_ref(), shape));
    }
    let fits = in_order && indivisible(encoder.as_ref(), shape).is_none();
    fits.then(|| shape.grid(encoder.patch()))
}

fn indivisible(encoder: &dyn EncoderSettings, shape: ImageShape) -> Option<Problem> {
    let (patch, height, width) = (encoder.patch(), shape.height, shape.width);
    if patch > 0 && height % patch == 0 && width % patch == 0 {
        return None;
    }
    let divisors: Vec<String> = (2..=height.min(width))
        .filter(|p| height % p == 0 && width % p == 0)
        .map(|p| p.to_string())
        .collect();
    let message = format!("is {patch}; images of {height} x {width} pixels do not divide into such patches");
    Some(Problem::new("patch", message).help(format!("possible: {}", divisors.join(", "))))
}

fn predictor(parts: &Parts, report: &mut Report) {
    if let (Some(encoder), Some(predictor)) = (&parts.encoder, &parts.predictor) {
        report.clean("predictor", predictor.object.check(encoder.object.dim()));
    }
}

/// Parameters that do not fit, of which as many are named: a deeper model lacks dozens.
const SHOWN: usize = 12;

/// What needs the model: weights to start from have to fit it (stored ones were looked at when their run began, and may
/// be gone), and parameters that the optimizer's settings name have to exist.
fn of_model(parts: &Parts, shape: Option<ImageShape>, report: &mut Report) {
    let model = || {
        Some(ModelParts {
            image: shape?,
            encoder: parts.encoder.as_ref()?.object.as_ref(),
            predictor: parts.predictor.as_ref()?.object.as_ref(),
            targets: parts.targets.as_ref()?.object.as_ref(),
            terms: parts
                .regularizers
                .iter()
                .map(|term| (term.name.as_str(), term.on, term.component.object.as_ref()))
                .collect(),
        })
    };
    // Of settings that are wrong no model can be built.
    let (Some(models), Some(model), true) = (report.models(), model(), report.is_clean()) else { return };
    if let Some(optimizer) = &parts.optimizer {
        report.clean("optimizer", optimizer.object.check_parameters(&|| models.parameters(&model)));
    }
    let Some(init) = parts.init.as_ref().filter(|init| init.is_fresh) else { return };
    let misfits = models.misfits(init, &model);
    if !misfits.is_empty() {
        let mut lines: Vec<String> = misfits.iter().take(SHOWN).cloned().collect();
        lines.extend((misfits.len() > SHOWN).then(|| format!("and {} more", misfits.len() - SHOWN)));
        let (from, lines) = (&init.from, lines.join("\n    "));
        let problem =
            Problem::new("from", format!("the weights of {from} do not fit this model:\n    {lines}"));
        report.add("init", problem.help("build the model as that run did, or take other `parts`"));
    }
}

/// Targets that suit the encoder, and an encoder for every probe that asks for `target`.
fn targets(parts: &Parts, report: &mut Report) {
    let (Some(encoder), Some(targets)) = (&parts.encoder, &parts.targets) else { return };
    report.clean("targets", targets.object.check(encoder.object.as_ref()));
    if targets.object.teacher() != Teacher::None {
        return;
    }
    for (i, probe) in parts.probes.iter().enumerate() {
        if probe.encoders.contains(&ProbedEncoder::Target) {
            let message =
                format!("targets `{}` have no encoder that `{}` could measure", targets.kind, probe.name);
            let problem = Problem::new("encoders", message).help("write `encoders: [context]`");
            report.add(&join("probes", &i.to_string()), problem);
        }
    }
}

/// Terms with names and weights of their own, for tokens of the width that they look at.
fn regularizers(parts: &Parts, report: &mut Report) {
    let (Some(encoder), Some(targets), Some(dataset)) = (&parts.encoder, &parts.targets, &parts.dataset)
    else {
        return;
    };
    let (dim, image) = (encoder.object.dim(), dataset.object.shape());
    let mut names = BTreeSet::from(["prediction"]);
    for (i, term) in parts.regularizers.iter().enumerate() {
        let path = join("regularizers", &i.to_string());
        let target_dim = targets.object.dim(encoder.object.as_ref(), image);
        report.clean(&path, term.component.object.check(term.on.dim(dim, target_dim)));
        if !names.insert(&term.name) {
            let message = format!("a term is named `{}` already", term.name);
            report.add(&path, Problem::new("name", message).help("give each term a `name` of its own"));
        }
    }
}

/// An encoder that can be asked for as many blocks as a probe looks at, and for its class token.
fn layers(parts: &Parts, report: &mut Report) {
    let Some(encoder) = &parts.encoder else { return };
    let most = encoder.object.layers();
    for (i, probe) in parts.probes.iter().enumerate() {
        let wanted = probe.component.object.needs().layers;
        if wanted > most || wanted == 0 && !probe.component.object.uses_model() {
            let message = format!("`{}` looks at {wanted} blocks, the encoder has {most}", probe.name);
            let problem = Problem::new("layers", message).help(format!("allowed: 1 to {most}"));
            report.add(&join("probes", &i.to_string()), problem);
        }
        if probe.component.object.needs().pooling.reads_class_token() && !encoder.object.has_class_token() {
            let message =
                format!("`{}` reads the class token, and encoder `{}` has none", probe.name, encoder.kind);
            let problem = Problem::new("pooling", message)
                .help("leave it out for the mean of the patches, or give the encoder one: encoder.class_token=true (`vit`)");
            report.add(&join("probes", &i.to_string()), problem);
        }
    }
}

fn probes(probes: &[ProbeSpec], report: &mut Report) {
    let mut names = BTreeSet::new();
    for (i, probe) in probes.iter().enumerate() {
        let path = join("probes", &i.to_string());
        report.clean(&path, probe.component.object.check());
        if probe.predictions && !probe.component.object.predicts() {
            let message = format!("probe `{}` says nothing of single images", probe.component.kind);
            report.add(&path, Problem::new("predictions", message).help("leave it out here"));
        }
        if probe.component.object.uses_model() && !probe.controls.iter().all(|c| c.is_encoder()) {
            let message =
                format!("`{}` looks into an encoder; `pixels` and `pca` have none", probe.component.kind);
            report.add(&path, Problem::new("controls", message).help("allowed: [random_init]"));
        }
        if !names.insert(&probe.name) {
            let message = format!("a probe above is named `{}` too", probe.name);
            report.add(&path, Problem::new("name", message).help("give each probe a `name` of its own"));
        }
    }
}

/// Batch and schedules against the number of images. With a batch that does not fit, the length
/// of the run is unknown and schedules are not judged.
pub(super) fn length(
    train: &TrainSettings,
    count: usize,
    schedules: [Option<&Component<dyn Schedule>>; 3],
    terms: &[RegularizerSpec],
    report: &mut Report,
) {
    if train.batch_size > count {
        let message = format!("is {}, more than the {count} training images", train.batch_size);
        report.add("train", Problem::new("batch_size", message).help(format!("allowed: 1 to {count}")));
        return;
    }
    let horizon = train.horizon(count);
    schedules::check(schedules, horizon, report);
    schedules::check_ranges(schedules, horizon, report);
    schedules::check_weights(terms, horizon, report);
}
