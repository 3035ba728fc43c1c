//! Our model with a reference's weights.

use std::collections::HashMap;

use ijepa_run::{
    model::{BuildDevice, Builder, Geometry, Jepa, StepInput},
    registry::{catalogue, entry::Kind, prelude::*},
};
use serde_json::{Value, json};

use super::{
    compare::{Tolerance, compare_values},
    fixture::Fixture,
};

/// How far a loss may be off, relatively, with products of bf16 (seen: 1.8e-3).
const BF16_LOSS: f64 = 4e-3;
/// Share of the largest prediction or target that others may be off then (seen: 8e-3).
const BF16_FORWARD: f64 = 1.6e-2;
/// The same of gradients and moments (seen: 2e-2, and 6e-2 of the queries' bias, whose terms cancel).
const BF16_GRADIENT: f64 = 0.12;

/// Which repository made the numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    Seed,
    Meta,
}

/// Model and optimizer of a case, loaded with its first weights.
pub struct Replica<D: BuildDevice> {
    pub jepa: Jepa<D>,
    optimizer: Box<dyn Optimizer<D>>,
    reference: Reference,
    precision: MatmulPrecision,
}

/// A component by name.
pub fn built<K: Kind + ?Sized>(name: &str, settings: Value) -> Box<K> {
    let entry = catalogue::find::<K>(name).unwrap_or_else(|| panic!("no {} {name}", K::NAME));
    (entry.build)(&settings).unwrap().1
}

impl<D: BuildDevice> Replica<D> {
    pub fn new(device: &D, case: &Fixture, reference: Reference, precision: MatmulPrecision) -> Self {
        let seed = reference == Reference::Seed;
        let (positions, eps) = if seed { ("learned", 1e-5) } else { ("sincos2d", 1e-6) };
        let image = case.size("img");
        let shape = ImageShape { channels: 3, height: image, width: image };
        let encoder = built::<dyn EncoderSettings>(
            "vit",
            json!({ "dim": case.size("dim"), "depth": case.size("depth"), "heads": case.size("heads"),
                    "patch": case.size("patch"), "positions": positions, "norm_eps": eps }),
        );
        let predictor = built::<dyn PredictorSettings>(
            "vit",
            json!({ "dim": case.size("pdim"), "depth": case.size("pdepth"), "heads": case.size("pheads"),
                    "positions": positions, "norm_eps": eps }),
        );
        let loss = if seed {
            built::<dyn LossSettings>("l2", json!({ "target": "none" }))
        } else {
            built::<dyn LossSettings>("smooth_l1", json!({ "target": "layer_norm" }))
        };
        let optimizer = built::<dyn OptimizerSettings>("adamw", json!({ "decay_bias_and_norm": seed }));
        assert!(encoder.check(shape).is_empty() && predictor.check(case.size("dim")).is_empty());
        let geometry = Geometry {
            image: shape,
            patch: case.size("patch"),
            dim: case.size("dim"),
            target_dim: case.size("dim"),
        };
        let targets = built::<dyn TargetsSettings>("ema", json!({}));
        let builder = Builder {
            seed: 0,
            patches: Box::new(|| PatchMoments::standard(1)),
            precision,
            geometry,
            encoder,
            predictor,
            targets,
            loss,
            terms: vec![],
            optimizer,
        };
        let jepa = builder.model(device).unwrap();
        let mut replica = Replica { jepa, optimizer: builder.optimizer(), reference, precision };
        replica.load(case);
        replica
    }

    /// Copies `w0` in; every parameter of the model must be there and nothing must be left over.
    fn load(&mut self, case: &Fixture) {
        let reference = self.reference;
        let mut left: HashMap<String, ()> = case.names("w0/").into_iter().map(|n| (n, ())).collect();
        for (name, param) in self.jepa.all_params_mut() {
            let theirs = format!("w0/{}", their_name(&name, reference));
            assert_eq!(case.shape(&theirs), param.dims, "{theirs}");
            left.remove(&theirs).unwrap();
            if param.trainable {
                param.data.copy_from(&case.f32(&theirs));
            } else {
                compare_values(
                    &theirs,
                    &param.data.as_vec(),
                    &case.f32(&theirs),
                    Tolerance::Mixed { abs: 1e-6, rel: 0.0 },
                );
            }
        }
        assert!(left.is_empty(), "not used: {:?}", left.keys());
    }

