//! Laws of losses and optimizers, on the CPU.

use dfdx::prelude::{Backward, TensorFromVec, Trace};

use super::{Broken, KindLaws, finite, noise};
use crate::{device::fused_ema::EmaUpdate, prelude::*};

const ROWS: usize = 6;
const DIM: usize = 5;

impl KindLaws for dyn LossSettings {
    fn check(settings: &Self, broken: &mut Broken) {
        let problems = settings.check();
        broken.unless(problems.is_empty(), || format!("its example is refused: {problems:?}"));
        check_loss(&*settings.cpu(), broken);
    }
}

fn rows(values: Vec<f32>) -> Rows<Cpu> {
    let count = values.len() / DIM;
    Cpu::default().tensor_from_vec(values, (count, DIM))
}

/// Loss and gradient at `prediction`.
fn evaluate(loss: &dyn Loss<Cpu>, prediction: &[f32], target: &[f32]) -> Result<(f32, Vec<f32>), ModelError> {
    let prediction = rows(prediction.to_vec());
    let value = loss.loss(prediction.leaky_trace(), rows(target.to_vec()))?;
    let number = value.as_vec()[0];
    let gradients = value.try_backward().map_err(ModelError::from_debug)?;
    Ok((number, gradients.get(&prediction).as_vec()))
}

fn check_loss(loss: &dyn Loss<Cpu>, broken: &mut Broken) {
    let raw = rows(noise("laws/target", ROWS * DIM));
    let Some(target) = broken.value("no target", loss.target(raw)).map(|t| t.as_vec()) else { return };
    broken.unless(target.len() == ROWS * DIM && finite(&target), || "its targets are not finite rows".into());
    let Some((least, _)) = broken.value("no loss", evaluate(loss, &target, &target)) else { return };
    for (i, scale) in [0.1, 1.0, 3.0].into_iter().enumerate() {
        let off = noise(&format!("laws/prediction/{i}"), ROWS * DIM);
        let prediction: Vec<f32> = target.iter().zip(&off).map(|(t, o)| t + scale * o).collect();
        let Some((value, gradient)) = broken.value("no loss", evaluate(loss, &prediction, &target)) else {
            return;
        };
        broken.unless(value.is_finite() && finite(&gradient), || {
            format!("loss {value} or its gradient is not finite")
        });
        broken.unless(least <= value, || format!("{value} away from the target is below {least} on it"));
        // So small a step that the loss should fall by about a hundredth.
        let steepness: f32 = gradient.iter().map(|g| g * g).sum();
        let step = 0.01 * value.abs() / steepness.max(f32::MIN_POSITIVE);
        let moved: Vec<f32> = prediction.iter().zip(&gradient).map(|(p, g)| p - step * g).collect();
        let after = evaluate(loss, &moved, &target).map_or(f32::NAN, |(after, _)| after);
        broken.unless(after < value, || format!("a step against the gradient takes {value} to {after}"));
        if loss.is_mean_over_rows() {
            check_mean(loss, value, &prediction, &target, broken);
        }
    }
}

/// The loss `whole` of all rows is that of the first third and of the rest, each by its share.
fn check_mean(loss: &dyn Loss<Cpu>, whole: f32, prediction: &[f32], target: &[f32], broken: &mut Broken) {
    let ((p1, p2), (t1, t2)) = (prediction.split_at(prediction.len() / 3), target.split_at(target.len() / 3));
    let parts = evaluate(loss, p1, t1).and_then(|first| Ok((first.0, evaluate(loss, p2, t2)?.0)));
    let Some((first, rest)) = broken.value("no loss of some rows", parts) else { return };
    let mean = (first + 2.0 * rest) / 3.0;
    broken.unless((mean - whole).abs() <= 1e-5 * whole.abs(), || {
        format!("it says to be a mean over rows, but its parts give {mean}, not {whole}")
    });
}

impl KindLaws for dyn OptimizerSettings {
    fn check(settings: &Self, broken: &mut Broken) {
        let problems = settings.check();
        broken.unless(problems.is_empty(), || format!("its example is refused: {problems:?}"));
        let still = stepped(settings, 3, 0.0);
        if let Some(still) = broken.value("a step fails", still) {
            broken.unless(values(&still) == values(&parameters()), || {
                "a learning rate of 0 moves parameters".into()
            });
        }
        let Some(moved) = broken.value("a step fails", stepped(settings, 3, 0.01)) else { return };
        broken.unless(values(&moved).iter().all(|v| finite(v)), || {
            "a step leaves values that are not finite".into()
        });
        let (before, after) = (values(&parameters()), values(&moved));
        broken.unless(after[0] != before[0], || "a learning rate of 0.01 moves nothing".into());
        broken.unless(after[2] == before[2], || "moves a parameter that is not trainable".into());
        check_average(settings, broken);
        let continued = broken.value("cannot continue", continued(settings));
        broken.unless(continued.is_none_or(|c| values(&c) == values(&moved)), || {
            "continues from a restored state differently".into()
        });
    }
}

