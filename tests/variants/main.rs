//! Variants of the encoder's blocks, and predictors other than `vit`: against slow references, and in training.

mod blocks;
#[path = "../common/mod.rs"]
mod common;
mod cross_attention;
#[allow(dead_code)]
#[path = "../runner/program.rs"]
mod program;
mod reference;
mod training;

use ijepa_run::{
    config::{self, Experiment},
    registry::prelude::*,
};

/// A small experiment with these settings.
fn experiment(overrides: &[&str]) -> Experiment {
    let text = include_str!("../../experiments/sweeps/base-shapes.yaml");
    let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
    config::load("base-shapes", text, &overrides, &|_| Err("extends nothing".into())).unwrap()
}

/// Images of four times four patches of four pixels.
const IMAGE: ImageShape = ImageShape { channels: 3, height: 16, width: 16 };

/// Parameters that are trained, by name.
fn trained<P: Parameters<Cpu> + ?Sized>(module: &P) -> Vec<&Param<Cpu>> {
    module.params().into_iter().filter(|p| p.trainable).collect()
}
