//! Data sets.

mod cifar10;
mod image_folder;
mod shapes;
