//! Pages that commands write.

use std::{fs, path::Path};

use super::{Exit, print};
use crate::results::write_atomic;

/// Writes a page, its folder too where there is none, and prints where it is.
pub(crate) fn written(page: &Path, html: &str) -> Exit {
    let folder = page.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), fs::create_dir_all);
    match made.and_then(|()| write_atomic(page, html.as_bytes())) {
        Ok(()) => print::stdout(&format!("{}\n", page.display())),
        Err(error) => {
            print::stderr(&format!("error: {}: {error}", page.display()));
            Exit::Failed
        }
    }
}
