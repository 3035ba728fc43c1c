//! Encoders of other programs: a vision transformer in timm's names, to be looked at beside a run.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ijepa_registry::mask::Grid;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::{RunError, configured, stored::StoredRun};
use crate::{
    config::{self, Experiment},
    data::{regular, regular_text},
    events::Tensors,
    nn::interpolated,
    sinks::Weights,
};

/// The file of a model's weights in the folder that timm and the Hugging Face Hub use.
const MODEL: &str = "model.safetensors";

/// Heads of timm's sizes, by the width of their tokens.
const HEADS: [(usize, usize); 4] = [(192, 3), (384, 6), (768, 12), (1024, 16)];

/// Parameters of a block that ours have too, `blocks.N.` before them.
const OF_BLOCK: [&str; 14] = [
    "norm1.weight",
    "norm1.bias",
    "attn.qkv.weight",
    "attn.qkv.bias",
    "attn.proj.weight",
    "attn.proj.bias",
    "norm2.weight",
    "norm2.bias",
    "mlp.fc1.weight",
    "mlp.fc1.bias",
    "mlp.fc2.weight",
    "mlp.fc2.bias",
    "ls1.gamma",
    "ls2.gamma",
];

/// Those outside of the blocks.
const OTHERS: [&str; 7] = [
    "patch_embed.proj.weight",
    "patch_embed.proj.bias",
    "pos_embed",
    "cls_token",
    "reg_token",
    "norm.weight",
    "norm.bias",
];

/// An encoder in timm's names.
pub struct ForeignEncoder {
    path: PathBuf,
    /// Shape and values by name.
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// `config.json` beside it; null if there is none.
    config: Value,
}

/// The file of weights that a path means, if it is one of another program: a safetensors file, or a folder with
/// `model.safetensors`.
pub fn foreign_file(path: &Path) -> Option<PathBuf> {
    let inside = path.join(MODEL);
    let is_file = path.is_file() && path.extension().is_some_and(|ending| ending == "safetensors");
    if is_file { Some(path.into()) } else { inside.is_file().then_some(inside) }
}

