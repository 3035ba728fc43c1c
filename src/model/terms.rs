//! Further terms of the loss: what they look at, and how they join it.

use ijepa_registry::prelude::*;

use super::jepa::{Jepa, StepInput, named};
use crate::kernels::{Backend, LossValue};

/// A term of the loss.
pub struct Term<D: Backend> {
    /// Its column in `metrics.csv` is `loss.NAME`.
    pub name: String,
    /// What it looks at.
    pub on: Regularized,
    /// The term.
    pub regularizer: Box<dyn Regularizer<D>>,
}

impl<D: Backend> Term<D> {
    fn root(&self) -> String {
        format!("regularizers.{}.", self.name)
    }

    /// Its parameters with their full names.
    pub fn params(&self) -> Vec<(String, &Param<D>)> {
        named(&self.root(), self.regularizer.params())
    }

    /// The same, to be updated.
    pub fn params_mut(&mut self) -> Vec<(String, &mut Param<D>)> {
        named(&self.root(), self.regularizer.params_mut())
    }
}

impl<D: Backend> Jepa<D> {
    /// `loss + sum_k step.weights[k] * term_k`, and the values of the loss and of every term before weighting (none
    /// where there are no terms).
    ///
    /// A term looks at the tokens of the contexts or at the predictions on a tape of its own, which joins that
    /// of the loss in the sum: operations run backward in the order of their making, whatever tape they were
    /// on. A term of weight 0 is computed for the table alone, so that it changes no bit of the rest.
    pub(super) fn add_terms(
        &self,
        mut loss: TapedScalar<D>,
        context: Option<Rows<D>>,
        plan: &PredictionPlan,
        prediction: &Rows<D>,
        step: StepInput,
    ) -> Result<(TapedScalar<D>, Vec<LossValue<D>>), ModelError> {
        let Some(context) = context else { return Ok((loss, Vec::new())) };
        let mut values = vec![loss.retaped::<NoneTape>()];
        for (term, &weight) in self.terms.iter().zip(step.weights) {
            let value = term.of(&context, plan, prediction, step.key())?;
            values.push(value.retaped::<NoneTape>());
            if weight != 0.0 {
                loss = D::add_scalars(loss, D::scale(value, weight as f32)?)?;
            }
        }
        Ok((loss, values))
    }
}

impl<D: Backend> Term<D> {
    fn of(
        &self,
        context: &Rows<D>,
        plan: &PredictionPlan,
        prediction: &Rows<D>,
        key: StepKey,
    ) -> Result<TapedScalar<D>, ModelError> {
        let contexts = &plan.context.segments;
        match self.on {
            Regularized::Context => self.regularizer.term(context.retaped(), contexts, key),
            Regularized::PooledContext => {
                let pooled = D::segment_means(context.retaped::<OwnedTape<f32, D>>(), contexts)?;
                self.regularizer.term(pooled, &Segments::from_lengths(vec![1; contexts.len()]), key)
            }
            Regularized::Prediction => {
                let blocks = plan.predictions.iter().map(|p| p.targets.len());
                self.regularizer.term(prediction.retaped(), &Segments::from_lengths(blocks), key)
            }
        }
    }
}
