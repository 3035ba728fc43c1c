//! `ijepa-run doctor`

use std::path::PathBuf;

use clap::Args;

use super::{Exit, print};
use crate::doctor::{Health, examine};

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Folder of the run folders.
    #[arg(
        long = "results",
        alias = "output",
        value_name = "DIR",
        env = "IJEPA_RUN_OUTPUT",
        default_value = "results"
    )]
    output: PathBuf,
}

/// Prints what this machine offers; fails if something that is there cannot be used.
pub(crate) fn doctor(args: &DoctorArgs) -> Exit {
    let findings = examine(&args.output);
    let width = findings.iter().map(|f| f.what.len()).max().unwrap_or(0);
    let mark = |health| match health {
        Health::Good => "ok",
        Health::Absent => "--",
        Health::Broken => "!!",
    };
    let line = |f: &crate::doctor::Finding| format!("{}  {:<width$}  {}\n", mark(f.health), f.what, f.text);
    let printed = print::stdout(&findings.iter().map(line).collect::<String>());
    if findings.iter().any(|f| f.health == Health::Broken) { Exit::Failed } else { printed }
}
