//! Losses. Each is a distance ([`crate::kernels::RowLoss`]) and a target transform.

mod cosine;
mod l2;
mod smooth_l1;
mod target;

use target::{DistanceLoss, TargetTransform};
