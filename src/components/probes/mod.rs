//! Probes.

mod dense;
mod features;
mod heads;
mod knn;
mod linear;
mod neighbours;
mod optimum;
mod rankme;
mod sgd;
mod sketch;
mod softmax;
