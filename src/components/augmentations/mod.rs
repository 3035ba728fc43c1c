//! Augmentations.

mod hflip;
mod normalize;
mod random_resized_crop;
