//! Masking against statistics of both samplers.
//!
//! Random streams differ, so distributions are compared: every figure has to agree within five
//! standard errors, counting the sampling error of both sides.

use std::{collections::BTreeMap, path::Path};

use super::fixture;
use ijepa_run::registry::{
    catalogue,
    kinds::Masking,
    mask::{BatchDraw, Grid, MaskPlan},
};
use serde_json::{Value, json};

const SIGMAS: f64 = 5.0;

fn build(kind: &str, settings: &Value, grid: Grid) -> Box<dyn Masking> {
    let entry = catalogue::find::<dyn Masking>(kind).expect("registered masking");
    let (_, masking) = (entry.build)(settings).expect("settings");
    assert_eq!(masking.check(grid), vec![]);
    masking
}

/// A share of `n` independent cases.
#[derive(Clone, Copy)]
struct Share {
    p: f64,
    n: f64,
}

/// Asserts that two shares come from one probability (pooled two-sample test).
fn same_share(what: &str, ours: Share, theirs: Share) {
    let pooled = (ours.p * ours.n + theirs.p * theirs.n) / (ours.n + theirs.n);
    let error = (pooled * (1.0 - pooled) * (1.0 / ours.n + 1.0 / theirs.n)).sqrt();
    assert!(
        (ours.p - theirs.p).abs() <= SIGMAS * error + 1e-9,
        "{what}: {} not {} (se {error})",
        ours.p,
        theirs.p
    );
}

/// Asserts that two means agree; a moment is (mean, variance of one observation, observations).
fn same_mean(what: &str, ours: (f64, f64, f64), theirs: (f64, f64, f64)) {
    let error = (ours.1 / ours.2 + theirs.1 / theirs.2).sqrt();
    // Stored means are rounded to four digits.
    assert!(
        (ours.0 - theirs.0).abs() <= SIGMAS * error + 1e-4,
        "{what}: {} not {} (se {error})",
        ours.0,
        theirs.0
    );
}

fn moments(values: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let (n, sum, squares) =
        values.into_iter().fold((0.0, 0.0, 0.0), |(n, s, q), v| (n + 1.0, s + v, q + v * v));
    (sum / n, squares / n - (sum / n).powi(2), n)
}

/// Mean and variance of a stored histogram.
fn stored_moments(histogram: &Value, n: f64) -> (f64, f64, f64) {
    let of = |power: i32| -> f64 {
        shares(histogram).iter().map(|(k, p)| k.parse::<f64>().unwrap().powi(power) * p).sum()
    };
    (of(1), of(2) - of(1).powi(2), n)
}

fn shares(histogram: &Value) -> BTreeMap<String, f64> {
    histogram.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_f64().unwrap())).collect()
}

fn count<T: ToString>(items: impl IntoIterator<Item = T>) -> (BTreeMap<String, f64>, f64) {
    let (mut counts, mut n) = (BTreeMap::new(), 0.0);
    for item in items {
        *counts.entry(item.to_string()).or_insert(0.0) += 1.0;
        n += 1.0;
    }
    counts.values_mut().for_each(|c| *c /= n);
    (counts, n)
}

/// Compares two histograms bin by bin; `n` is the number of their independent cases.
fn same_histogram(what: &str, (ours, n): (BTreeMap<String, f64>, f64), stored: &Value, stored_n: f64) {
    let theirs = shares(stored);
    for key in ours.keys().chain(theirs.keys()) {
        let share = |h: &BTreeMap<String, f64>, n| Share { p: h.get(key).copied().unwrap_or(0.0), n };
        same_share(&format!("{what} {key}"), share(&ours, n), share(&theirs, stored_n));
    }
}

/// `height x width` of a full block.
fn shape(patches: &[u32], grid: Grid) -> String {
    let (first, last) = (patches[0] as usize, patches[patches.len() - 1] as usize);
    let (height, width) =
        (last / grid.cols - first / grid.cols + 1, last % grid.cols - first % grid.cols + 1);
    assert_eq!(patches.len(), height * width, "a target is a full block");
    format!("{height}x{width}")
}

