//! A folder that `timm.create_model("local-dir:DIR", pretrained=True)` loads: the names of the tensors are timm's already.

use serde_json::{Value, json};

use super::{
    classifier::Classifier,
    encoder::{Encoder, Holds},
    preprocessing::Preprocessing,
    tensors::Tensor,
};

/// What timm's `VisionTransformer` has places for.
pub(super) const HOLDS: Holds = Holds { name: "timm", registers: true, layer_scale: true };

/// Epsilon of every layer norm of timm; it is no setting of a model.
pub(super) const EPS: f64 = 1e-6;

/// `config.json`.
pub(super) fn config(encoder: &Encoder, image: &Preprocessing, classifier: Option<&Classifier>) -> Value {
    let classes = classifier.map_or(0, |c| c.classes.len());
    let [mean, std] = image.normalize.clone().unwrap_or_else(|| [vec![0.0; 3], vec![1.0; 3]]);
    let mut config = json!({
        // Of any size: `model_args` says which.
        "architecture": "vit_tiny_patch16_224",
        "num_classes": classes,
        "num_features": encoder.dim,
        "global_pool": "avg",
        "model_args": {
            "img_size": image.size,
            "patch_size": encoder.patch,
            "embed_dim": encoder.dim,
            "depth": encoder.depth,
            "num_heads": encoder.heads,
            "mlp_ratio": mlp_ratio(encoder),
            "num_classes": classes,
            "class_token": false,
            "global_pool": "avg",
            "fc_norm": false,
        },
        "pretrained_cfg": {
            "tag": "ijepa_run",
            "custom_load": false,
            "input_size": [3, image.size, image.size],
            "fixed_input_size": true,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": mean,
            "std": std,
            "num_classes": classes,
            "pool_size": null,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    });
    if encoder.registers > 0 {
        config["model_args"]["reg_tokens"] = json!(encoder.registers);
        config["model_args"]["no_embed_class"] = json!(true);
    }
    if encoder.layer_scale > 0.0 {
        config["model_args"]["init_values"] = json!(encoder.layer_scale);
    }
    if let Some(Classifier { classes, .. }) = classifier {
        config["label_names"] = json!(classes);
    }
    config
}

/// What timm multiplies with the width and cuts to an integer.
fn mlp_ratio(encoder: &Encoder) -> f64 {
    let (hidden, dim) = (encoder.hidden as f64, encoder.dim as f64);
    if encoder.hidden.is_multiple_of(encoder.dim) { hidden / dim } else { (hidden + 0.5) / dim }
}

/// Tensors under timm's names.
pub(super) fn tensors(encoder: &Encoder, classifier: Option<&Classifier>) -> Vec<Tensor> {
    let renamed = |tensor: &Tensor| match tensor.name.as_str() {
        "register_tokens" => tensor.clone().named("reg_token"),
        _ => tensor.clone(),
    };
    let mut all: Vec<Tensor> = encoder.tensors.iter().map(renamed).collect();
    if let Some(classifier) = classifier {
        all.extend(classifier.tensors("head"));
    }
    all
}
