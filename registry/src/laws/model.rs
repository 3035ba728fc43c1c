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
        let patches = || PatchMoments::standard(CHANNELS * settings.patch().pow(2));
        let build = || {
            let context = EncoderContext { device: &device, seed: 3, image: image(side), patches: &patches };
            settings.cpu(&context)
        };
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
pub(super) fn batch(sequences: &[&[u32]], patch: usize, grid: Grid) -> PatchBatch<Cpu> {
    let width = CHANNELS * patch * patch;
    let pixels = |(i, p): (usize, u32)| noise(&format!("laws/patch/{i}/{p}"), width);
    let all = sequences.iter().enumerate().flat_map(|(i, s)| s.iter().map(move |&p| (i, p)));
    let values: Vec<f32> = all.flat_map(pixels).collect();
    let count = values.len() / width;
    let layout = Layout::new(sequences.iter().copied());
    PatchBatch { pixels: Cpu::default().tensor_from_vec(values, (count, width)), layout, grid }
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
    let both = batch(&[&whole, &part], patch, grid);
    let tokens = encoder.tokens(&both, None)?.as_vec();
    let rows = whole.len() + part.len();
    broken.unless(tokens.len() == rows * dim, || {
        format!("{} values for {rows} patches of {dim}", tokens.len())
    });
    broken.unless(finite(&tokens), || "its tokens are not finite".into());
    let keep = [1u32, whole.len() as u32 - 1, rows as u32 - 1];
    let kept = encoder.tokens(&both, Some(&keep))?.as_vec();
    let wanted: Vec<f32> =
        keep.iter().flat_map(|&r| tokens.iter().skip(r as usize * dim).take(dim)).copied().collect();
    broken.unless(close(&kept, &wanted), || "`keep` does not return the rows asked for".into());
    let taped = encoder.encode_taped(&both, Mode::Eval)?.as_vec();
    broken.unless(close(&taped, &tokens), || "its tokens differ with a gradient tape".into());
    let alone = encoder.tokens(&batch(&[&whole], patch, grid), None)?.as_vec();
    broken.unless(
        tokens.starts_with(&alone) || close(&tokens[..alone.len().min(tokens.len())], &alone),
        || "a sequence is encoded differently next to another one".into(),
    );
    let keys = TrainDraw { seed: 3, epoch: 0, sequences: vec![(5, 0), (9, 0)] };
    let trained = || Ok::<_, ModelError>(encoder.encode_taped(&both, Mode::Train(&keys))?.as_vec());
    broken.unless(trained()? == trained()?, || "the same keys give other tokens in training".into());
    let request = EncodeRequest { keep: Some(&keep), layers: settings.layers(), mode: Mode::Eval };
    let layers = encoder.encode(&both, &request)?;
    broken.unless(layers.len() == settings.layers(), || {
        format!("{} layers, promised are {}", layers.len(), settings.layers())
    });
    let rows = layers.iter().all(|l| l.as_vec().len() == keep.len() * dim && finite(&l.as_vec()));
    broken.unless(rows, || "a layer is not finite rows of its width".into());
    broken.unless(layers.last().is_some_and(|l| close(&l.as_vec(), &kept)), || {
        "the last layer is not the output".into()
    });
    Ok(())
}

impl KindLaws for dyn PredictorSettings {
    fn check(settings: &Self, broken: &mut Broken) {
        let Some(dim) = [12, 16, 24, 192].into_iter().find(|&dim| settings.check(dim).is_empty()) else {
            broken.0.push(format!("its example is refused for every width: {:?}", settings.check(192)));
            return;
        };
        let (device, grid) = (Cpu::default(), Grid { rows: 3, cols: 3 });
        let build = || {
            let context =
                PredictorContext { device: &device, seed: 3, grid, encoder_dim: dim, target_dim: dim + 1 };
            settings.cpu(&context)
        };
        let Some(predictor) = broken.value("does not build", build()) else { return };
        let again = broken.value("does not build twice", build());
        check_parameters(&*predictor, again.as_deref(), broken);
        let outcome = check_predictions(&*predictor, settings.is_blockwise(), dim, broken);
        broken.value("does not predict", outcome);
    }
}

fn check_predictions(
    predictor: &dyn Predictor<Cpu>,
    blockwise: bool,
    dim: usize,
    broken: &mut Broken,
) -> Result<(), ModelError> {
    let contexts: [&[u32]; 2] = [&[0, 1, 4], &[3, 8]];
    let of = |context, targets: &[u32]| Prediction { context, targets: targets.to_vec() };
    let views = [vec![of(0, &[2, 5]), of(0, &[6, 7, 8])], vec![of(1, &[0])]];
    let predict = |predictions: Vec<Prediction>| -> Result<Vec<f32>, ModelError> {
        let plan = PredictionPlan { context: Layout::new(contexts), predictions };
        let rows = plan.context.segments.rows();
        let context: Rows<Cpu> =
            Cpu::default().tensor_from_vec(noise("laws/context", rows * dim), (rows, dim));
        Ok(predictor.predict(dfdx::prelude::Trace::leaky_traced(context), &plan, Mode::Eval)?.as_vec())
    };
    let together = predict(views.concat())?;
    // Targets are one wider than tokens here, so that the two are not mixed up.
    broken.unless(together.len() == 6 * (dim + 1), || {
        format!("{} values for 6 patches of {}", together.len(), dim + 1)
    });
    broken.unless(finite(&together), || "its predictions are not finite".into());
    let mut alone = Vec::new();
    let parts =
        if blockwise { views.concat().into_iter().map(|p| vec![p]).collect() } else { views.to_vec() };
    for part in parts {
        alone.extend(predict(part)?);
    }
    broken.unless(close(&alone, &together), || {
        let part = if blockwise { "block" } else { "view" };
        format!("a {part} is predicted differently next to other {part}s")
    });
    Ok(())
}
