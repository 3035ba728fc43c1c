//! `ijepa-run schema`

use super::{Exit, out};

/// Prints the JSON schema of experiment files.
pub(crate) fn schema() -> Exit {
    match serde_json::to_string_pretty(&crate::config::schema()) {
        Ok(text) => out::stdout(&format!("{text}\n")),
        Err(e) => {
            out::stderr(&format!("the schema cannot be written: {e}"));
            Exit::Failed
        }
    }
}
