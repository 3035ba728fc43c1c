//! Starting from the weights of another run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The `init` section: which weights training starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InitSettings {
    /// Folder of a finished run, or a file of weights in one, such as `checkpoints/epoch-10.safetensors`; relative to
    /// the working folder.
    #[schemars(length(min = 1), extend("x-path" = true, "x-cosmetic" = true))]
    pub from: String,
    /// What is taken: `encoder` (the context encoder, and the target encoder where both have one), `predictor`.
    #[serde(default = "all_parts")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub parts: Vec<InitPart>,
    /// Hash of these weights: filled in when the file is read, so that other weights under the same path are another
    /// experiment, and the same ones elsewhere are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f]{16}$"), extend("x-words" = "16 hexadecimal digits"))]
    pub weights: Option<String>,
    /// Whether the hash was taken when the file was read: a stored one may be of weights that are gone.
    #[serde(skip)]
    pub(crate) is_fresh: bool,
}

/// A part of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitPart {
    /// The context encoder, and the target encoder.
    Encoder,
    /// The predictor.
    Predictor,
}

fn all_parts() -> Vec<InitPart> {
    vec![InitPart::Encoder, InitPart::Predictor]
}

impl InitSettings {
    /// In a line.
    pub fn text(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|part| text(json!(part))).collect();
        let weights = self.weights.as_deref().unwrap_or("unknown");
        format!("{} from {} (weights {weights})", parts.join(" and "), self.from)
    }
}

fn text(value: Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl InitSettings {
    /// The same in one form: the order in which parts are named means nothing.
    pub(crate) fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        sorted.parts.sort();
        sorted
    }
}