    /// Contexts of a step in the fixture's order: (image, patches).
    pub fn contexts(&self, case: &Fixture, step: usize) -> Vec<(usize, Vec<u32>)> {
        let batch = case.shape("images")[1];
        context_names(case, step)
            .iter()
            .flat_map(|name| (0..batch).map(|i| (i, row(case, name, i, batch))))
            .collect()
    }

    fn plans(&self, case: &Fixture, step: usize) -> Vec<MaskPlan> {
        let batch = case.shape("images")[1];
        let (contexts, targets) = (context_names(case, step), case.names(&format!("step{step}/target_idx/")));
        let rows = |names: &[String], i| names.iter().map(|n| row(case, n, i, batch)).collect();
        let plan = |i| MaskPlan::crossed(rows(&contexts, i), rows(&targets, i));
        (0..batch).map(plan).collect()
    }

    /// `exact`, or with products of bf16 `rounded`.
    fn within(&self, exact: Tolerance, rounded: Tolerance) -> Tolerance {
        if self.precision == MatmulPrecision::F32 { exact } else { rounded }
    }

    /// One training step: loss, gradients (of step 0), then weights and moments where stored.
    pub fn check_step(&mut self, case: &Fixture, step: usize, steps: usize) {
        let plans = self.plans(case, step);
        let size = plans.len() * self.jepa.geometry.image.len();
        let images = case.f32("images")[step * size..(step + 1) * size].to_vec();
        let images = self.jepa.images_of_patches(&self.jepa.geometry.patches(&images)).unwrap();
        let indices: Vec<u32> = (0..plans.len() as u32).collect();
        let input = StepInput { plans: &plans, indices: &indices, seed: 0, epoch: 0, step: 0, weights: &[] };
        let pass = self.jepa.forward(images, input, &mut |_| ()).unwrap();
        let rel = if step + 1 == steps { 1e-4 } else { 1e-5 };
        let what = format!("{} step{step}/loss", case.name);
        compare_values(
            &what,
            &pass.loss.as_vec(),
            &case.f32(&format!("step{step}/loss")),
            self.within(Tolerance::Mixed { abs: 0.0, rel }, Tolerance::Mixed { abs: 0.0, rel: BF16_LOSS }),
        );
        if step == 0 {
            self.check_predictions(case, &plans, &pass);
        }
        let mut gradients = pass.loss.try_backward().map_err(ModelError::from_debug).unwrap();
        if step == 0 {
            self.check_gradients(case, &gradients);
        }
        let rates = Rates {
            learning_rate: case.f64("lr")[step],
            weight_decay: if case.has("wd") { case.f64("wd")[step] } else { case.number("wd") },
        };
        let momentum = case.f64("momentum")[step];
        self.jepa.update(self.optimizer.as_mut(), &mut gradients, rates, momentum, 0).unwrap();
        let done = step + 1;
        // Two Adam steps in opposite directions are twice the learning rate apart.
        let moved = 1e-5 + 2.0 * case.f64("lr")[..done].iter().sum::<f64>();
        if !case.names(&format!("w{done}/")).is_empty() {
            let abs = if done == 1 { 1e-5 } else { 3e-5 };
            let exact = Tolerance::Mixed { abs, rel: 0.0 };
            self.check_weights(case, done, self.within(exact, Tolerance::Mixed { abs: moved, rel: 0.0 }));
        }
        if !case.names(&format!("adam{done}/")).is_empty() {
            self.check_moments(case, done);
        }
    }

