//! Probes.

mod classifier;
mod curvature;
mod dense;
mod design;
mod factor;
mod features;
mod heads;
mod knn;
mod linear;
mod neighbours;
#[cfg(test)]
mod newton;
mod optimum;
mod rankme;
mod scores;
mod sgd;
mod shares;
mod sketch;
mod softmax;
mod unit;
