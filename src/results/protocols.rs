//! Which settings the rows of `probes.csv` were measured with.

use std::collections::HashMap;

use serde_json::Value;

use crate::{config::stored_probes, events::ProbeRow};

/// Fills in the protocol of rows of version 0.1.0, which wrote none and measured what the experiment of its
/// run said. `configuration` is that of the run.
pub fn fill_in(rows: &mut [ProbeRow], configuration: &Value) {
    if rows.iter().all(|row| !row.protocol.is_empty()) {
        return;
    }
    let stored: HashMap<String, String> =
        stored_probes(configuration).into_iter().map(|spec| (spec.name.clone(), spec.protocol())).collect();
    for row in rows.iter_mut().filter(|row| row.protocol.is_empty()) {
        row.protocol = stored.get(&row.probe).cloned().unwrap_or_default();
    }
}
