//! What is exchanged in the middle of the model learns: tiny trainings on drawn shapes.

use std::sync::{Arc, atomic::AtomicBool};

use ijepa_run::{
    config::{self, ConfigError, Experiment},
    data::{Loader, LoaderPlan},
    events::ProbeRow,
    registry::{kinds::LoadContext, tensor::Cpu},
    train::{RunPlan, Session},
};

/// What the first and the last step of a training measured.
struct Training {
    /// Loss, explained variance and standard deviation of the targets.
    first: [f64; 3],
    last: [f64; 3],
    /// Distance and further terms of the last step.
    terms: Vec<f64>,
    /// The last term at the first step; 0 without terms.
    started: f64,
}

/// An experiment on 1,024 images of 24 x 24, with epochs of 16 steps.
fn experiment(changes: &[&str], epochs: u64) -> Result<Experiment, ConfigError> {
    let text = include_str!("../experiments/sweeps/base-shapes.yaml");
    let mut all: Vec<String> = [
        "dataset.train=1024",
        "dataset.test=64",
        "encoder={ kind: vit, dim: 32, depth: 2, heads: 2, patch: 6 }",
        "predictor={ kind: vit, dim: 24, depth: 1, heads: 2 }",
        "learning_rate={ kind: constant, value: 2.0e-3 }",
        "probes=[]",
        "collapse=[]",
    ]
    .map(String::from)
    .into();
    all.push(format!("train.epochs={epochs}"));
    all.extend(changes.iter().map(|c| c.to_string()));
    config::load("base-shapes", text, &all, &|_| Err("extends nothing".into()))
}

/// Its batches and its untrained model.
fn prepared(changes: &[&str], epochs: u64) -> (Loader, Session<Cpu>) {
    let experiment = experiment(changes, epochs).unwrap();
    let data = experiment.dataset.object.load(&LoadContext::silent()).unwrap();
    let (plan, builder) = RunPlan::new(experiment, Arc::new(data));
    let session = Session::new(plan, builder, &Cpu::default()).unwrap();
    let batches = Loader::start(&session.plan.source, &LoaderPlan::new(session.plan.batch_size, epochs));
    (batches, session)
}

/// Trains to the end.
fn train(changes: &[&str], epochs: u64) -> Training {
    let (mut batches, mut session) = prepared(changes, epochs);
    let steps = session.plan.horizon.steps;
    let (mut rows, mut terms) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let result = session.step(&batches.next().unwrap(), step == 0 || step + 1 == steps).unwrap();
        session.progress.step += 1;
        if let Some(row) = result.details {
            let loss = ijepa_run::train::StepNumbers::read(&[result.numbers]).unwrap()[0].loss;
            terms.push(row.terms.iter().map(|(_, value)| *value).collect::<Vec<f64>>());
            rows.push([loss, row.explained_variance, row.target_std]);
        }
    }
    let started = terms[0].last().copied().unwrap_or(0.0);
    Training { first: rows[0], last: rows[1], terms: terms.remove(1), started }
}

/// The loss falls and more of the targets is explained than at the start.
fn improves(changes: &[&str]) {
    let Training { first, last, .. } = train(changes, 6);
    assert!(last[0] < first[0] && last[1] > first[1] + 0.05, "{changes:?}: {first:?} to {last:?}");
}

#[test]
fn pixels_are_predicted_from_pixels() {
    improves(&["targets=pixels", "loss={ kind: l2, target: layer_norm }"]);
}

#[test]
fn tokens_of_the_initial_weights_are_predicted() {
    improves(&["targets=frozen", "loss=l1"]);
}

#[test]
fn masks_of_every_kind_are_learned_from() {
    improves(&[
        "masking={ kind: multi, of: [{ kind: complement, blocks: 2 }, { kind: blockwise, min_block: 2 }] }",
    ]);
    improves(&[
        "masking={ kind: ramp, from: { kind: multiblock, targets: 2 }, to: { kind: multiblock, targets: 4 } }",
    ]);
    improves(&["masking={ kind: fixed_context, context_count: 5 }"]);
}

/// Nothing moves a frozen teacher.
#[test]
fn a_frozen_teacher_stays_as_it_is() {
    let (mut batches, mut session) = prepared(&["targets=frozen"], 1);
    let teacher = |session: &Session<Cpu>| -> Vec<Vec<f32>> {
        session.jepa.targets.params().iter().map(|p| p.data.as_vec()).collect()
    };
    let (start, student) = (teacher(&session), encoder(&session));
    for _ in 0..4 {
        session.step(&batches.next().unwrap(), false).unwrap();
        session.progress.step += 1;
    }
    assert!(teacher(&session) == start && encoder(&session) != student);
}

#[test]
fn the_mean_of_the_last_blocks_is_predicted() {
    improves(&["targets={ kind: ema, layers: 2, combine: mean }"]);
}

#[test]
fn the_last_blocks_side_by_side_are_predicted() {
    improves(&["targets={ kind: ema, layers: 2, combine: concat }"]);
}

