//! Augmentations.
