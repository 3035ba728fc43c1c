//! Learning rates and weight decays of some parameters.

use ijepa_registry::{prelude::*, problem::nearest};

/// Some parameters, and what their rates are multiplied by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ParamGroup {
    /// Names of parameters, `*` standing for any text: `context_encoder.patch_embed.*`. They are the names of the
    /// tensors in the weights that a run leaves.
    parameters: String,
    /// Factor of the learning rate; 0 freezes.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1e6))]
    learning_rate: f64,
    /// Factor of the weight decay.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1e6))]
    weight_decay: f64,
}

fn one() -> f64 {
    1.0
}

impl ParamGroup {
    fn check(&self, i: usize) -> Vec<Problem> {
        let factors = [("learning_rate", self.learning_rate), ("weight_decay", self.weight_decay)];
        let wrong = factors.into_iter().filter(|(_, factor)| !(0.0..=1e6).contains(factor));
        wrong
            .map(|(name, factor)| {
                Problem::new(format!("groups.{i}.{name}"), format!("is {factor}; allowed: 0 to 1e6"))
            })
            .collect()
    }
}

/// Factors of the rates of every parameter.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Groups {
    /// Factor of learning rate and weight decay, in the order of the parameters.
    factors: Vec<[f64; 2]>,
}

impl Groups {
    /// What is wrong with the settings.
    pub fn check(groups: &[ParamGroup], layer_decay: f64) -> Vec<Problem> {
        let decay = (!(layer_decay > 0.0 && layer_decay <= 1.0)).then(|| {
            Problem::new("layer_decay", format!("is {layer_decay}; allowed are above 0, at most 1"))
        });
        groups.iter().enumerate().flat_map(|(i, group)| group.check(i)).chain(decay).collect()
    }

    /// Groups that mean no parameter of the model.
    pub fn check_parameters(groups: &[ParamGroup], names: &dyn Fn() -> Vec<String>) -> Vec<Problem> {
        if groups.is_empty() {
            return Vec::new();
        }
        let names = names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let unknown = |(i, group): (usize, &ParamGroup)| {
            let known = names.is_empty() || names.iter().any(|name| matches(&group.parameters, name));
            (!known).then(|| {
                let sentence = format!("no parameter is named `{}`", group.parameters);
                let some = format!("there are `{}`, ...", near(&group.parameters, &names).join("`, `"));
                Problem::new(format!("groups.{i}.parameters"), sentence).help(some)
            })
        };
        groups.iter().enumerate().filter_map(unknown).collect()
    }

    /// Of parameters of these names. A group without a parameter is an error: a spelling that means nothing.
    pub fn new(groups: &[ParamGroup], layer_decay: f64, names: &[&str]) -> Result<Self, ModelError> {
        for group in groups {
            if !names.iter().any(|name| matches(&group.parameters, name)) {
                return Err(nothing_named(&group.parameters, names));
            }
        }
        let blocks = names.iter().filter_map(|name| block_of(name)).max().map_or(0, |last| last + 1);
        let factors = names.iter().map(|name| {
            let depth = layer_decay.powi(blocks_above(name, blocks) as i32);
            let chosen = groups.iter().filter(|group| matches(&group.parameters, name));
            chosen.fold([depth, 1.0], |[lr, wd], g| [lr * g.learning_rate, wd * g.weight_decay])
        });
        Ok(Groups { factors: factors.collect() })
    }

    /// Whether it has not been made yet.
    pub fn is_empty(&self) -> bool {
        self.factors.is_empty()
    }

    /// The rates of parameter `i`; `decays` says whether weight decay applies to it at all.
    pub fn rates(&self, i: usize, rates: Rates, decays: bool) -> Rates {
        let [lr, wd] = self.factors[i];
        let weight_decay = if decays { rates.weight_decay * wd } else { 0.0 };
        Rates { learning_rate: rates.learning_rate * lr, weight_decay }
    }
}

fn nothing_named(pattern: &str, names: &[&str]) -> ModelError {
    let some = near(pattern, names).join("`, `");
    ModelError(format!("optimizer.groups: no parameter is named `{pattern}`; there are `{some}`, ..."))
}

