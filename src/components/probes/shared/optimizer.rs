//! The optimizer of probes that train.

use ijepa_registry::{catalogue, prelude::*};
use serde_json::Value;

/// AdamW with these settings, all others at their defaults.
pub(crate) fn adamw(settings: &Value) -> Result<Box<dyn OptimizerSettings>, ModelError> {
    let missing = || ModelError("there is no optimizer `adamw`".into());
    let entry = catalogue::find::<dyn OptimizerSettings>("adamw").ok_or_else(missing)?;
    (entry.build)(settings).map(|(_, adamw)| adamw).map_err(ModelError::from_debug)
}
