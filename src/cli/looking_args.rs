//! The options that commands share which compute on runs that are there: `explore`, `features`, `probe`.

use std::path::PathBuf;

use clap::Args;

use crate::sinks::Verbosity;

#[derive(Args, Debug)]
pub(super) struct LookingArgs {
    /// Folder in which runs are looked up.
    #[arg(long, value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    pub results: PathBuf,
    /// Where the data set of the run lies now, if it was moved; its images have to be the same.
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Threads to compute with; all cores if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print errors only.
    #[arg(short, long)]
    pub quiet: bool,
}

impl LookingArgs {
    /// Threads to compute with; none: all cores.
    pub fn threads(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }

    /// How much is said on the way.
    pub fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }
}
