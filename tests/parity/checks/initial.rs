//! Initial values and position tables against Meta's: spread of every parameter, sin-cos exactly.

use ijepa_run::{nn::sincos2d, registry::prelude::*};
use std::path::Path;

use serde_json::json;

use super::{fixture, model::built};

/// Mean, standard deviation and largest magnitude.
fn spread(values: &[f32]) -> [f64; 3] {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let var = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    [mean, var.sqrt(), values.iter().fold(0.0, |m, &v| f64::from(v.abs()).max(m))]
}

pub fn initial_values_have_metas_spread(folder: &Path) {
    let stats = fixture::json(&folder.join("meta/init_stats.json"));
    for (theirs, scheme) in [("constructor", "trunc_rescaled"), ("init_model", "trunc")] {
        let expected = stats["init"][theirs].as_object().unwrap();
        let (mut seen, mut outliers) = (0, 0);
        for (name, param) in model(scheme) {
            if name.ends_with("pos_embed") {
                continue;
            }
            let row = &expected[&name];
            assert_eq!(row[0], json!(param.dims), "{name}");
            let [mean, std, largest] = spread(&param.data.as_vec());
            let of = |i: usize| row[i].as_f64().unwrap();
            // PyTorch's `trunc_normal_` inverts an error function of a uniform number in [-1, 1): the
            // rare -1 becomes the lower bound, -2. Such a tensor's spread is that of its outlier.
            if of(3) >= 2.0 {
                assert!(largest < 0.2, "{theirs} {name}: largest {largest}");
                outliers += 1;
                continue;
            }
            // Five standard errors of a mean and of a standard deviation, of both samples.
            let error = 5.0 * 2f64.sqrt() * of(2).max(1e-12) / (param.len() as f64).sqrt();
            assert!((mean - of(1)).abs() <= error, "{theirs} {name}: mean {mean}, theirs {}", of(1));
            assert!((std - of(2)).abs() <= error, "{theirs} {name}: std {std}, theirs {}", of(2));
            assert!(largest <= 1.5 * of(3) + 1e-12, "{theirs} {name}: largest {largest}, theirs {}", of(3));
            seen += 1;
        }
        let with_values = expected.keys().filter(|n| !n.ends_with("pos_embed")).count();
        assert_eq!(seen + outliers, with_values, "{theirs}: parameters compared");
        assert!(outliers <= 2, "{theirs}: {outliers} tensors with outliers");
    }
}

/// Meta's `vit_tiny` with a predictor of width 96 and depth 6, under Meta's names.
fn model(scheme: &str) -> Vec<(String, Param<Cpu>)> {
    let device = Cpu::default();
    let image = ImageShape { channels: 3, height: 32, width: 32 };
    let encoder = built::<dyn EncoderSettings>("vit", json!({ "preset": "tiny", "init": scheme }));
    let settings = json!({ "dim": 96, "depth": 6, "heads": 3, "positions": "sincos2d", "init": scheme });
    let predictor = built::<dyn PredictorSettings>("vit", settings);
    let patches = || PatchMoments::standard(48);
    let encoder =
        encoder.cpu(&EncoderContext { device: &device, seed: 1, image, patches: &patches }).unwrap();
    let grid = Grid { rows: 8, cols: 8 };
    let predictor = predictor
        .cpu(&PredictorContext { device: &device, seed: 1, grid, encoder_dim: 192, target_dim: 192 })
        .unwrap();
    let named = |root: &str, all: Vec<&Param<Cpu>>| -> Vec<(String, Param<Cpu>)> {
        all.into_iter().map(|p| (format!("{root}.{}", p.name), p.clone())).collect()
    };
    [named("encoder", encoder.params()), named("predictor", predictor.params())].concat()
}

pub fn sincos_tables_are_metas(folder: &Path) {
    let file = fixture::Fixture::read(&folder.join("meta/sincos.safetensors"));
    let tables = file.tensors();
    assert!(!tables.is_empty());
    for (name, view) in tables.tensors() {
        let [patches, dim] = view.shape() else { panic!("{name}") };
        let side = patches.isqrt();
        let expected = view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b));
        let got = sincos2d(Grid { rows: side, cols: side }, *dim);
        assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() <= 1e-12), "{name}");
    }
}
