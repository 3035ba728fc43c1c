//! Losses. Each is a distance ([`crate::kernels::RowLoss`]) and a target transform.

mod cosine;
mod l1;
mod l2;
mod shared;
mod smooth_l1;

use shared::{DistanceLoss, TargetTransform};
