//! Every registered component keeps the promises of its kind, and every component file is registered.

use std::{collections::BTreeSet, fs, path::Path};

use ijepa_run::registry::{catalogue, laws};

#[test]
fn every_component_keeps_its_promises() {
    let laws = laws::check_all();
    laws.failures.iter().for_each(|failure| eprintln!("{failure}"));
    assert!(laws.failures.is_empty(), "{} laws are broken, see above", laws.failures.len());
    assert!(laws.checked.values().sum::<usize>() >= declared().len(), "{:?}", laws.checked);
}

/// A file with a component that no `mod` line names is not in the program.
#[test]
fn every_component_file_is_in_the_program() {
    let known: BTreeSet<&str> = catalogue::list().iter().map(|listing| listing.file).collect();
    let declared = declared();
    assert!(declared.len() > 20, "only {} files found: is the search broken?", declared.len());
    for file in declared {
        assert!(known.contains(file.as_str()), "{file} declares a component, but no `mod` line names it");
    }
}

/// Files of the house that declare a component.
fn declared() -> Vec<String> {
    let mut found = Vec::new();
    search(Path::new("src/components"), &mut found);
    found
}

fn search(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            search(&entry, found);
        } else if fs::read_to_string(&entry).unwrap().lines().any(|line| line == "component! {") {
            found.push(entry.to_string_lossy().replace('\\', "/"));
        }
    }
}