    /// Predictions and targets; ours go image by image, theirs block by block.
    fn check_predictions(&self, case: &Fixture, plans: &[MaskPlan], pass: &ijepa_run::model::ForwardPass<D>) {
        let dim = self.jepa.geometry.dim;
        let prediction = ijepa_run::kernels::to_host(&pass.prediction).unwrap();
        let distinct = ijepa_run::kernels::to_host(&pass.targets).unwrap();
        let target: Vec<f32> =
            pass.rows.index.iter().flat_map(|&i| distinct[i as usize * dim..][..dim].to_vec()).collect();
        // Start of (image, context, target block) in our rows.
        let mut starts = HashMap::new();
        let mut next = 0;
        for (b, plan) in plans.iter().enumerate() {
            for (c, view) in plan.views.iter().enumerate() {
                for (m, t) in view.targets.iter().enumerate() {
                    starts.insert((b, c, m), (next * dim, t.len() * dim));
                    next += t.len();
                }
            }
        }
        let (contexts, targets) = (plans[0].views.len(), plans[0].views[0].targets.len());
        let block = |values: &[f32], m: usize| -> Vec<f32> {
            let of = |(c, b): (usize, usize)| {
                let (start, len) = starts[&(b, c, m)];
                values[start..start + len].to_vec()
            };
            (0..contexts).flat_map(|c| (0..plans.len()).map(move |b| (c, b))).flat_map(of).collect()
        };
        let exact = Tolerance::Mixed { abs: 2e-5, rel: 1e-5 };
        let forward = self.within(exact, Tolerance::OfLargest(BF16_FORWARD));
        for (ours, name) in [(&prediction, "pred"), (&target, "target")] {
            if self.reference == Reference::Seed {
                for m in 0..targets {
                    let theirs = format!("step0/{name}/{m}");
                    compare_values(&theirs, &block(ours, m), &case.f32(&theirs), forward);
                }
            } else {
                let all: Vec<f32> = (0..targets).flat_map(|m| block(ours, m)).collect();
                let theirs = format!("step0/{name}");
                compare_values(&theirs, &all, &case.f32(&theirs), forward);
            }
        }
    }

    fn check_gradients(&self, case: &Fixture, gradients: &Gradients<f32, D>) {
        let mut seen = 0;
        for (name, param) in self.jepa.trained_params().into_iter().filter(|(_, p)| p.trainable) {
            let theirs = format!("step0/grad/{}", their_name(&name, self.reference));
            let (got, expected) = (gradients.get(&param.data).as_vec(), case.f32(&theirs));
            for part in parts(&name, got.len()) {
                let tolerance = match part.key_bias {
                    true => Tolerance::Mixed { abs: 1e-6, rel: 0.0 },
                    false => self.within(Tolerance::OfLargest(2e-5), Tolerance::OfLargest(BF16_GRADIENT)),
                };
                compare_values(&theirs, &got[part.range.clone()], &expected[part.range], tolerance);
            }
            seen += 1;
        }
        assert_eq!(seen, case.names("step0/grad/").len(), "gradients compared");
    }

    fn check_weights(&self, case: &Fixture, done: usize, tolerance: Tolerance) {
        for (name, param) in self.jepa.all_params().into_iter().filter(|(_, p)| p.trainable) {
            let theirs = format!("w{done}/{}", their_name(&name, self.reference));
            let (got, expected) = (param.data.as_vec(), case.f32(&theirs));
            for part in parts(&name, got.len()).into_iter().filter(|p| !p.key_bias) {
                compare_values(&theirs, &got[part.range.clone()], &expected[part.range], tolerance);
            }
        }
    }

    fn check_moments(&self, case: &Fixture, done: usize) {
        let mut seen = 0;
        let state = self.optimizer.state();
        for (name, got) in &state.tensors {
            let (moment, param) = name.split_once('/').unwrap();
            let theirs = format!("adam{done}/{moment}/{}", their_name(param, self.reference));
            if !case.has(&theirs) {
                assert!(param.ends_with("pos_embed"), "{theirs}");
                continue;
            }
            let expected = case.f32(&theirs);
            for part in parts(param, got.len()).into_iter().filter(|p| !p.key_bias) {
                compare_values(
                    &theirs,
                    &got[part.range.clone()],
                    &expected[part.range],
                    self.within(Tolerance::OfLargest(1e-4), Tolerance::OfLargest(BF16_GRADIENT)),
                );
            }
            seen += 1;
        }
        assert_eq!(seen, case.names(&format!("adam{done}/")).len(), "moments compared");
    }