/// Of an optimizer that moves averages: a step with shadows of weight and bias leaves the parameters where a step
/// without does; a shadow is then the average, or was left alone and in the list.
fn check_average(settings: &dyn OptimizerSettings, broken: &mut Broken) {
    const MOMENTUM: f64 = 0.9;
    let (mut all, mut following) = (parameters(), parameters());
    let before = values(&following);
    let shadows = following.iter_mut().map(|f| f.trainable.then_some(&mut f.data)).collect();
    let mut average = EmaUpdate { momentum: MOMENTUM, shadows };
    let mut optimizer = settings.cpu();
    let Some(fused) = optimizer.as_fused() else { return };
    let done = with_gradients(&mut all, 0, 0.01, |params, gradients, rates| {
        fused.step_and_average(params, gradients, rates, &mut average)
    });
    let left: Vec<bool> = average.shadows.iter().map(Option::is_some).collect();
    let alone = stepped(settings, 1, 0.01);
    let both = broken.value("a step with shadows fails", done.and(alone));
    broken.unless(both.is_none_or(|alone| values(&alone) == values(&all)), || {
        "shadows change where parameters go".into()
    });
    for (i, (was, is)) in before.iter().zip(values(&following)).enumerate() {
        let taken = following[i].trainable && left.get(i) != Some(&true);
        let share = if taken { MOMENTUM } else { 1.0 };
        let wanted = was.iter().zip(all[i].data.as_vec()).map(|(f, p)| mix(share, *f, p));
        let fits = wanted.zip(&is).all(|(w, f)| (w - f64::from(*f)).abs() <= 1e-6);
        broken.unless(fits, || format!("the shadow of {} is not its average", all[i].name));
    }
}

fn mix(share: f64, a: f32, b: f32) -> f64 {
    share * f64::from(a) + (1.0 - share) * f64::from(b)
}

/// A weight, a bias and a fixed table.
fn parameters() -> Vec<Param<Cpu>> {
    let make = |(name, dims, trainable): (&str, Vec<usize>, bool)| {
        let data = noise(name, dims.iter().product());
        let length = data.len();
        let data = Cpu::default().tensor_from_vec(data, (length,));
        Param { name: name.into(), dims, data, trainable, precision: MatmulPrecision::F32 }
    };
    [("a.weight", vec![3, 4], true), ("a.bias", vec![3], true), ("a.table", vec![2, 2], false)]
        .map(make)
        .into()
}

fn values(parameters: &[Param<Cpu>]) -> Vec<Vec<f32>> {
    parameters.iter().map(|p| p.data.as_vec()).collect()
}

/// Step number `number` with gradients that depend on it alone.
fn step(
    optimizer: &mut dyn Optimizer<Cpu>,
    all: &mut [Param<Cpu>],
    number: u64,
    rate: f64,
) -> Result<(), ModelError> {
    with_gradients(all, number, rate, |params, gradients, rates| optimizer.step(params, gradients, rates))
}

