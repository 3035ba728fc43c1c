//! Predictors.

mod cross_attention;
mod vit;

/// The methods of settings that build on each device, from the generic `build`.
macro_rules! build_predictor {
    () => {
        fn cpu(&self, context: &PredictorContext<Cpu>) -> Result<Box<dyn Predictor<Cpu>>, ModelError> {
            Ok(self.build(context))
        }
        #[cfg(feature = "cuda-base")]
        fn cuda(
            &self,
            context: &PredictorContext<dfdx::prelude::Cuda>,
        ) -> Result<Box<dyn Predictor<dfdx::prelude::Cuda>>, ModelError> {
            Ok(self.build(context))
        }
    };
}
use build_predictor;