/// Names that come close to a pattern: those spelled like it, else some that begin like it, else any.
fn near<'a>(pattern: &str, names: &[&'a str]) -> Vec<&'a str> {
    let spelled = nearest(pattern, names.iter().copied());
    let spelled: Vec<&str> = names.iter().copied().filter(|name| spelled.contains(name)).take(3).collect();
    if !spelled.is_empty() {
        return spelled;
    }
    let start = pattern.split('*').next().unwrap_or_default();
    let alike: Vec<&str> = names.iter().copied().filter(|name| name.starts_with(start)).take(3).collect();
    if alike.is_empty() { names.iter().copied().take(3).collect() } else { alike }
}

/// Number of the encoder's block that a parameter belongs to.
fn block_of(name: &str) -> Option<usize> {
    name.strip_prefix("context_encoder.blocks.")?.split('.').next()?.parse().ok()
}

/// Layers between a parameter of the encoder and its output, as BEiT counts them: the last block has 1 above it (the
/// final norm), patches and positions all blocks and that one. Everything else has none.
fn blocks_above(name: &str, blocks: usize) -> usize {
    match block_of(name) {
        Some(block) => blocks - block,
        None if name.starts_with("context_encoder.") && !name.starts_with("context_encoder.norm") => {
            blocks + 1
        }
        None => 0,
    }
}

/// Whether a name fits a pattern in which `*` stands for any text.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(left) = name.strip_prefix(start) else { return false };
    (0..=left.len()).filter(|&at| left.is_char_boundary(at)).any(|at| matches(rest, &left[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = [
        "context_encoder.patch_embed.proj.weight",
        "context_encoder.blocks.0.attn.qkv.weight",
        "context_encoder.blocks.1.attn.qkv.weight",
        "context_encoder.norm.weight",
        "predictor.blocks.0.attn.qkv.weight",
    ];

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(
            matches("context_encoder.*", NAMES[0]) && matches("*.blocks.*", NAMES[4]) && matches("*", "")
        );
        assert!(matches("context_encoder.norm.weight", NAMES[3]) && matches("*.weight", NAMES[1]));
        assert!(
            !matches("context_encoder.norm", NAMES[3])
                && !matches("*.bias", NAMES[1])
                && !matches("norm*", NAMES[3])
        );
    }

    #[test]
    fn a_group_without_a_parameter_is_named_with_what_there_is() {
        let groups: Vec<ParamGroup> =
            serde_json::from_value(serde_json::json!([{ "parameters": "*.weight" }, { "parameters": "context_encoder.patch_embd.*" }]))
                .unwrap();
        let names = || NAMES.map(String::from).to_vec();
        let problems = Groups::check_parameters(&groups, &names);
        assert_eq!((problems.len(), problems[0].path.as_str()), (1, "groups.1.parameters"));
        assert!(problems[0].help.as_deref().unwrap().contains("`context_encoder.patch_embed.proj.weight`"));
        assert_eq!(Groups::check_parameters(&[], &|| unreachable!("nobody asks for names")), vec![]);
        assert_eq!(Groups::check_parameters(&groups, &Vec::new), vec![], "names that nobody knows");
    }

    #[test]
    fn factors_of_groups_and_layers_multiply() {
        let group = |parameters: &str, learning_rate, weight_decay| ParamGroup {
            parameters: parameters.into(),
            learning_rate,
            weight_decay,
        };
        let groups = [group("context_encoder.patch_embed.*", 0.2, 0.0), group("context_encoder.*", 2.0, 1.0)];
        let made = Groups::new(&groups, 0.5, &NAMES).unwrap();
        assert_eq!(made.factors, [[0.05, 0.0], [0.5, 1.0], [1.0, 1.0], [2.0, 1.0], [1.0, 1.0]]);
        let rates = Rates { learning_rate: 1.0, weight_decay: 0.1 };
        assert_eq!(made.rates(0, rates, true), Rates { learning_rate: 0.05, weight_decay: 0.0 });
        assert_eq!(made.rates(1, rates, false).weight_decay, 0.0);
    }

    #[test]
    fn a_group_without_a_parameter_is_refused_with_names() {
        let group = ParamGroup {
            parameters: "context_encoder.patch.*".into(),
            learning_rate: 0.1,
            weight_decay: 1.0,
        };
        let error = Groups::new(&[group], 1.0, &NAMES).unwrap_err().0;
        assert!(error.contains("`context_encoder.patch.*`") && error.contains(NAMES[0]), "{error}");
        assert_eq!(Groups::check(&[], 0.0)[0].path, "layer_decay");
    }
}
