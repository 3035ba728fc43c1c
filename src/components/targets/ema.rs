//! Targets `ema`: the tokens of a moving average of the context encoder.

use ijepa_registry::prelude::*;

use crate::kernels::{Backend, Function};

component! {
    /// Tokens of the teacher: an encoder whose weights are a moving average of the context encoder's.
    ///
    /// The teacher sees the whole image and starts equal to the student; after each step `teacher =
    /// m teacher + (1 - m) student` with the momentum `m` of the section `ema` (I-JEPA, arXiv 2301.08243, section
    /// 3). With `layers` above 1 the target is made of the outputs of its last blocks, each after the final
    /// norm: their mean (data2vec, arXiv 2202.03555, section 3.3, takes the mean of the top blocks) or all of
    /// them side by side. With `every` above 1 the teacher stays as it is for so many steps and then moves once: targets
    /// that stand still in between, as in deep Q-learning (Mnih et al. 2015). A momentum of 0 then copies the student.
    targets "ema" => Ema, example = "{ layers: 2, combine: concat }",
    aliases = ["teacher" => "ema", "momentum" => "ema"]
}

/// How the outputs of several blocks become one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Combine {
    /// Their mean, as wide as a token.
    Mean,
    /// One after the other, the first block first: `layers` times as wide as a token.
    Concat,
}

/// Settings of `targets: { kind: ema }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Ema {
    /// How many of the teacher's last blocks.
    #[schemars(range(min = 1, max = 64))]
    layers: usize,
    /// What becomes of several blocks.
    combine: Combine,
    /// Steps from one move of the teacher to the next; the momentum is that of the step in which it moves.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1_000_000), extend("x-aliases" = ["update_every", "ema_every"]))]
    every: u64,
}

/// What did not exist once is not written, so that earlier experiments keep their identity.
fn is_one(steps: &u64) -> bool {
    *steps == 1
}

impl Default for Ema {
    fn default() -> Self {
        Ema { layers: 1, combine: Combine::Mean, every: 1 }
    }
}

impl Ema {
    fn build<D: Backend>(&self, context: &TargetsContext<D>) -> Result<Box<dyn Targets<D>>, ModelError> {
        Ok(Box::new(Average { teacher: (context.encoder)()?, settings: self.clone() }))
    }
}

impl TargetsSettings for Ema {
    fn check(&self, encoder: &dyn EncoderSettings) -> Vec<Problem> {
        let most = encoder.layers();
        let mut problems = Vec::new();
        if self.every == 0 {
            problems.push(Problem::new("every", "is 0; allowed are 1 and more"));
        }
        let problem = (self.layers > most).then(|| {
            let message = format!("is {}; the encoder has {most} blocks that can be asked", self.layers);
            Problem::new("layers", message).help(format!("allowed: 1 to {most}"))
        });
        problems.extend(problem);
        problems
    }
    fn dim(&self, encoder: &dyn EncoderSettings, _: ImageShape) -> usize {
        match self.combine {
            Combine::Mean => encoder.dim(),
            Combine::Concat => encoder.dim() * self.layers,
        }
    }
    fn teacher(&self) -> Teacher {
        Teacher::Own
    }
    build_on_devices!(targets);
}

/// The built targets.
struct Average<D: Device<f32>> {
    teacher: Box<dyn Encoder<D>>,
    settings: Ema,
}

impl<D: Backend> Targets<D> for Average<D> {
    fn targets(&self, input: &TargetInput<D>) -> Result<Rows<D>, ModelError> {
        let request = EncodeRequest { layers: self.settings.layers, ..EncodeRequest::of(input.keep) };
        let layers = self.teacher.encode(input.images, &request)?;
        let mut joined = layers.into_iter();
        let first = joined.next().ok_or_else(|| ModelError("the teacher returned no layer".into()))?;
        match self.settings.combine {
            // (h_1 + ... + h_k) / k
            Combine::Mean => {
                let sum = joined.try_fold(first, |sum, layer| D::add(sum, layer))?;
                let share = 1.0 / self.settings.layers as f32;
                if share == 1.0 {
                    Ok(sum)
                } else {
                    D::map(sum, Function::Affine { scale: share, shift: 0.0 })
                }
            }
            Combine::Concat => joined.try_fold(first, |left, layer| D::concat_columns(left, layer)),
        }
    }
    fn shadows(&mut self, step: u64) -> Vec<Option<&mut Flat<D>>> {
        if !(step + 1).is_multiple_of(self.settings.every) {
            return Vec::new();
        }
        self.teacher.params_mut().into_iter().map(|p| p.trainable.then_some(&mut p.data)).collect()
    }
    fn encoder<'a>(&'a self, _: &'a dyn Encoder<D>) -> Option<&'a dyn Encoder<D>> {
        Some(self.teacher.as_ref())
    }
}

impl<D: Backend> Parameters<D> for Average<D> {
    fn params(&self) -> Vec<&Param<D>> {
        self.teacher.params()
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        self.teacher.params_mut()
    }
}