fn union(plan: &MaskPlan) -> usize {
    plan.targets().flatten().collect::<std::collections::BTreeSet<_>>().len()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// How often each patch is in one of `lists`.
fn coverage<'a>(lists: impl IntoIterator<Item = &'a Vec<u32>>, grid: Grid) -> (Vec<f64>, f64) {
    let (mut seen, mut n) = (vec![0.0; grid.len()], 0.0);
    for list in lists {
        list.iter().for_each(|&p| seen[p as usize] += 1.0);
        n += 1.0;
    }
    (seen.into_iter().map(|s| s / n).collect(), n)
}

fn same_coverage(what: &str, (ours, n): (Vec<f64>, f64), stored: &Value, stored_n: f64) {
    for (patch, (&p, &q)) in ours.iter().zip(&floats(stored)).enumerate() {
        same_share(&format!("{what}, patch {patch}"), Share { p, n }, Share { p: q, n: stored_n });
    }
}

pub fn masks_of_seed(folder: &Path) {
    let file = fixture::json(&folder.join("seed/mask_stats.json"));
    let all = file["stats"].as_array().unwrap();
    assert!(!all.is_empty());
    all.iter().for_each(seed_setting);
}

fn seed_setting(stats: &Value) {
    const DRAWS: u64 = 40_000;
    let s = &stats["setting"];
    let side = |i: usize| s["grid"][i].as_u64().unwrap() as usize;
    let grid = Grid { rows: side(0), cols: side(1) };
    let settings = json!({ "targets": s["num_targets"], "target_scale": s["target_scale"],
        "target_aspect": s["aspect"], "context_scale": s["context_scale"] });
    let masking = build("multiblock_batch", &settings, grid);
    let draw = |step| BatchDraw { seed: 11, step, images: vec![0], ..BatchDraw::default() };
    let plans: Vec<MaskPlan> = (0..DRAWS).flat_map(|step| masking.sample(grid, &draw(step)).plans).collect();
    let n = stats["draws"].as_f64().unwrap();
    let blocks = n * s["num_targets"].as_f64().unwrap();

    let targets = || plans.iter().flat_map(MaskPlan::targets);
    let shapes = count(targets().map(|t| shape(t, grid)));
    same_histogram("target block", shapes, &stats["target_block_hxw"], blocks);
    let contexts = || plans.iter().map(|p| p.views[0].context.len());
    same_histogram("context patches", count(contexts()), &stats["context_tokens"], n);
    same_mean(
        "context patches",
        moments(contexts().map(|c| c as f64)),
        stored_moments(&stats["context_tokens"], n),
    );
    same_histogram("target union", count(plans.iter().map(union)), &stats["target_tokens_union"], n);
    same_mean(
        "target patches",
        moments(targets().map(|t| t.len() as f64)),
        stored_moments(&stats["target_block_tokens"], blocks),
    );
    same_coverage(
        "in a target",
        coverage(targets(), grid),
        &stats["patch_frequency_in_a_target_block"],
        blocks,
    );
    let in_context = coverage(plans.iter().map(|p| &p.views[0].context), grid);
    same_coverage("in the context", in_context, &stats["patch_frequency_in_context"], n);
}

pub fn masks_of_meta(folder: &Path) {
    let file = fixture::json(&folder.join("meta/mask_stats.json"));
    let all = file["stats"].as_array().unwrap();
    assert!(!all.is_empty());
    all.iter().for_each(meta_setting);
}

/// Settings of `multiblock` that stand for Meta's collator. It keeps *more than* `min_keep`.
fn meta_settings(s: &Value) -> Value {
    json!({ "targets": s["npred"], "target_scale": s["pred_scale"], "target_aspect": s["aspect"],
        "contexts": s["nenc"], "context_scale": s["enc_scale"], "min_context": s["min_keep"].as_u64().unwrap() + 1,
        "allow_overlap": s["allow_overlap"], "aspect": "correlated", "size_scope": "batch",
        "bounds": "exclusive", "equalize": "raster" })
}