#[test]
fn every_optimizer_learns() {
    improves(&["optimizer={ kind: muon, clip: 1.0 }"]);
    improves(&["optimizer={ kind: sgd, momentum: 0.9, nesterov: true }", "learning_rate=0.05"]);
    let groups =
        "groups: [{ parameters: context_encoder.patch_embed.*, learning_rate: 0.2, weight_decay: 0 }]";
    improves(&[&format!("optimizer={{ kind: adamw, layer_decay: 0.8, {groups} }}")]);
}

#[test]
fn a_group_that_names_no_parameter_is_refused_at_the_first_step() {
    let wrong = [
        "optimizer={ kind: adamw, groups: [{ parameters: context_encoder.patches.*, learning_rate: 0.2 }] }",
    ];
    let (mut batches, mut session) = prepared(&wrong, 1);
    let error = session.step(&batches.next().unwrap(), false).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("no parameter is named `context_encoder.patches.*`"), "{error}");
}

#[test]
fn augmented_images_are_learned_from() {
    let steps = "augmentation=[{ kind: hflip, draws: alternate }, pad_crop, color_jitter, grayscale, blur, solarize, normalize]";
    improves(&[steps, "ema={ kind: half_life, start: 500, end: 5000 }"]);
}

#[test]
fn every_predictor_learns() {
    improves(&["predictor={ kind: joint, dim: 24, depth: 1, heads: 2 }"]);
    improves(&["predictor={ kind: mlp, dim: 24, depth: 1 }"]);
}

/// The control learns what positions tell, and the encoder nothing: it has no gradient.
#[test]
fn position_only_is_a_control() {
    let control = ["predictor=position_only", "loss={ kind: l2, target: none }", "weight_decay=0"];
    let (mut batches, mut session) = prepared(&control, 6);
    let start: Vec<Vec<f32>> = encoder(&session);
    let mut last = None;
    for step in 0..session.plan.horizon.steps {
        last =
            session.step(&batches.next().unwrap(), step + 1 == session.plan.horizon.steps).unwrap().details;
        session.progress.step += 1;
    }
    let row = last.unwrap();
    let bound = row.explained_variance_position;
    assert!(row.explained_variance <= bound + 0.01, "{} of at most {bound}", row.explained_variance);
    assert!(start == encoder(&session), "the encoder moved");
}

fn encoder(session: &Session<Cpu>) -> Vec<Vec<f32>> {
    session.jepa.context_encoder.params().iter().map(|p| p.data.as_vec()).collect()
}

#[test]
fn targets_of_every_transform_are_predicted() {
    for target in ["batch", "standardise", "dyn_tanh"] {
        improves(&[&format!("loss={{ kind: smooth_l1, target: {target} }}")]);
    }
}

#[test]
fn a_part_of_the_targets_is_predicted() {
    let few = train(&["masking={ kind: inverse_block, predict_fraction: 0.25, unit: 2 }"], 6);
    assert!(
        few.last[0] < few.first[0] && few.last[1] > few.first[1] + 0.05,
        "{:?} to {:?}",
        few.first,
        few.last
    );
}

#[test]
fn several_views_of_an_image_are_predicted() {
    improves(&["masking.draws=3"]);
}

/// Without decay of its gain, the last layer norm holds the spread of the tokens for dozens of epochs even alone;
/// `runner` shows what happens otherwise.
#[test]
fn the_encoders_own_tokens_are_predicted_while_vicreg_spreads_them() {
    let own = ["targets=stop_gradient", "loss={ kind: l2, target: none }"];
    let terms = "regularizers=[{ kind: vicreg, weight: 1, on: pooled_context }]";
    let (alone, spread) = (train(&own, 6), train(&[own[0], own[1], terms], 6));
    assert!(spread.last[1] > spread.first[1] + 0.05, "{:?} to {:?}", spread.first, spread.last);
    let term = |training: &Training| training.terms[1];
    assert!(term(&spread) < 0.9 * spread.started, "vicreg went from {} to {}", spread.started, term(&spread));
    assert!(
        spread.last[2] > alone.last[2],
        "spread of the targets: {} and {} alone",
        spread.last[2],
        alone.last[2]
    );
}

/// Rows of two probes on an untrained encoder, one of them on both blocks side by side.
#[test]
fn probes_look_at_the_last_blocks_side_by_side() {
    let probes = |layers: usize| {
        let two = format!("{{ kind: knn, name: both, layers: {layers}, encoders: [context] }}");
        format!("probes=[{{ kind: knn, encoders: [context] }}, {two}]")
    };
    let (_, session) = prepared(&[&probes(2)], 1);
    let mut emit = |_| Ok(());
    let rows = session.probe_end(&mut emit, &AtomicBool::new(false)).unwrap().unwrap();
    let values = |name: &str| {
        let of_probe = rows.iter().filter(|row: &&ProbeRow| row.probe == name && row.metric == "top1");
        of_probe.map(|row| row.value).collect::<Vec<_>>()
    };
    let (last, both) = (values("knn"), values("both"));
    assert!(!last.is_empty() && last.len() == both.len() && last != both, "{last:?}, {both:?}");
    let error = experiment(&[&probes(3)], 1).unwrap_err().to_string();
    assert!(error.contains("`both` looks at 3 blocks, the encoder has 2"), "{error}");
}
