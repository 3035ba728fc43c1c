//! Targets `pixels`: the patches themselves.

use ijepa_registry::prelude::*;

use crate::kernels::Backend;

component! {
    /// The pixels of the target patches: masked autoencoding with the same masks and budget.
    ///
    /// A target is the patch as the encoder would see it, `channel * patch * patch` values after the
    /// augmentation. With `loss: { target: layer_norm }` each patch has mean 0 and variance 1, which masked
    /// autoencoders learn better from (He et al. 2022, arXiv 2111.06377, section 4.1, `norm_pix_loss`). There is no
    /// teacher: probes measure the context encoder, `encoders: [context]`, and the section `ema` has no effect.
    targets "pixels" => Pixels, example = "{}",
    aliases = ["mae" => "pixels", "patches" => "pixels", "reconstruction" => "pixels"]
}

/// Settings of `targets: { kind: pixels }`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Pixels {}

impl Pixels {
    fn build<D: Backend>(&self, _: &TargetsContext<D>) -> Result<Box<dyn Targets<D>>, ModelError> {
        Ok(Box::new(Patches))
    }
}

impl TargetsSettings for Pixels {
    fn check(&self, _: &dyn EncoderSettings) -> Vec<Problem> {
        vec![]
    }
    fn dim(&self, encoder: &dyn EncoderSettings, image: ImageShape) -> usize {
        image.channels * encoder.patch() * encoder.patch()
    }
    fn teacher(&self) -> Teacher {
        Teacher::None
    }
    build_on_devices!(targets);
}

/// The built targets: they have nothing of their own.
struct Patches;

impl<D: Backend> Targets<D> for Patches {
    fn targets(&self, input: &TargetInput<D>) -> Result<Rows<D>, ModelError> {
        D::gather_sum(input.images.pixels.clone(), input.keep, &[])
    }
    fn encoder<'a>(&'a self, _: &'a dyn Encoder<D>) -> Option<&'a dyn Encoder<D>> {
        None
    }
}

impl<D: Backend> Parameters<D> for Patches {
    fn params(&self) -> Vec<&Param<D>> {
        vec![]
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        vec![]
    }
}
