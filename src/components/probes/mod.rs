//! Probes.

mod dense;
mod features;
mod heads;
mod knn;
mod linear;
mod rankme;
mod sgd;
mod softmax;
