//! `component!`: the one declaration that registers a component.

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
