//! A folder that `transformers` loads with `AutoModel.from_pretrained`: the class `IJepaModel`, whose names are those of
//! versions 4; version 5 reads them too.

use serde_json::{Value, json};

use super::{
    classifier::Classifier,
    encoder::{Encoder, Holds},
    preprocessing::Preprocessing,
    tensors::Tensor,
};

/// What `IJepaModel` has places for.
pub(super) const HOLDS: Holds = Holds { name: "transformers", registers: false, layer_scale: false };

/// What stands for a weight or a bias of a block there.
const IN_BLOCK: [(&str, &str); 5] = [
    ("norm1", "layernorm_before"),
    ("norm2", "layernorm_after"),
    ("attn.proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
];

/// `config.json`. Types matter: version 5 takes no float for an integer.
pub(super) fn config(encoder: &Encoder, image: &Preprocessing, classifier: Option<&Classifier>) -> Value {
    let class = if classifier.is_some() { "IJepaForImageClassification" } else { "IJepaModel" };
    let mut config = json!({
        "architectures": [class],
        "model_type": "ijepa",
        "hidden_size": encoder.dim,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.heads,
        "intermediate_size": encoder.hidden,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "layer_norm_eps": encoder.eps,
        "image_size": image.size,
        "patch_size": encoder.patch,
        "num_channels": 3,
        "qkv_bias": true,
        "torch_dtype": "float32",
    });
    if let Some(Classifier { classes, .. }) = classifier {
        let names = classes.iter().enumerate();
        config["id2label"] = names.clone().map(|(i, name)| (i.to_string(), json!(name))).collect();
        config["label2id"] = names.map(|(i, name)| (name.clone(), json!(i))).collect();
    }
    config
}

/// `preprocessor_config.json`: the shorter side is resized and the middle cut out, which is the largest centred square,
/// resized.
pub(super) fn preprocessor(image: &Preprocessing) -> Value {
    let Preprocessing { size, normalize } = image;
    let mut config = json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "size": { "shortest_edge": size },
        "resample": 2,
        "do_center_crop": true,
        "crop_size": { "height": size, "width": size },
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": normalize.is_some(),
    });
    if let Some([mean, std]) = normalize {
        config["image_mean"] = json!(mean);
        config["image_std"] = json!(std);
    }
    config
}

/// Tensors under the names of `IJepaModel`, or with a classifier those of `IJepaForImageClassification`.
pub(super) fn tensors(encoder: &Encoder, classifier: Option<&Classifier>) -> Vec<Tensor> {
    let prefix = if classifier.is_some() { "ijepa." } else { "" };
    let named = |tensor: Tensor| {
        let name = format!("{prefix}{}", tensor.name);
        tensor.named(name)
    };
    let mut all: Vec<Tensor> = encoder.tensors.iter().flat_map(renamed).map(named).collect();
    if let Some(classifier) = classifier {
        all.extend(classifier.tensors("classifier"));
    }
    all
}

/// One tensor under its name in `IJepaModel`; the joint matrix of queries, keys and values becomes three.
fn renamed(tensor: &Tensor) -> Vec<Tensor> {
    let one = |name: String| vec![tensor.clone().named(name)];
    let name = tensor.name.as_str();
    if let Some((block, part)) = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
        let (part, value) = part.rsplit_once('.').unwrap_or((part, ""));
        if part == "attn.qkv" {
            let names = ["query", "key", "value"]
                .map(|which| format!("encoder.layer.{block}.attention.attention.{which}.{value}"));
            return tensor.thirds(names).into();
        }
        let there = IN_BLOCK.iter().find(|(ours, _)| *ours == part).map_or(part, |(_, theirs)| theirs);
        return one(format!("encoder.layer.{block}.{there}.{value}"));
    }
    match name {
        "pos_embed" => one("embeddings.position_embeddings".into()),
        _ => match name.strip_prefix("patch_embed.proj.") {
            Some(value) => one(format!("embeddings.patch_embeddings.projection.{value}")),
            None => one(name.replace("norm.", "layernorm.")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_ijepa_model() {
        let name = |ours: &str| -> Vec<String> {
            renamed(&Tensor::new(ours, &[3], vec![0.0; 3])).into_iter().map(|t| t.name).collect()
        };
        let expected = [
            ("pos_embed", "embeddings.position_embeddings"),
            ("patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight"),
            ("blocks.11.norm1.bias", "encoder.layer.11.layernorm_before.bias"),
            ("blocks.0.attn.proj.weight", "encoder.layer.0.attention.output.dense.weight"),
            ("blocks.0.mlp.fc1.weight", "encoder.layer.0.intermediate.dense.weight"),
            ("blocks.0.mlp.fc2.bias", "encoder.layer.0.output.dense.bias"),
            ("norm.weight", "layernorm.weight"),
        ];
        for (ours, theirs) in expected {
            assert_eq!(name(ours), [theirs]);
        }
        let parts = name("blocks.2.attn.qkv.bias");
        assert_eq!((parts.len(), &*parts[1]), (3, "encoder.layer.2.attention.attention.key.bias"));
    }
}