/// A step of parameters with gradients and rates.
type Step<'a> = &'a mut [(String, &'a mut Param<Cpu>)];

fn with_gradients(
    all: &mut [Param<Cpu>],
    number: u64,
    rate: f64,
    step: impl FnOnce(Step, &mut Gradients<f32, Cpu>, Rates) -> Result<StepReport<Cpu>, ModelError>,
) -> Result<(), ModelError> {
    let mut gradients = Gradients::leaky();
    for p in all.iter().filter(|p| p.trainable) {
        let slot = gradients.get_or_alloc_mut(&p.data).map_err(ModelError::from_debug)?;
        slot.copy_from_slice(&noise(&format!("laws/gradient/{number}/{}", p.name), p.len()));
    }
    let mut named: Vec<_> = all.iter_mut().map(|p| (p.name.clone(), p)).collect();
    let rates = Rates { learning_rate: rate, weight_decay: 0.05 };
    step(&mut named, &mut gradients, rates).map(|_| ())
}

fn stepped(settings: &dyn OptimizerSettings, steps: u64, rate: f64) -> Result<Vec<Param<Cpu>>, ModelError> {
    let (mut optimizer, mut all) = (settings.cpu(), parameters());
    (0..steps).try_for_each(|number| step(&mut *optimizer, &mut all, number, rate))?;
    Ok(all)
}

/// The same three steps, the last one by another optimizer that was given the state.
fn continued(settings: &dyn OptimizerSettings) -> Result<Vec<Param<Cpu>>, ModelError> {
    let (mut first, mut second, mut all) = (settings.cpu(), settings.cpu(), parameters());
    (0..2).try_for_each(|number| step(&mut *first, &mut all, number, 0.01))?;
    let named: Vec<_> = all.iter().map(|p| (p.name.clone(), p)).collect();
    second.restore(first.state(), &named)?;
    step(&mut *second, &mut all, 2, 0.01)?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::fused_ema::FusedEma;

    struct Squares;
    impl Loss<Cpu> for Squares {
        fn target(&self, raw: Rows<Cpu>) -> Result<Rows<Cpu>, ModelError> {
            Ok(raw)
        }
        fn loss(
            &self,
            prediction: TapedRows<Cpu>,
            target: Rows<Cpu>,
        ) -> Result<TapedScalar<Cpu>, ModelError> {
            use dfdx::prelude::{MeanTo, TrySub};
            Ok(prediction.try_sub(target).map_err(ModelError::from_debug)?.square().mean())
        }
    }

    #[test]
    fn squared_error_keeps_the_laws() {
        let mut broken = Broken::default();
        check_loss(&Squares, &mut broken);
        assert_eq!(broken.0, Vec::<String>::new());
    }

    /// Gradient descent, or something that only looks like it.
    #[derive(Debug)]
    struct Descent {
        crooked: bool,
    }
    impl OptimizerSettings for Descent {
        fn check(&self) -> Vec<Problem> {
            vec![]
        }
        fn cpu(&self) -> Box<dyn Optimizer<Cpu>> {
            Box::new(Descent { ..*self })
        }
        #[cfg(feature = "cuda")]
        fn cuda(&self) -> Box<dyn Optimizer<Gpu>> {
            unimplemented!("the laws run on the CPU")
        }
    }
    impl Optimizer<Cpu> for Descent {
        fn step(
            &mut self,
            params: &mut [(String, &mut Param<Cpu>)],
            gradients: &mut Gradients<f32, Cpu>,
            rates: Rates,
        ) -> Result<StepReport<Cpu>, ModelError> {
            for (_, p) in params.iter_mut().filter(|(_, p)| p.trainable || self.crooked) {
                gradients.try_alloc_for(&p.data).map_err(ModelError::from_debug)?;
                let (old, slope) = (p.data.as_vec(), gradients.get(&p.data).as_vec());
                let rate = if self.crooked { 0.01 } else { rates.learning_rate as f32 };
                let new: Vec<f32> = old.iter().zip(&slope).map(|(v, g)| v - rate * (g + 0.1)).collect();
                p.data.copy_from(&new);
            }
            Ok(StepReport { gradient_norm: Cpu::default().tensor_from_vec(vec![0.0], ()) })
        }
        fn state(&self) -> OptimizerState {
            OptimizerState::default()
        }
        fn restore(&mut self, _: OptimizerState, _: &[(String, &Param<Cpu>)]) -> Result<(), ModelError> {
            Ok(())
        }
        fn as_fused(&mut self) -> Option<&mut dyn FusedEma<Cpu>> {
            Some(self)
        }
    }
    impl FusedEma<Cpu> for Descent {
        fn step_and_average(
            &mut self,
            params: &mut [(String, &mut Param<Cpu>)],
            gradients: &mut Gradients<f32, Cpu>,
            rates: Rates,
            average: &mut EmaUpdate<'_, Cpu>,
        ) -> Result<StepReport<Cpu>, ModelError> {
            if self.crooked {
                average.shadows.clear();
            }
            self.step(params, gradients, rates)
        }
    }

    #[test]
    fn descent_keeps_the_laws_and_its_crooked_twin_does_not() {
        let check = |crooked| {
            let mut broken = Broken::default();
            <dyn OptimizerSettings as KindLaws>::check(&Descent { crooked }, &mut broken);
            broken.0.join("; ")
        };
        assert_eq!(check(false), "");
        assert_eq!(
            check(true),
            "a learning rate of 0 moves parameters; moves a parameter that is not trainable; \
             the shadow of a.weight is not its average; the shadow of a.bias is not its average"
        );
    }
}
