//! A masking strategy and a probe of one's own, as a crate outside the house writes them.

mod centroid;
mod checkerboard;
