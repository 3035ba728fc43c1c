//! `ijepa-run cancel SWEEP`

use std::path::PathBuf;

use clap::Args;

use super::{Exit, print, resolve};
use crate::run::launcher::cancel as cancel_submissions;

#[derive(Args, Debug)]
pub(crate) struct CancelArgs {
    /// Folder of a sweep, or its name.
    #[arg(value_name = "SWEEP")]
    sweep: PathBuf,
    /// Folder in which sweeps are looked up by name.
    #[arg(long, alias = "output", value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
}

/// Takes the tasks of a sweep out of the queues they are in.
pub(crate) fn cancel(args: &CancelArgs) -> Exit {
    let done = resolve::plan(&args.sweep, &args.results)
        .and_then(|folder| Ok((cancel_submissions(&folder)?, folder)));
    let (cancelled, folder) = match done {
        Ok(done) => done,
        Err(message) => {
            print::stderr(&message);
            return Exit::Config;
        }
    };
    if cancelled.is_empty() {
        return print::stdout(&format!("nothing of {} is in a queue\n", folder.display()));
    }
    let mut exit = Exit::Done;
    for (job, result) in cancelled {
        match result {
            Ok(()) => exit = exit.or(print::stdout(&format!("cancelled: {job}\n"))),
            Err(reason) => {
                print::stderr(&format!("error: {job}: {reason}"));
                exit = Exit::Failed;
            }
        }
    }
    exit
}
