//! Probes.

mod attentive;
mod cka;
mod class_similarity;
mod ema_lag;
mod few_shot;
mod fine_tune;
mod knn;
mod lidar;
mod linear;
mod patch_position;
mod rankme;
mod regression;
mod retrieval;
mod shared;
mod token_variance;
