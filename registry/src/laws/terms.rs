//! Laws of targets and regularizers, on the CPU. Targets are asked with a student of one linear layer.

use dfdx::prelude::{Backward, TensorFromVec, Trace};

use super::{Broken, KindLaws, finite, model::batch, noise};
use crate::prelude::*;

/// An encoder of the least: one product, so that targets can be asked without another component.
#[derive(Debug)]
struct Student;

const DIM: usize = 12;
const PATCH: usize = 2;
const LAYERS: usize = 3;

struct Linear {
    /// `[dim, channel * patch * patch]`
    weight: Param<Cpu>,
}

impl Parameters<Cpu> for Linear {
    fn params(&self) -> Vec<&Param<Cpu>> {
        vec![&self.weight]
    }
    fn params_mut(&mut self) -> Vec<&mut Param<Cpu>> {
        vec![&mut self.weight]
    }
}

impl Linear {
    fn rows(&self, batch: &PatchBatch<Cpu>, keep: Option<&[u32]>) -> Rows<Cpu> {
        let (pixels, weight) = (batch.pixels.as_vec(), self.weight.data.as_vec());
        let width = weight.len() / DIM;
        let all: Vec<u32> = (0..(pixels.len() / width) as u32).collect();
        let keep = keep.unwrap_or(&all);
        let dot = |row: u32, out: usize| -> f32 {
            let row = &pixels[row as usize * width..][..width];
            row.iter().zip(&weight[out * width..][..width]).map(|(x, w)| x * w).sum()
        };
        let values: Vec<f32> = keep.iter().flat_map(|&r| (0..DIM).map(move |o| dot(r, o))).collect();
        Cpu::default().tensor_from_vec(values, (keep.len(), DIM))
    }
}

impl Encoder<Cpu> for Linear {
    fn encode(&self, batch: &PatchBatch<Cpu>, request: &EncodeRequest) -> Result<Vec<Rows<Cpu>>, ModelError> {
        Ok(vec![self.rows(batch, request.keep); request.layers])
    }
    fn encode_taped(&self, batch: &PatchBatch<Cpu>, _: Mode) -> Result<TapedRows<Cpu>, ModelError> {
        Ok(self.rows(batch, None).leaky_traced())
    }
}

impl EncoderSettings for Student {
    fn check(&self, _: ImageShape) -> Vec<Problem> {
        vec![]
    }
    fn patch(&self) -> usize {
        PATCH
    }
    fn dim(&self) -> usize {
        DIM
    }
    fn layers(&self) -> usize {
        LAYERS
    }
    fn cpu(&self, context: &EncoderContext<Cpu>) -> Result<Box<dyn Encoder<Cpu>>, ModelError> {
        let width = context.image.channels * PATCH * PATCH;
        let data = Cpu::default().tensor_from_vec(noise("laws/student", DIM * width), (DIM * width,));
        let (name, dims) = ("weight".into(), vec![DIM, width]);
        let weight = Param { name, dims, data, trainable: true, precision: MatmulPrecision::F32 };
        Ok(Box::new(Linear { weight }))
    }
    #[cfg(feature = "cuda")]
    fn cuda(&self, _: &EncoderContext<Gpu>) -> Result<Box<dyn Encoder<Gpu>>, ModelError> {
        Err(ModelError("laws run on the CPU".into()))
    }
}

impl KindLaws for dyn TargetsSettings {
    fn check(settings: &Self, broken: &mut Broken) {
        let problems = settings.check(&Student);
        broken.unless(problems.is_empty(), || format!("its example is refused: {problems:?}"));
        let outcome = check_targets(settings, broken);
        broken.value("gives no targets", outcome);
    }
}

