//! `ijepa-run schema [--sweep]`

use clap::Args;

use super::{Exit, print};
use crate::{config, sweep};

#[derive(Args, Debug)]
pub(crate) struct SchemaArgs {
    /// The schema of sweep files instead of that of experiment files.
    #[arg(long)]
    sweep: bool,
}

/// Prints a JSON schema.
pub(crate) fn schema(args: &SchemaArgs) -> Exit {
    let schema = if args.sweep { sweep::schema() } else { config::schema() };
    match serde_json::to_string_pretty(&schema) {
        Ok(text) => print::stdout(&format!("{text}\n")),
        Err(e) => {
            print::stderr(&format!("the schema cannot be written: {e}"));
            Exit::Failed
        }
    }
}
