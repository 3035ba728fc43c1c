//! What is compared with PyTorch. Each check takes the folder that holds `seed` and `meta`: the small fixtures
//! beside this file, or those of the two reference repositories (`tests/with_data`).

mod augmentation;
#[path = "../../common/mod.rs"]
mod common;
mod compare;
#[cfg(feature = "cuda-base")]
#[path = "../../cuda/emulator.rs"]
#[allow(dead_code)]
mod emulator;
mod fixture;
mod initial;
mod masks;
mod model;
mod ops;
mod schedules;
mod steps;

use std::path::Path;

/// A check by name.
pub type Check = (&'static str, fn(&Path));

/// All of them.
pub const ALL: &[Check] = &[
    ("seed_cases", steps::seed_cases),
    ("meta_cases", steps::meta_cases),
    ("cases_with_products_of_bf16", steps::cases_with_products_of_bf16),
    #[cfg(feature = "cuda-base")]
    ("cases_on_the_gpu", steps::cases_on_the_gpu),
    ("initial_values_have_metas_spread", initial::initial_values_have_metas_spread),
    ("sincos_tables_are_metas", initial::sincos_tables_are_metas),
    ("block_of_seed", ops::block_of_seed),
    ("block_of_meta", ops::block_of_meta),
    ("gelu_of_seed", ops::gelu_of_seed),
    ("loss_of_seed", ops::loss_of_seed),
    ("smooth_l1_of_meta", ops::smooth_l1_of_meta),
    ("target_norm_of_meta", ops::target_norm_of_meta),
    ("schedules_of_seed", schedules::schedules_of_seed),
    ("schedules_of_meta", schedules::schedules_of_meta),
    ("masks_of_seed", masks::masks_of_seed),
    ("masks_of_meta", masks::masks_of_meta),
    ("default_normalisation_and_flip", augmentation::default_normalisation_and_flip),
];