fn meta_setting(stats: &Value) {
    const BATCHES: u64 = 10_000;
    let side = stats["grid"].as_u64().unwrap() as usize;
    let grid = Grid { rows: side, cols: side };
    let masking = build("multiblock", &meta_settings(&stats["setting"]), grid);
    let stored = &stats["collator"];
    let (size, stored_n) = (stored["batch_size"].as_u64().unwrap(), stored["batches"].as_f64().unwrap());
    // An image occurs once per epoch: its stream belongs to the epoch and its index.
    let images = |step| (step * size..(step + 1) * size).collect();
    let draw = |step| BatchDraw { seed: 12, step, images: images(step), ..BatchDraw::default() };
    let draws: Vec<BatchDraw> = (0..BATCHES).map(draw).collect();
    let batches: Vec<Vec<MaskPlan>> = draws.iter().map(|d| masking.sample(grid, d).plans).collect();

    let sizes = count(batches.iter().map(|b| shape(&b[0].views[0].targets[0], grid)));
    same_histogram(
        "target block",
        sizes,
        &stats["pred_block_hxw"],
        stats["block_size_draws"].as_f64().unwrap(),
    );
    let law = metas_size(&stats["setting"], side);
    for (draw, batch) in draws.iter().zip(&batches) {
        let u = draw.batch_stream().uniform();
        assert_eq!(shape(&batch[0].views[0].targets[0], grid), law(u), "u = {u}");
    }
    // Masks of a batch share sizes and length: the batch is the independent case.
    let contexts = || batches.iter().map(|b| b[0].views[0].context.len());
    same_histogram(
        "context patches",
        count(contexts()),
        &stored["context_tokens_after_truncation"],
        stored_n,
    );
    same_mean(
        "context patches",
        moments(contexts().map(|c| c as f64)),
        stored_moments(&stored["context_tokens_after_truncation"], stored_n),
    );
    let targets = count(batches.iter().map(|b| b[0].views[0].targets[0].len()));
    same_histogram("target patches", targets, &stored["target_tokens_after_truncation"], stored_n);
    let unions = moments(batches.iter().map(|b| b.iter().map(union).sum::<usize>() as f64 / size as f64));
    same_mean("target union", unions, (stored["target_union_mean"].as_f64().unwrap(), unions.1, stored_n));
    same_batch_coverage(
        "in a target",
        &batches,
        |p| p.targets().collect(),
        &stored["patch_frequency_in_a_target_block"],
        stored_n,
    );
    same_batch_coverage(
        "in the context",
        &batches,
        |p| p.contexts().collect(),
        &stored["patch_frequency_in_context"],
        stored_n,
    );
}

/// The target size (`height x width`) that the first number `u` of the batch's stream gives: one number for
/// both area, `floor(side² s)`, and aspect ratio `r`; sides `round(sqrt(area r))` and `round(sqrt(area / r))`,
/// halves to even, at most `side - 1`.
fn metas_size(s: &Value, side: usize) -> impl Fn(f64) -> String {
    let (scale, aspect) = (floats(&s["pred_scale"]), floats(&s["aspect"]));
    let between = |range: &[f64], u: f64| range[0] + u * (range[1] - range[0]);
    move |u| {
        let area = ((side * side) as f64 * between(&scale, u)).floor();
        let ratio = between(&aspect, u);
        let [height, width] = [area * ratio, area / ratio]
            .map(|square| (square.sqrt().round_ties_even() as usize).min(side - 1));
        format!("{height}x{width}")
    }
}

/// Coverage per patch where only batches are independent.
fn same_batch_coverage(
    what: &str,
    batches: &[Vec<MaskPlan>],
    of: fn(&MaskPlan) -> Vec<&Vec<u32>>,
    stored: &Value,
    stored_n: f64,
) {
    let theirs = floats(stored);
    let grid = Grid { rows: 1, cols: theirs.len() };
    let per_batch: Vec<Vec<f64>> = batches.iter().map(|b| coverage(b.iter().flat_map(of), grid).0).collect();
    for (patch, &their) in theirs.iter().enumerate() {
        let ours = moments(per_batch.iter().map(|c| c[patch]));
        same_mean(&format!("{what}, patch {patch}"), ours, (their, ours.1, stored_n));
    }
}
