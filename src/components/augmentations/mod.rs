//! Augmentations.

mod blur;
mod color_jitter;
mod grayscale;
mod hflip;
mod normalize;
mod pad_crop;
mod random_resized_crop;
mod shared;
mod solarize;