    /// Our schedules give the rates that the case stores.
    pub fn check_schedules(&self, case: &Fixture) {
        let seed = self.reference == Reference::Seed;
        let per_epoch = case.size(if seed { "spe" } else { "ipe" }) as u64;
        let horizon = Horizon {
            steps: per_epoch * case.size("epochs") as u64,
            steps_per_epoch: per_epoch,
            images_per_step: 8,
        };
        let (rate, ema) = if seed { seed_schedules(case) } else { meta_schedules(case) };
        for (name, schedule) in [("lr", rate), ("momentum", ema)] {
            for (step, expected) in case.f64(name).into_iter().enumerate() {
                let got = schedule.value(step as u64, horizon);
                assert!(
                    (got - expected).abs() <= 1e-12 * expected.abs(),
                    "{} {name} {step}: {got} {expected}",
                    case.name
                );
            }
        }
    }
}

type Schedules = (Box<dyn Schedule>, Box<dyn Schedule>);

fn seed_schedules(case: &Fixture) -> Schedules {
    let rate = json!({ "convention": "reference", "peak": case.number("lr"), "end": case.number("min_lr"),
                       "start": 0.0, "warmup_epochs": case.number("warmup") });
    let ema = json!({ "start": case.number("ema0"), "end": case.number("ema1") });
    (built("warmup_cosine", rate), built("linear", ema))
}

fn meta_schedules(case: &Fixture) -> Schedules {
    let scale = case.number("ipe_scale");
    let rate = json!({ "convention": "meta", "start": case.number("start_lr"), "peak": case.number("lr"),
                       "end": case.number("final_lr"), "warmup_epochs": case.number("warmup"), "scale": scale });
    let ema = json!({ "convention": "exclusive", "start": case.config()["ema"][0], "end": case.config()["ema"][1], "scale": scale });
    (built("warmup_cosine", rate), built("linear", ema))
}

fn context_names(case: &Fixture, step: usize) -> Vec<String> {
    case.names(&format!("step{step}/context_idx"))
}

/// Patches of image `i`: a row of `[B, n]`, or the one list `[n]` that the batch shares.
fn row(case: &Fixture, name: &str, i: usize, batch: usize) -> Vec<u32> {
    let all = case.indices(name);
    match case.shape(name).as_slice() {
        [_] => all,
        [b, n] if *b == batch => all[i * n..(i + 1) * n].to_vec(),
        other => panic!("{name} has shape {other:?}"),
    }
}

/// A part of a tensor; the key bias is compared apart, its true gradient is zero.
struct Part {
    range: std::ops::Range<usize>,
    key_bias: bool,
}

fn parts(name: &str, len: usize) -> Vec<Part> {
    let part = |range, key_bias| Part { range, key_bias };
    if !name.ends_with("attn.qkv.bias") {
        return vec![part(0..len, false)];
    }
    let third = len / 3;
    vec![part(0..third, false), part(third..2 * third, true), part(2 * third..len, false)]
}

/// A reference's name of our parameter.
fn their_name(ours: &str, reference: Reference) -> String {
    if reference == Reference::Meta {
        return ours.replace("context_encoder.", "encoder.");
    }
    let attention = ours
        .replace("attn.qkv.weight", "attn.in_proj_weight")
        .replace("attn.qkv.bias", "attn.in_proj_bias")
        .replace("attn.proj.", "attn.out_proj.");
    attention
        .replace("predictor_embed", "input_proj")
        .replace("predictor_proj", "output_proj")
        .replace("predictor_norm", "norm")
        .replace("predictor_blocks", "blocks")
        .replace("predictor_pos_embed", "pos_embed")
}
