//! What more than one strategy is made of.

pub(crate) mod blocks;
pub(crate) mod equalize;
pub(crate) mod nested;
pub(crate) mod rejection;
