//! The components of the house: one file each, reached only through the catalogue.

mod augmentations;
mod datasets;
mod encoders;
mod losses;
mod masking;
mod optimizers;
mod predictors;
mod probes;
mod regularizers;
mod schedules;
mod targets;
