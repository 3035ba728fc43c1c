//! `ijepa-run man [DIR]`

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::{Cli, Exit, print};

const EXAMPLES: &str = "\
Examples:
  ijepa-run man > ijepa-run.1                    the page of the program; read it with man ./ijepa-run.1
  ijepa-run man ~/.local/share/man/man1          a page per command, where `man ijepa-run-compare` finds it";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// Folder that receives a page per command; the main page is printed if left out.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Writes manual pages.
pub(crate) fn man(args: &ManArgs) -> Exit {
    match &args.folder {
        None => {
            let mut page = Vec::new();
            // Memory takes every byte.
            let written = Man::new(Cli::command()).render(&mut page);
            written.map_or(Exit::Failed, |()| print::data(&String::from_utf8_lossy(&page)))
        }
        Some(folder) => match pages(folder) {
            Ok(()) => print::stdout(&format!("{}\n", folder.display())),
            Err(error) => {
                print::stderr(&format!("error: {}: {error}", folder.display()));
                Exit::Failed
            }
        },
    }
}

fn pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}
