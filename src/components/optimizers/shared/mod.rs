//! What optimizers share.

mod adam;
mod groups;
mod tensors;

pub(super) use adam::{Adam, AdamConstants, check_betas, decays, ensure_groups, norm_of};
pub(super) use groups::{Groups, ParamGroup};
pub(super) use tensors::{Buffers, assign, gradient_rows, rows, times};
