//! What more than one probe is made of.

pub(crate) mod factor;
pub(crate) mod features;
pub(crate) mod linalg;
pub(crate) mod optimizer;
pub(crate) mod ridge;
pub(crate) mod scores;
pub(crate) mod softmax;
