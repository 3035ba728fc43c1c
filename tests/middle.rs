//! What is exchanged in the middle of the model learns: tiny trainings on drawn shapes.

use std::sync::{Arc, atomic::AtomicBool};

use ijepa_run::{
    config::{self, ConfigError, Experiment},
    data::{Loader, LoaderPlan},
    events::ProbeRow,
    kernels::from_host,
    registry::{
        kinds::{Layout, LoadContext, PatchBatch},
        tensor::Cpu,
    },
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

/// Weights of the student and of what follows it, after every of some steps.
fn followed(changes: &[&str], steps: usize) -> Vec<[Vec<Vec<f32>>; 2]> {
    let (mut batches, mut session) = prepared(changes, 1);
    let both = |session: &Session<Cpu>| {
        [encoder(session), session.jepa.targets.params().iter().map(|p| p.data.as_vec()).collect()]
    };
    let mut all = vec![both(&session)];
    for _ in 0..steps {
        session.step(&batches.next().unwrap(), false).unwrap();
        session.progress.step += 1;
        all.push(both(&session));
    }
    all
}

#[test]
fn a_teacher_moves_every_so_many_steps() {
    let all = followed(&["targets={ kind: ema, every: 3 }", "ema=0"], 7);
    let [start, ..] = &all[0];
    // With a momentum of 0 it becomes the student of that step.
    let expected = [start, start, start, &all[3][0], &all[3][0], &all[3][0], &all[6][0], &all[6][0]];
    assert!(all.iter().zip(expected).all(|([_, teacher], student)| teacher == student));
    improves(&["targets={ kind: ema, every: 4 }", "ema=0.5"]);
}

#[test]
fn an_average_is_evaluated_and_changes_nothing_else() {
    let average = followed(&["targets={ kind: stop_gradient, average: true }", "ema=0.5"], 3);
    let plain = followed(&["targets=stop_gradient"], 3);
    assert!(average.iter().zip(&plain).all(|(a, p)| a[0] == p[0]), "the student is another");
    let mut expected = average[0][0].clone();
    for [student, mean] in &average[1..] {
        for (value, new) in expected.iter_mut().flatten().zip(student.iter().flatten()) {
            *value = 0.5 * *value + 0.5 * new;
        }
        let off = expected.iter().flatten().zip(mean.iter().flatten()).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 1e-6);
    }
    assert!(plain[3][1].is_empty() && average[3][1] != average[3][0]);
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
fn every_stem_and_rotary_positions_are_learned_with() {
    let encoder = |settings: &str| {
        format!("encoder={{ kind: vit, dim: 32, depth: 2, heads: 2, patch: 4, {settings} }}")
    };
    improves(&[&encoder("stem: conv, class_token: true")]);
    improves(&[&encoder("stem: whitened")]);
    improves(&[
        &encoder("positions: rope, sandwich_norm: true, norm: rms_norm"),
        "predictor={ kind: vit, dim: 24, depth: 1, heads: 2, positions: rope, sandwich_norm: true, norm: rms_norm }",
    ]);
}

#[test]
fn a_convnet_learns() {
    improves(&["encoder={ kind: convnet, dim: 32, depth: 2, patch: 6 }"]);
}

/// One patch is seen, the pixels around it change: what the context knows does not.
#[test]
fn no_stem_looks_beyond_a_patch() {
    for stem in ["linear", "conv", "whitened"] {
        let encoder = format!("encoder={{ kind: vit, dim: 16, depth: 1, heads: 2, patch: 4, stem: {stem} }}");
        let (_, session) = prepared(&[&encoder], 1);
        let tokens = |others: f32| {
            let patch = |p: u32| (0..48).map(move |i| if p == 0 { (i % 7) as f32 } else { others });
            let pixels: Vec<f32> = (0..2).flat_map(patch).collect();
            let layout = Layout::new([[0].as_slice(), &[1]]);
            let pixels = from_host(&Cpu::default(), pixels, 2, 48).unwrap();
            let batch = PatchBatch { pixels, layout, grid: session.jepa.geometry.grid() };
            session.jepa.context_encoder.tokens(&batch, None).unwrap().as_vec()
        };
        let (one, other) = (tokens(0.5), tokens(-3.0));
        assert!(one[..16] == other[..16] && one[16..] != other[16..], "{stem}");
    }
}

#[test]
fn patches_are_weighted_by_their_distance_to_the_context() {
    improves(&["loss={ kind: l1, distance_power: -0.5 }"]);
    improves(&["loss={ kind: smooth_l1, distance_power: 1.0 }"]);
    // The same batch, weights that are not all 1: another loss; the metrics beside it are the same.
    let [plain, far] = ["loss=l2", "loss={ kind: l2, distance_power: 1.0 }"].map(|loss| train(&[loss], 1));
    assert!(far.first[0] > plain.first[0], "{:?}, {:?}", far.first, plain.first);
    assert_eq!(far.first[1..], plain.first[1..]);
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

#[test]
fn the_encoders_own_tokens_are_predicted_while_sigreg_spreads_them() {
    let terms = "regularizers=[{ kind: sigreg, weight: 0.05, directions: 64, on: pooled_context }]";
    let own = train(&["targets=stop_gradient", "loss={ kind: l2, target: none }", terms], 6);
    assert!(own.last[1] > own.first[1] + 0.05, "{:?} to {:?}", own.first, own.last);
    assert!(own.terms[1] < 0.9 * own.started, "sigreg went from {} to {}", own.started, own.terms[1]);
    for on in ["context", "prediction"] {
        let terms = format!(
            "regularizers=[{{ kind: sigreg, weight: 0.02, directions: 8, on: {on}, projector: [16] }}]"
        );
        let with = train(&[&terms], 6);
        assert!(with.terms[1] < with.started, "{on}: {} to {}", with.started, with.terms[1]);
    }
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
