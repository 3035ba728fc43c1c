//! The figures of a report, one file each.

pub(crate) mod curves;
pub(crate) mod examples;
pub(crate) mod forest;
pub(crate) mod heat;
pub(crate) mod mask_facts;
pub(crate) mod mask_sizes;
pub(crate) mod masks;
pub(crate) mod response;
pub(crate) mod single;
pub(crate) mod visibility;
