//! A registered component, and the kinds it can belong to.

use schemars::{JsonSchema, Schema};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// One registered component of kind `K` (a trait object type such as `dyn Masking`).
pub struct Entry<K: Kind + ?Sized> {
    /// The name written in YAML.
    pub name: &'static str,
    /// Documentation: the first line is a summary.
    pub docs: &'static str,
    /// Settings that work, as YAML.
    pub example: &'static str,
    /// The setting that a bare number fills: `learning_rate: 1.0e-3`.
    pub number: Option<&'static str>,
    /// What others call it, and what to write here. Suggested in errors, never accepted.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Crate and version it comes from.
    pub origin: &'static str,
    /// Source file.
    pub file: &'static str,
    /// Schema of its settings.
    pub schema: fn() -> Schema,
    /// Reads settings; returns them with all defaults filled in, and the component.
    pub build: fn(&Value) -> Built<K>,
}

/// The settings with all defaults filled in, and the component built from them.
pub type Built<K> = Result<(Value, Box<K>), String>;

/// A kind of component.
pub trait Kind: 'static {
    /// The key in YAML and on the command line.
    const NAME: &'static str;
    /// What components of this kind do, in one line.
    const SUMMARY: &'static str;
    /// Every registered entry, in arbitrary order: only the catalogue calls this.
    fn registered() -> Vec<&'static Entry<Self>>;
}

/// Reads the settings of a component and fills in the defaults.
pub fn decode<S: DeserializeOwned + Serialize>(settings: &Value) -> Result<(Value, S), String> {
    let parsed: S = serde_json::from_value(settings.clone()).map_err(|e| e.to_string())?;
    let resolved = serde_json::to_value(&parsed).map_err(|e| e.to_string())?;
    Ok((resolved, parsed))
}

/// The schema of a settings struct.
pub fn schema_of<S: JsonSchema>() -> Schema {
    schemars::generate::SchemaSettings::default()
        .with(|s| s.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<S>()
}

/// One line per kind. Which trait a kind is stands in `__kind!` of `macros.rs`, and nowhere else.
macro_rules! kinds {
    ($($kind:ident $summary:literal;)+) => {
        $(
            inventory::collect!(Entry<crate::__kind!($kind)>);
            impl Kind for crate::__kind!($kind) {
                const NAME: &'static str = stringify!($kind);
                const SUMMARY: &'static str = $summary;
                fn registered() -> Vec<&'static Entry<Self>> {
                    inventory::iter::<Entry<Self>>.into_iter().collect()
                }
            }
        )+
        /// Calls `$visit::<dyn Kind>($argument)` for each kind, in the order they are documented.
        macro_rules! for_each_kind {
            ($visit:ident, $argument:expr) => { $( $visit::<crate::__kind!($kind)>($argument); )+ };
        }
        pub(crate) use for_each_kind;
    };
}

kinds! {
    encoder "turns the visible patches of an image into tokens";
    predictor "guesses the target tokens from the context tokens";
    masking "chooses the context and the target patches of every image";
    targets "what is predicted: the tokens of a teacher, or the patches themselves";
    loss "compares predicted with target tokens";
    regularizer "a further term of the loss: what tokens should be like, whatever the targets";
    schedule "a value over the steps of a run: learning rate, weight decay, EMA momentum";
    optimizer "updates the parameters from their gradients";
    dataset "a source of labelled images";
    augmentation "one step of the image pipeline";
    probe "an evaluation of frozen features";
}