impl ForeignEncoder {
    /// Reads it; an error says what it holds that an encoder here has no place for.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let refuse = |why: String| RunError::Config(format!("{}: {why}", path.display()));
        let bytes = regular(path).map_err(|e| refuse(e.to_string()))?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|e| refuse(format!("it is damaged or not a safetensors file ({e})")))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            if !name.starts_with("head.") && !name.starts_with("head_drop") {
                let values =
                    values(view.dtype(), view.data()).map_err(|why| refuse(format!("{name} {why}")))?;
                tensors.insert(name, (view.shape().to_vec(), values));
            }
        }
        let beside = path.with_file_name("config.json");
        let config = regular_text(&beside).ok().and_then(|text| serde_json::from_str(&text).ok());
        let model = ForeignEncoder { path: path.into(), tensors, config: config.unwrap_or_default() };
        let problems = model.problems();
        if problems.is_empty() {
            Ok(model.with_positions_of_patches())
        } else {
            Err(refuse(problems.join("\n  ")))
        }
    }

    /// What is not that of a plain vision transformer.
    fn problems(&self) -> Vec<String> {
        let known = |name: &str| match name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
            Some((block, rest)) => block.parse::<usize>().is_ok() && OF_BLOCK.contains(&rest),
            None => OTHERS.contains(&name),
        };
        let strange = self.tensors.keys().filter(|name| !known(name));
        let strange = strange.map(|name| format!("it holds {name}, for which `encoder: vit` has no place"));
        let needed = ["patch_embed.proj.weight", "pos_embed", "norm.weight", "blocks.0.mlp.fc1.weight"];
        let missing = needed.iter().filter(|name| !self.tensors.contains_key(**name));
        let missing = missing.map(|name| format!("it holds no {name}, as a vision transformer of timm does"));
        missing.chain(strange).collect()
    }

    /// Positions of patches alone, as they are here: those of the class token and of registers, which come first where
    /// the table has more rows than a square of patches, are added to these tokens once and for all.
    fn with_positions_of_patches(mut self) -> Self {
        let [class, registers] = ["cls_token", "reg_token"].map(|name| self.size(name, 1));
        let (rows, dim) = (self.size("pos_embed", 1), self.size("pos_embed", 2));
        let is_square = |count: usize| count.isqrt().pow(2) == count;
        let ahead =
            [class + registers, class].into_iter().find(|&n| n > 0 && n < rows && is_square(rows - n));
        let Some(ahead) = ahead.filter(|_| !is_square(rows)) else { return self };
        let table = match self.tensors.get_mut("pos_embed") {
            Some((shape, values)) => {
                shape[1] = rows - ahead;
                values.drain(..ahead * dim).collect::<Vec<f32>>()
            }
            None => return self,
        };
        let mut positions = table.iter();
        for name in ["cls_token", "reg_token"] {
            let tokens = self.tensors.get_mut(name).map(|(_, values)| values.iter_mut());
            tokens.into_iter().flatten().zip(&mut positions).for_each(|(value, position)| *value += position);
        }
        self
    }

    fn shape(&self, name: &str) -> &[usize] {
        self.tensors.get(name).map_or(&[], |(shape, _)| shape)
    }

    /// Entry `place` of the shape of a tensor.
    fn size(&self, name: &str, place: usize) -> usize {
        self.shape(name).get(place).copied().unwrap_or(0)
    }

    /// The section `encoder` of an experiment with such a model.
    fn settings(&self) -> Result<Value, String> {
        let args = &self.config["model_args"];
        let (dim, patch) = (self.size("patch_embed.proj.weight", 0), self.size("patch_embed.proj.weight", 2));
        let block = |name: &String| name.strip_prefix("blocks.")?.split('.').next()?.parse::<usize>().ok();
        let depth = self.tensors.keys().filter_map(block).max().map_or(0, |last| last + 1);
        let of_size = HEADS.iter().find(|(width, _)| *width == dim).map(|(_, heads)| *heads as u64);
        let heads = args["num_heads"].as_u64().or(of_size).ok_or_else(|| {
            format!(
                "nobody says how many heads its attention has; write it into a config.json beside it: \
                     {{ \"model_args\": {{ \"num_heads\": N }} }} (width {dim})"
            )
        })?;
        let hidden = self.size("blocks.0.mlp.fc1.weight", 0);
        let scaled = self.tensors.contains_key("blocks.0.ls1.gamma");
        let mut settings = json!({
            "kind": "vit", "dim": dim, "depth": depth, "heads": heads, "patch": patch,
            "mlp_ratio": hidden as f64 / dim.max(1) as f64, "positions": "learned", "norm_eps": 1e-6,
            "registers": self.size("reg_token", 1), "layer_scale": if scaled { 1e-5 } else { 0.0 },
        });
        if self.tensors.contains_key("cls_token") {
            settings["class_token"] = true.into();
        }
        Ok(settings)
    }

    /// What is done to images in front of it, where it says so.
    fn normalization(&self) -> Option<Value> {
        let of = |name: &str| self.config["pretrained_cfg"][name].as_array().cloned();
        Some(json!([{ "kind": "normalize", "mean": of("mean")?, "std": of("std")? }]))
    }

    /// Its parameters under the names of an encoder here.
    fn own(&self) -> Tensors {
        let own = |name: &String| match name.as_str() {
            "reg_token" => "register_tokens".into(),
            _ => name.clone(),
        };
        let both = ["context_encoder.", "target_encoder."];
        let all = self.tensors.iter().flat_map(|(name, (shape, values))| {
            both.map(|prefix| (format!("{prefix}{}", own(name)), shape.clone(), values.clone()))
        });
        all.collect()
    }

    /// The model as a run on the images of another one's experiment.
    pub fn as_run(&self, like: &Experiment) -> Result<StoredRun, RunError> {
        let refuse = |why: String| RunError::Config(format!("{}: {why}", self.path.display()));
        let encoder = self.settings().map_err(refuse)?;
        let changes = [
            format!("encoder={encoder}"),
            "targets=ema".into(),
            "masking=random".into(),
            "predictor=position_only".into(),
            "optimizer=adamw".into(),
            "regularizers=[]".into(),
            "probes=[]".into(),
            "collapse=[]".into(),
        ];
        let normalized = self.normalization().map(|steps| format!("augmentation={steps}"));
        let changes: Vec<String> = changes.into_iter().chain(normalized).collect();
        let name = self.path.display().to_string();
        let experiment = configured(config::load_stored(&name, &like.to_yaml(), &changes))?;
        let (grid, patches) = (experiment.grid(), self.size("pos_embed", 1));
        let side = patches.isqrt();
        if grid.len() != patches && side * side != patches {
            let sentence = "positions are carried over from a square of patches alone";
            return Err(refuse(format!(
                "it has positions for {patches} patches, here are {}; {sentence}",
                grid.len()
            )));
        }
        let mut tensors = self.own();
        if grid.len() != patches {
            let from = Grid { rows: side, cols: side };
            for (_, shape, values) in tensors.iter_mut().filter(|(name, ..)| name.ends_with(".pos_embed")) {
                (*values, shape[1]) = (interpolated(values, from, grid), grid.len());
            }
        }
        let weights = Weights { identity: String::new(), step: 0, tensors };
        Ok(StoredRun { folder: self.path.clone(), experiment, weights, data: String::new(), foreign: true })
    }
}

