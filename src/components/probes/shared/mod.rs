//! What more than one probe is made of.

pub(crate) mod features;
pub(crate) mod linalg;
pub(crate) mod scores;