fn check_targets(settings: &dyn TargetsSettings, broken: &mut Broken) -> Result<(), ModelError> {
    let (device, grid) = (Cpu::default(), Grid { rows: 2, cols: 2 });
    let image = ImageShape { channels: 3, height: 2 * PATCH, width: 2 * PATCH };
    let patches = || PatchMoments::standard(3 * PATCH * PATCH);
    let build = || Student.cpu(&EncoderContext { device: &device, seed: 3, image, patches: &patches });
    let context = TargetsContext { device: &device, seed: 3, encoder: &build };
    let (mut targets, student) = (settings.cpu(&context)?, build()?);
    let images = batch(&[&[0, 1, 2, 3], &[0, 1, 2, 3]], PATCH, grid);
    let keep = [1, 2, 6];
    let input = TargetInput { images: &images, keep: &keep, student: student.as_ref() };
    let (first, again) = (targets.targets(&input)?.as_vec(), targets.targets(&input)?.as_vec());
    let wanted = keep.len() * settings.dim(&Student, image);
    broken.unless(first.len() == wanted, || format!("{} values, promised are {wanted}", first.len()));
    broken.unless(finite(&first), || "its targets are not finite".into());
    broken.unless(first == again, || "the same input gives other targets".into());
    let own = targets.encoder(student.as_ref()).is_some();
    broken.unless(own == (settings.teacher() != Teacher::None), || {
        "whether it has an encoder is not what it says".into()
    });
    for step in 0..8 {
        let (shadows, params) = (targets.shadows(step).len(), student.params().len());
        broken.unless(shadows == 0 || shadows == params, || {
            format!("{shadows} tensors follow the {params} parameters of the encoder in step {step}")
        });
    }
    Ok(())
}

impl KindLaws for dyn RegularizerSettings {
    fn check(settings: &Self, broken: &mut Broken) {
        let problems = settings.check(DIM);
        broken.unless(problems.is_empty(), || format!("its example is refused: {problems:?}"));
        let device = Cpu::default();
        let built = settings.cpu(&RegularizerContext { device: &device, seed: 3, dim: DIM });
        let Some(regularizer) = broken.value("does not build", built) else { return };
        for scale in [0.3, 1.0, 3.0] {
            let outcome = check_term(&*regularizer, scale, broken);
            broken.value("gives no term", outcome);
        }
    }
}

/// Term and gradient of tokens in four sequences.
fn evaluate(regularizer: &dyn Regularizer<Cpu>, tokens: &[f32]) -> Result<(f32, Vec<f32>), ModelError> {
    let segments = Segments::from_lengths([5, 7, 6, 6]);
    let tokens: Rows<Cpu> = Cpu::default().tensor_from_vec(tokens.to_vec(), (segments.rows(), DIM));
    let term = regularizer.term(tokens.leaky_trace(), &segments, StepKey { seed: 3, step: 7 })?;
    let value = term.as_vec()[0];
    let gradients = term.try_backward().map_err(ModelError::from_debug)?;
    Ok((value, gradients.get(&tokens).as_vec()))
}

fn check_term(regularizer: &dyn Regularizer<Cpu>, scale: f32, broken: &mut Broken) -> Result<(), ModelError> {
    let tokens: Vec<f32> = noise("laws/tokens", 24 * DIM).into_iter().map(|v| scale * v).collect();
    let (value, gradient) = evaluate(regularizer, &tokens)?;
    broken.unless(value.is_finite() && finite(&gradient), || {
        format!("term {value} or its gradient is not finite")
    });
    broken.unless(evaluate(regularizer, &tokens)? == (value, gradient.clone()), || {
        "the same tokens give another term".into()
    });
    // So small a step that the term should fall by about a hundredth; where it is flat, nothing moves.
    let steepness: f32 = gradient.iter().map(|g| g * g).sum();
    if steepness > 0.0 {
        let step = 0.01 * value.abs() / steepness;
        let moved: Vec<f32> = tokens.iter().zip(&gradient).map(|(t, g)| t - step * g).collect();
        let (after, _) = evaluate(regularizer, &moved)?;
        broken.unless(after < value, || format!("a step against the gradient takes {value} to {after}"));
    }
    Ok(())
}
