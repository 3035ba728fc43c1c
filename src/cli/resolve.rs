//! Folders by the short form of their name.

use std::path::{Path, PathBuf};

use ijepa_registry::problem::nearest;

use crate::{analysis::is_sweep, results::columns::PLAN};

/// The one folder name that `word` means, or a sentence that says why there is not one. `stem` is the
/// part of a name that a person remembers.
pub(super) fn unique<'a>(
    what: &str,
    word: &str,
    folder: &Path,
    known: &'a [String],
    means: impl Fn(&str) -> bool,
    stem: impl Fn(&str) -> &str,
) -> Result<&'a str, String> {
    if let Some(exact) = known.iter().find(|name| *name == word) {
        return Ok(exact);
    }
    let found: Vec<&str> = known.iter().map(String::as_str).filter(|name| means(name)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(unknown(what, word, folder, known, stem)),
        several => {
            let message = format!("`{word}` means {} {what}s in {}", several.len(), folder.display());
            Err(format!("{message}\n  help: write one of: {}", listed(several)))
        }
    }
}

fn unknown(what: &str, word: &str, folder: &Path, known: &[String], stem: impl Fn(&str) -> &str) -> String {
    let message = format!("there is no {what} `{word}` in {}", folder.display());
    let mut stems: Vec<&str> = known.iter().map(|name| stem(name)).collect();
    stems.dedup();
    let close = nearest(word, stems.iter().copied());
    match close.as_slice() {
        [] if known.is_empty() => message,
        [] => format!("{message}\n  help: there are: {}", listed(&stems)),
        close => format!("{message}\n  help: did you mean {}?", close.join(" or ")),
    }
}

/// The first few of many.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let first = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{first} and {} more", names.len() - SHOWN) } else { first }
}

/// Names of the folders in `folder` that `wanted` takes, sorted.
pub(super) fn folders(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let taken = entries.filter(|e| wanted(&e.path()));
    let mut names: Vec<String> = taken.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The sweep folder that was meant: itself, or the only one of that name.
pub(super) fn sweep(wanted: &Path, results: &Path) -> Result<PathBuf, String> {
    if is_sweep(wanted) {
        return Ok(wanted.into());
    }
    if wanted.is_dir() {
        return Err(format!(
            "{}: no runs.csv here; a sweep folder is results/sweeps/NAME-HASH",
            wanted.display()
        ));
    }
    let folder = results.join("sweeps");
    let known = folders(&folder, is_sweep);
    let word = wanted.to_string_lossy();
    let found = unique("sweep", &word, &folder, &known, |name| is_meant(name, &word), stem)?;
    Ok(folder.join(found))
}

/// The folder of the plan that was meant: of a sweep, which need not have begun.
pub(super) fn plan(wanted: &Path, results: &Path) -> Result<PathBuf, String> {
    let own = if wanted.ends_with(PLAN.file) { wanted.parent().unwrap_or(wanted) } else { wanted };
    if own.join(PLAN.file).is_file() { Ok(own.into()) } else { sweep(wanted, results) }
}

/// The name of a sweep without its hash.
fn stem(folder: &str) -> &str {
    folder.rsplit_once('-').map_or(folder, |(name, _)| name)
}

/// `NAME`, or the start of `NAME-HASH` from the hash on.
fn is_meant(folder: &str, word: &str) -> bool {
    stem(folder) == word || folder.starts_with(word) && word.len() > stem(folder).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_one_folder_or_says_why_not() {
        let known = ["alpha-s0-11", "alpha-s1-22", "beta-s0-33"].map(String::from);
        let find = |word: &str| {
            let stem = |name: &str| -> usize { name.find("-s").unwrap_or(name.len()) };
            let starts = |name: &str| name.starts_with(word);
            unique("run", word, Path::new("results"), &known, starts, |name| &name[..stem(name)])
                .map(String::from)
        };
        assert_eq!(find("beta").as_deref(), Ok("beta-s0-33"));
        let several = "`alpha` means 2 runs in results\n  help: write one of: alpha-s0-11, alpha-s1-22";
        assert_eq!(find("alpha").expect_err("two"), several);
        let none = "there is no run `bta` in results\n  help: did you mean beta?";
        assert_eq!(find("bta").expect_err("none"), none);
    }

    #[test]
    fn a_sweep_is_meant_by_its_name_or_by_the_start_of_its_hash() {
        let folder = "mask-count-50b96436e11e";
        assert!(["mask-count", "mask-count-50b9", folder].iter().all(|w| is_meant(folder, w)));
        assert!(!["mask", "mask-count-6", "count"].iter().any(|w| is_meant(folder, w)));
    }
}
