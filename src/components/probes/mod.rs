//! Probes.

mod attentive;
mod class_similarity;
mod knn;
mod linear;
mod rankme;
mod shared;
