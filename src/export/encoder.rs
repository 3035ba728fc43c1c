//! The encoder of a run as a plain vision transformer: its sizes, and its tensors in timm's names.

use serde_json::Value;

use super::tensors::Tensor;
use crate::run::stored::StoredRun;

/// An encoder that can be taken along.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    /// `target` or `context`.
    pub subject: &'static str,
    pub dim: usize,
    pub depth: usize,
    pub heads: usize,
    /// Width of the hidden layer of an MLP.
    pub hidden: usize,
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Epsilon of every norm.
    pub eps: f64,
    /// Register tokens.
    pub registers: usize,
    /// Initial value of the gains on residual branches; 0: there are none.
    pub layer_scale: f64,
    /// Parameters, `pos_embed` `(1, patch, dim)` always among them.
    pub tensors: Vec<Tensor>,
}

/// What a format can hold beside the standard block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holds {
    /// Where it is taken to, for messages.
    pub name: &'static str,
    pub registers: bool,
    pub layer_scale: bool,
}

impl Encoder {
    /// The target encoder of a run, or the one that it trains; every reason why it cannot be taken along.
    pub fn of(run: &StoredRun, subject: Option<&'static str>, holds: Holds) -> Result<Self, Vec<String>> {
        let encoder = &run.experiment.encoder;
        let mut problems = unrepresentable(&encoder.kind, &encoder.settings, holds);
        let has = |subject: &str| {
            let prefix = format!("{subject}_encoder.");
            run.weights.tensors.iter().any(|(name, ..)| name.starts_with(&prefix))
        };
        let subject = subject.unwrap_or(if has("target") { "target" } else { "context" });
        if !has(subject) {
            problems.push(format!(
                "targets: `{}` has no encoder of its own; take the one that was trained with --encoder context",
                run.experiment.targets.kind
            ));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let size = |name: &str| encoder.settings[name].as_u64().unwrap_or(0) as usize;
        let number = |name: &str| encoder.settings[name].as_f64().unwrap_or(0.0);
        let (dim, registers) = (size("dim"), size("registers"));
        let mut tensors = own(run, subject);
        let hidden = tensors.iter().find(|t| t.name == "blocks.0.mlp.fc1.bias").map_or(0, |t| t.shape[0]);
        if !tensors.iter().any(|t| t.name == "pos_embed") {
            // Patches without positions: nothing is added.
            let patches = run.experiment.grid().len();
            tensors.push(Tensor::new("pos_embed", &[1, patches, dim], vec![0.0; patches * dim]));
        }
        Ok(Encoder {
            subject,
            dim,
            depth: size("depth"),
            heads: size("heads"),
            hidden,
            patch: size("patch"),
            eps: number("norm_eps"),
            registers,
            layer_scale: number("layer_scale"),
            tensors,
        })
    }
}

/// Tensors of one encoder, without the prefix that says which.
fn own(run: &StoredRun, subject: &str) -> Vec<Tensor> {
    let prefix = format!("{subject}_encoder.");
    let tensor = |(name, shape, values): &(String, Vec<usize>, Vec<f32>)| {
        Some(Tensor::new(name.strip_prefix(&prefix)?, shape, values.clone()))
    };
    let mut tensors: Vec<Tensor> = run.weights.tensors.iter().filter_map(tensor).collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

/// Settings of the encoder for which the format has no place, each in a sentence.
fn unrepresentable(kind: &str, settings: &Value, holds: Holds) -> Vec<String> {
    let to = holds.name;
    if kind != "vit" {
        return vec![format!("encoder: `{kind}` cannot be written for {to}; only `vit` can")];
    }
    let mut problems = Vec::new();
    let mut refuse = |setting: &str, wrong: bool, has: &str| {
        if wrong {
            let value = &settings[setting];
            problems.push(format!("encoder.{setting}: {value} cannot be written for {to}, {has}"));
        }
    };
    let is_other = |setting: &str, standard: &str| settings[setting].as_str().is_some_and(|v| v != standard);
    refuse("norm", is_other("norm", "layer_norm"), "whose blocks have layer norms");
    refuse("mlp", is_other("mlp", "gelu"), "whose blocks have an MLP with GELU");
    refuse("stem", is_other("stem", "linear"), "which embeds patches by one linear map");
    refuse("positions", settings["positions"] == "rope", "which adds positions to tokens");
    refuse("class_token", settings["class_token"] == true, "as its features are the mean of the patches");
    refuse("sandwich_norm", settings["sandwich_norm"] == true, "which does not normalise branches");
    refuse("qk_norm", settings["qk_norm"] == true, "which does not normalise queries and keys in this way");
    let some = |setting: &str| settings[setting].as_f64().unwrap_or(0.0) > 0.0;
    refuse("layer_scale", some("layer_scale") && !holds.layer_scale, "which has no gains on branches");
    refuse("registers", some("registers") && !holds.registers, "which has no register tokens");
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_has_no_place_is_named_at_once() {
        let settings = json!({
            "norm": "rms_norm", "mlp": "swiglu", "qk_norm": true, "layer_scale": 0.1, "registers": 4,
            "stem": "conv", "positions": "rope", "class_token": true, "sandwich_norm": true
        });
        let none = Holds { name: "transformers", registers: false, layer_scale: false };
        let found = unrepresentable("vit", &settings, none);
        let named = [
            "norm",
            "mlp",
            "stem",
            "positions",
            "class_token",
            "sandwich_norm",
            "qk_norm",
            "layer_scale",
            "registers",
        ];
        let named = named.map(|s| format!("encoder.{s}: "));
        assert!(found.len() == 9 && found.iter().zip(&named).all(|(f, n)| f.starts_with(n)), "{found:?}");
        let more = Holds { registers: true, layer_scale: true, ..none };
        assert_eq!(unrepresentable("vit", &settings, more).len(), 7);
        let standard = json!({ "norm": "layer_norm", "mlp": "gelu", "drop_path": 0.1, "registers": 0 });
        assert_eq!(unrepresentable("vit", &standard, none), [""; 0]);
        assert!(unrepresentable("conv", &standard, none)[0].contains("`conv`"));
    }
}
