//! Laws of encoders and predictors: tiny grids, on the CPU.

use std::collections::BTreeSet;

use dfdx::prelude::TensorFromVec;

use super::{Broken, KindLaws, close, finite, noise};
use crate::prelude::*;

const CHANNELS: usize = 3;

impl KindLaws for dyn EncoderSettings {
    fn check(settings: &Self, broken: &mut Broken) {
        let image = |side: usize| {
            let pixels = side * settings.patch();
            ImageShape { channels: CHANNELS, height: pixels, width: pixels }
        };
        let Some(side) = [4, 2, 8].into_iter().find(|&side| settings.check(image(side)).is_empty()) else {
            broken.0.push(format!("its example is refused on every grid: {:?}", settings.check(image(4))));
            return;
        };
        let device = Cpu::default();
        let build = || settings.cpu(&EncoderContext { device: &device, seed: 3, image: image(side) });
        let Some(encoder) = broken.value("does not build", build()) else { return };
        let again = broken.value("does not build twice", build());
        check_parameters(&*encoder, again.as_deref(), broken);
        let grid = Grid { rows: side, cols: side };
        let outcome = check_tokens(&*encoder, settings, grid, broken);
        broken.value("does not encode", outcome);
    }
}

/// Unique names, sizes that fit, and the same values from the same seed.
fn check_parameters<P: Parameters<Cpu> + ?Sized>(module: &P, again: Option<&P>, broken: &mut Broken) {
    let params = module.params();
    let names: BTreeSet<&str> = params.iter().map(|p| p.name.as_str()).collect();
    broken.unless(names.len() == params.len(), || "two parameters share a name".into());
    for p in &params {
        let values = p.data.as_vec();
        broken.unless(values.len() == p.len(), || {
            format!("`{}` holds {} values, not {}", p.name, values.len(), p.len())
        });
        broken.unless(finite(&values), || format!("`{}` starts with values that are not finite", p.name));
    }
    let values = |m: &P| m.params().iter().map(|p| p.data.as_vec()).collect::<Vec<_>>();
    broken.unless(again.is_none_or(|a| values(a) == values(module)), || {
        "the same seed gives other parameters".into()
    });
}

/// Patches of the sequences; a patch has the same pixels wherever it occurs in sequence `i`.
fn batch(sequences: &[&[u32]], patch: usize) -> PatchBatch<Cpu> {
    let width = CHANNELS * patch * patch;
    let pixels = |(i, p): (usize, u32)| noise(&format!("laws/patch/{i}/{p}"), width);
    let all = sequences.iter().enumerate().flat_map(|(i, s)| s.iter().map(move |&p| (i, p)));
    let values: Vec<f32> = all.flat_map(pixels).collect();
    let count = values.len() / width;
    let layout = Layout::new(sequences.iter().copied());
    PatchBatch { pixels: Cpu::default().tensor_from_vec(values, (count, width)), layout }
}

fn check_tokens(
    encoder: &dyn Encoder<Cpu>,
    settings: &dyn EncoderSettings,
    grid: Grid,
    broken: &mut Broken,
) -> Result<(), ModelError> {
    let (patch, dim) = (settings.patch(), settings.dim());
    let whole: Vec<u32> = (0..grid.len() as u32).collect();
    let part = [0, 2, 3];
    let both = batch(&[&whole, &part], patch);
    let tokens = encoder.encode(&both, None)?.as_vec();
    let rows = whole.len() + part.len();
    broken.unless(tokens.len() == rows * dim, || {
        format!("{} values for {rows} patches of {dim}", tokens.len())
    });
    broken.unless(finite(&tokens), || "its tokens are not finite".into());
    let keep = [1u32, whole.len() as u32 - 1, rows as u32 - 1];
    let kept = encoder.encode(&both, Some(&keep))?.as_vec();
    let wanted: Vec<f32> =
        keep.iter().flat_map(|&r| tokens.iter().skip(r as usize * dim).take(dim)).copied().collect();
    broken.unless(close(&kept, &wanted), || "`keep` does not return the rows asked for".into());
    let taped = encoder.encode_taped(&both)?.as_vec();
    broken.unless(close(&taped, &tokens), || "its tokens differ with a gradient tape".into());
    let alone = encoder.encode(&batch(&[&whole], patch), None)?.as_vec();
    broken.unless(
        tokens.starts_with(&alone) || close(&tokens[..alone.len().min(tokens.len())], &alone),
        || "a sequence is encoded differently next to another one".into(),
    );
    Ok(())
}

impl KindLaws for dyn PredictorSettings {
    fn check(settings: &Self, broken: &mut Broken) {
        let Some(dim) = [12, 16, 24, 192].into_iter().find(|&dim| settings.check(dim).is_empty()) else {
            broken.0.push(format!("its example is refused for every width: {:?}", settings.check(192)));
            return;
        };
        let (device, grid) = (Cpu::default(), Grid { rows: 3, cols: 3 });
        let build = || settings.cpu(&PredictorContext { device: &device, seed: 3, grid, encoder_dim: dim });
        let Some(predictor) = broken.value("does not build", build()) else { return };
        let again = broken.value("does not build twice", build());
        check_parameters(&*predictor, again.as_deref(), broken);
        let outcome = check_predictions(&*predictor, dim, broken);
        broken.value("does not predict", outcome);
    }
}

fn check_predictions(
    predictor: &dyn Predictor<Cpu>,
    dim: usize,
    broken: &mut Broken,
) -> Result<(), ModelError> {
    let contexts: [&[u32]; 2] = [&[0, 1, 4], &[3, 8]];
    let of = |context, targets: &[u32]| Prediction { context, targets: targets.to_vec() };
    let all = vec![of(0, &[2, 5]), of(0, &[6, 7, 8]), of(1, &[0])];
    let predict = |predictions: Vec<Prediction>| -> Result<Vec<f32>, ModelError> {
        let plan = PredictionPlan { context: Layout::new(contexts), predictions };
        let rows = plan.context.segments.rows();
        let context: Rows<Cpu> =
            Cpu::default().tensor_from_vec(noise("laws/context", rows * dim), (rows, dim));
        Ok(predictor.predict(dfdx::prelude::Trace::leaky_traced(context), &plan)?.as_vec())
    };
    let together = predict(all.clone())?;
    broken.unless(together.len() == 6 * dim, || format!("{} values for 6 patches of {dim}", together.len()));
    broken.unless(finite(&together), || "its predictions are not finite".into());
    let mut alone = Vec::new();
    for one in all {
        alone.extend(predict(vec![one])?);
    }
    broken
        .unless(close(&alone, &together), || "a block is predicted differently next to other blocks".into());
    Ok(())
}
