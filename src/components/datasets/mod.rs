//! Data sets.

mod cifar10;
mod cifar100;
mod fashion_mnist;
mod image_folder;
mod mnist;
mod npy;
mod shapes;
mod shared;
mod stl10;
mod tiny_imagenet;
