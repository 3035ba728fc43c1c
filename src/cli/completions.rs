//! `ijepa-run completions SHELL`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, print};

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete in.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a script that the shell reads.
pub(crate) fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ijepa-run", &mut script);
    print::stdout(&String::from_utf8_lossy(&script))
}