/// Values of a tensor as 32-bit floats.
fn values(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, String> {
    let wide = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    // A bfloat16 is the upper half of a float.
    let brain = |b: &[u8]| f32::from_le_bytes([0, 0, b[0], b[1]]);
    match dtype {
        Dtype::F32 => Ok(bytes.chunks_exact(4).map(wide).collect()),
        Dtype::BF16 => Ok(bytes.chunks_exact(2).map(brain).collect()),
        other => Err(format!("is of type {other:?}; float32 and bfloat16 are read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(names: &[(&str, &[usize])], config: Value) -> ForeignEncoder {
        let tensor = |(name, shape): &(&str, &[usize])| {
            ((*name).to_owned(), (shape.to_vec(), vec![0.0; shape.iter().product()]))
        };
        ForeignEncoder { path: "m.safetensors".into(), tensors: names.iter().map(tensor).collect(), config }
    }

    const PLAIN: [(&str, &[usize]); 5] = [
        ("patch_embed.proj.weight", &[8, 3, 4, 4]),
        ("pos_embed", &[1, 16, 8]),
        ("norm.weight", &[8]),
        ("blocks.0.mlp.fc1.weight", &[20, 8]),
        ("blocks.1.attn.qkv.weight", &[24, 8]),
    ];

    #[test]
    fn sizes_are_those_of_the_tensors_and_heads_are_asked_for() {
        let settings = model(&PLAIN, json!({ "model_args": { "num_heads": 2 } })).settings().unwrap();
        assert_eq!(
            (&settings["dim"], &settings["depth"], &settings["patch"], &settings["mlp_ratio"]),
            (&json!(8), &json!(2), &json!(4), &json!(2.5))
        );
        assert!(model(&PLAIN, Value::Null).settings().unwrap_err().contains("\"num_heads\": N"));
    }

    #[test]
    fn what_has_no_place_and_what_is_missing_is_named() {
        let strange = model(&[("blocks.0.attn.q_norm.weight", &[4]), ("fc_norm.weight", &[8])], Value::Null);
        let problems = strange.problems();
        assert_eq!(problems.len(), 6, "{problems:?}");
        assert!(problems.iter().any(|p| p.contains("it holds blocks.0.attn.q_norm.weight")));
        assert_eq!(model(&PLAIN, Value::Null).problems(), Vec::<String>::new());
    }

    #[test]
    fn the_position_of_the_class_token_becomes_part_of_it() {
        let mut foreign = model(&[("cls_token", &[1, 1, 2]), ("pos_embed", &[1, 5, 2])], Value::Null);
        let fill = |values: &mut Vec<f32>| values.iter_mut().zip(0..).for_each(|(v, i)| *v = i as f32);
        foreign.tensors.values_mut().for_each(|(_, values)| fill(values));
        let own = foreign.with_positions_of_patches();
        assert_eq!(own.tensors["cls_token"].1, [0.0, 2.0]);
        assert_eq!(own.tensors["pos_embed"], (vec![1, 4, 2], (2..10).map(|v| v as f32).collect()));
        // As many rows as patches: nothing stands ahead of them.
        let plain = model(&[("cls_token", &[1, 1, 2]), ("pos_embed", &[1, 4, 2])], Value::Null);
        assert_eq!(plain.with_positions_of_patches().tensors["pos_embed"].0, [1, 4, 2]);
    }

    #[test]
    fn bfloat16_is_the_upper_half_of_a_float() {
        let bytes = 1.5_f32.to_le_bytes();
        assert_eq!(values(Dtype::BF16, &bytes[2..]).unwrap(), [1.5]);
        assert!(values(Dtype::F16, &[0, 0]).unwrap_err().contains("F16"));
    }
}
