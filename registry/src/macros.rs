//! `component!`: the one declaration that registers a component. `build_on_devices!`: a component that holds tensors,
//! built on each device by one generic method.

/// Registers a settings struct as a component of a kind.
///
/// ```
/// use ijepa_registry::prelude::*;
///
/// /// Settings of `masking: { kind: left_half }`.
/// #[derive(Debug, Serialize, Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct LeftHalf {}
///
/// component! {
///     /// The left half is the context, the right half the only target.
///     masking "left_half" => LeftHalf, example = "{}"
/// }
///
/// impl Masking for LeftHalf {
///     fn check(&self, grid: Grid) -> Vec<Problem> {
///         if grid.cols >= 2 { vec![] } else { vec![Problem::new("", "needs at least two patch columns")] }
///     }
///     fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
///         let half = grid.cols / 2;
///         let (seen, hidden) = (grid.block(0, 0, grid.rows, half), grid.block(0, half, grid.rows, grid.cols - half));
///         let plan = MaskPlan::new(seen, vec![hidden]);
///         MaskBatch { plans: vec![plan; draw.images.len()], redraws: 0 }
///     }
/// }
///
/// assert!(ijepa_registry::catalogue::find::<dyn Masking>("left_half").is_some());
/// ```
///
/// Two optional parts may follow the example: `number = "value"` names the setting that a bare number
/// fills, and `aliases = ["mse" => "l2"]` what others call the component and what to write here; an alias
/// is suggested where it is typed.
///
/// A missing doc comment or example does not compile:
///
/// ```compile_fail
/// # use ijepa_registry::prelude::*;
/// # #[derive(Debug, Serialize, Deserialize, JsonSchema)] struct Nothing {}
/// component! { masking "nothing" => Nothing, example = "{}" }
/// ```
#[macro_export]
macro_rules! component {
    (
        $(#[doc = $doc:literal])+ $kind:ident $name:literal => $settings:ty, example = $example:literal
        $(, number = $number:literal)? $(, aliases = [$($alias:literal => $write:literal),+ $(,)?])? $(,)?
    ) => {
        $crate::inventory::submit! {
            $crate::entry::Entry::<$crate::__kind!($kind)> {
                name: $name,
                docs: concat!($($doc, "\n"),+),
                example: $example,
                number: $crate::__optional!($($number)?),
                aliases: &[$($(($alias, $write)),+)?],
                origin: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
                file: file!(),
                schema: $crate::entry::schema_of::<$settings>,
                build: |value| {
                    let (resolved, settings) = $crate::entry::decode::<$settings>(value)?;
                    Ok((resolved, Box::new(settings) as Box<$crate::__kind!($kind)>))
                },
            }
        }
    };
    ($(#[doc = $doc:literal])+ $kind:ident $name:literal => $settings:ty $(,)?) => {
        compile_error!(concat!("component \"", $name, "\": add `example = \"...\"`: settings that work, as YAML"));
    };
    ($kind:ident $name:literal $($rest:tt)*) => {
        compile_error!(concat!("component \"", $name, "\": write a doc comment above the kind; its first line is the summary shown by `components`"));
    };
}

/// `Some` of a literal that may be missing.
#[macro_export]
#[doc(hidden)]
macro_rules! __optional {
    () => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}

/// The trait object type of a kind.
#[macro_export]
#[doc(hidden)]
macro_rules! __kind {
    (encoder) => { dyn $crate::kinds::EncoderSettings };
    (predictor) => { dyn $crate::kinds::PredictorSettings };
    (masking) => { dyn $crate::kinds::Masking };
    (targets) => { dyn $crate::kinds::TargetsSettings };
    (loss) => { dyn $crate::kinds::LossSettings };
    (regularizer) => { dyn $crate::kinds::RegularizerSettings };
    (schedule) => { dyn $crate::kinds::Schedule };
    (optimizer) => { dyn $crate::kinds::OptimizerSettings };
    (dataset) => { dyn $crate::kinds::Dataset };
    (augmentation) => { dyn $crate::kinds::Augmentation };
    (probe) => { dyn $crate::kinds::Probe };
    ($other:ident) => {
        compile_error!("kinds are: encoder, predictor, masking, targets, loss, regularizer, schedule, optimizer, dataset, augmentation, probe")
    };
}

/// The methods `cpu` and `cuda` of a settings trait, from one method `build` that is generic over the device.
///
/// ```
/// use ijepa_registry::prelude::*;
///
/// /// Settings of `targets: { kind: own }`.
/// #[derive(Debug)]
/// struct Own {}
///
/// impl Own {
///     fn build<D: Device<f32>>(&self, context: &TargetsContext<D>) -> Result<Box<dyn Targets<D>>, ModelError> {
///         # let _ = context;
///         Err(ModelError("nothing yet".into()))
///     }
/// }
///
/// impl TargetsSettings for Own {
///     # fn check(&self, _: &dyn EncoderSettings) -> Vec<Problem> { vec![] }
///     # fn dim(&self, encoder: &dyn EncoderSettings, _: ImageShape) -> usize { encoder.dim() }
///     # fn teacher(&self) -> Teacher { Teacher::None }
///     // check, dim, teacher, then:
///     build_on_devices!(targets);
/// }
/// ```
///
/// Encoders, predictors, targets and regularizers are built for a context and may fail, as above. A loss and an
/// optimizer are built from their settings alone: `fn build<D: ...>(&self) -> Box<dyn Loss<D>>`. In a program with
/// CUDA the device may be a GPU, and `D` is then usually bounded by `ijepa_run::kernels::Backend`.
#[macro_export]
macro_rules! build_on_devices {
    (encoder) => {
        $crate::__build_on_devices! { Encoder, EncoderContext }
    };
    (predictor) => {
        $crate::__build_on_devices! { Predictor, PredictorContext }
    };
    (targets) => {
        $crate::__build_on_devices! { Targets, TargetsContext }
    };
    (regularizer) => {
        $crate::__build_on_devices! { Regularizer, RegularizerContext }
    };
    (loss) => {
        $crate::__build_on_devices! { Loss }
    };
    (optimizer) => {
        $crate::__build_on_devices! { Optimizer }
    };
    ($other:ident) => {
        compile_error!(
            "kinds that are built on a device: encoder, predictor, targets, regularizer, loss, optimizer"
        );
    };
}

/// Both devices. Which form exists is decided by the features of this crate, not of the one that calls the macro.
#[cfg(feature = "cuda")]
#[macro_export]
#[doc(hidden)]
macro_rules! __build_on_devices {
    ($($kind:ident),+) => {
        $crate::__build_on! { cpu, $crate::tensor::Cpu, $($kind),+ }
        $crate::__build_on! { cuda, $crate::tensor::Gpu, $($kind),+ }
    };
}

/// The CPU alone.
#[cfg(not(feature = "cuda"))]
#[macro_export]
#[doc(hidden)]
macro_rules! __build_on_devices {
    ($($kind:ident),+) => { $crate::__build_on! { cpu, $crate::tensor::Cpu, $($kind),+ } };
}

/// The method that builds on one device.
#[macro_export]
#[doc(hidden)]
macro_rules! __build_on {
    ($method:ident, $device:ty, $kind:ident, $context:ident) => {
        fn $method(
            &self,
            context: &$crate::kinds::$context<$device>,
        ) -> ::std::result::Result<
            ::std::boxed::Box<dyn $crate::kinds::$kind<$device>>,
            $crate::tensor::ModelError,
        > {
            self.build(context)
        }
    };
    ($method:ident, $device:ty, $kind:ident) => {
        fn $method(&self) -> ::std::boxed::Box<dyn $crate::kinds::$kind<$device>> {
            self.build()
        }
    };
}
