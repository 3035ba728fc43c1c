//! Targets: what is predicted.

mod ema;
mod pixels;
mod stop_gradient;

/// Implements the building half of [`ijepa_registry::kinds::TargetsSettings`] with a method `build`.
macro_rules! build_targets {
    () => {
        fn cpu(&self, context: &TargetsContext<Cpu>) -> Result<Box<dyn Targets<Cpu>>, ModelError> {
            self.build(context)
        }
        #[cfg(feature = "cuda-base")]
        fn cuda(
            &self,
            context: &TargetsContext<dfdx::prelude::Cuda>,
        ) -> Result<Box<dyn Targets<dfdx::prelude::Cuda>>, ModelError> {
            self.build(context)
        }
    };
}
use build_targets;
