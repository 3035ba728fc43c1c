//! The rules of ARCHITECTURE.md that a compiler does not check.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What each layer of `src` may import of the others, bottom-up. `registry` may be imported by all.
/// `src/lib.rs` and the code map of ARCHITECTURE.md list them in this order.
const LAYERS: [(&str, &[&str]); 22] = [
    ("kernels", &[]),
    ("nn", &["kernels"]),
    ("data", &[]),
    ("components", &["kernels", "nn", "data"]),
    ("config", &[]),
    ("sweep", &["config"]),
    ("events", &["config", "sweep"]),
    ("results", &["config", "data", "sweep", "events"]),
    ("sinks", &["data", "events", "results"]),
    ("numerics", &[]),
    ("model", &["kernels", "data"]),
    ("train", &["kernels", "data", "config", "events", "numerics", "model"]),
    ("analysis", &["config", "sweep", "results"]),
    ("report", &["data", "config", "results", "analysis"]),
    ("run", &["kernels", "nn", "data", "config", "sweep", "events", "results", "sinks", "model", "train"]),
    (
        "explore",
        &[
            "data", "config", "events", "results", "sinks", "model", "train", "analysis", "numerics",
            "report", "run",
        ],
    ),
    ("export", &["data", "config", "events", "results", "sinks", "model", "train", "analysis", "run"]),
    ("bench", &["kernels", "nn", "data", "config", "sweep", "results", "model", "train", "run"]),
    ("doctor", &["kernels", "config", "results", "run"]),
    ("scaffold", &[]),
    (
        "cli",
        &[
            "config", "sweep", "events", "results", "sinks", "analysis", "report", "run", "explore",
            "export", "bench", "doctor", "scaffold",
        ],
    ),
    ("main", &[]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            files(&entry, ending, found);
        } else if entry.to_string_lossy().ends_with(ending) {
            found.push(entry);
        }
    }
}

/// Every Rust file below `folder` with its path from there, tests cut off.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = root().join(folder);
    let mut found = Vec::new();
    files(&root, ".rs", &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap().to_string();
        (path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/"), code)
    };
    found.into_iter().map(read).collect()
}

/// `cli/run.rs` and `cli.rs` both belong to `cli`.
fn layer_of(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Code without comments.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|l| !l.starts_with("//"))
}

/// Names after `crate::` or `super::`, also in braces: `use crate::{config::X, data::Y}`.
fn imported(text: &str, from: &str) -> Vec<String> {
    let code: String = code_lines(text).collect::<Vec<_>>().join(" ");
    let mut names = Vec::new();
    for after in code.split(from).skip(1) {
        if let Some(list) = after.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut item)),
                    _ if depth == 0 => item.push(c),
                    _ => {}
                }
            }
            names.push(item);
        } else {
            names.push(after.to_string());
        }
    }
    let first =
        |n: String| n.trim().split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap().to_string();
    names.into_iter().map(first).filter(|n| !n.is_empty()).collect()
}

#[test]
fn layers_import_only_what_stands_below_them() {
    let mut seen = 0;
    for (path, text) in sources("src").iter().filter(|(p, _)| p != "lib.rs") {
        let layer = layer_of(path);
        let allowed =
            LAYERS.iter().find(|(l, _)| *l == layer).unwrap_or_else(|| panic!("src/{path}: no such layer")).1;
        for name in imported(text, "crate::").iter().filter(|n| LAYERS.iter().any(|(l, _)| l == n)) {
            seen += 1;
            assert!(name == layer || allowed.contains(&name.as_str()), "src/{path} imports crate::{name}");
        }
    }
    assert!(seen > 50, "only {seen} imports found: is the search broken?");
}

/// Lines of a file below the root.
fn lines_of(file: &str) -> Vec<String> {
    fs::read_to_string(root().join(file)).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_order_of_the_layers_is_the_same_wherever_it_is_written() {
    let names: Vec<&str> = LAYERS.iter().map(|(layer, _)| *layer).collect();
    for (at, (layer, allowed)) in LAYERS.iter().enumerate() {
        let below = |name: &&str| names[..at].contains(name);
        assert!(allowed.iter().all(below), "{layer} imports what does not stand below it");
    }
    let layers = &names[..names.len() - 1];
    assert_eq!(names.last(), Some(&"main"));
    let lib = lines_of("src/lib.rs");
    let module = |line: &String| {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')?;
        Some(name.to_owned())
    };
    assert_eq!(lib.iter().filter_map(module).collect::<Vec<_>>(), layers, "src/lib.rs");
    let sorted = lib.windows(2).find(|pair| pair.iter().all(|line| module(line).is_some()));
    assert!(sorted.is_none(), "src/lib.rs: without an empty line between them, a formatter sorts {sorted:?}");
    let row = |line: &String| {
        let name = line.strip_prefix("| `src/")?.split('`').next()?;
        Some(name.trim_end_matches(".rs").to_owned())
    };
    let map: Vec<String> = lines_of("ARCHITECTURE.md").iter().filter_map(row).collect();
    assert_eq!(map, layers, "the code map of ARCHITECTURE.md");
}

/// Circles that are left, each a knot of few files that are read together.
const KNOTS: [(&str, &[&str]); 7] = [
    ("analysis", &["compare", "contrast", "images", "metric", "notes", "verdict"]),
    ("components/probes/linear", &["curvature", "logistic_optimum", "shares"]),
    (
        "config",
        &[
            "build",
            "change",
            "checks",
            "collapse",
            "data",
            "error",
            "experiment",
            "layers",
            "overrides",
            "parts",
            "scarce",
            "schedules",
            "surroundings",
        ],
    ),
    ("kernels/cpu", &["bf16", "block", "factor", "gemm", "mlp"]),
    ("kernels/cuda", &["address", "gpu"]),
    ("model", &["jepa", "terms"]),
    (
        "sweep",
        &[
            "axes",
            "budget",
            "builder",
            "early",
            "early_section",
            "exclude",
            "metric",
            "plan",
            "points",
            "sweep_file",
        ],
    ),
];

/// Files that `from` imports, directly or through others; itself only if it is part of a circle.
fn reached<'a>(imports: &'a [(String, Vec<String>)], from: &str) -> Vec<&'a String> {
    let of = |name: &str| -> Vec<&'a String> {
        let own = imports.iter().filter(|(n, _)| n == name);
        own.flat_map(|(n, all)| all.iter().filter(move |i| *i != n)).collect()
    };
    let mut reached: Vec<&String> = Vec::new();
    let mut open: Vec<&String> = of(from);
    while let Some(next) = open.pop() {
        if !reached.contains(&next) {
            reached.push(next);
            open.extend(of(next));
        }
    }
    reached
}

/// `mod.rs` is not counted: it holds what all files of the folder share, and calls them.
#[test]
fn files_of_a_folder_do_not_import_each_other_in_circles() {
    let all = sources("src");
    let folder_of = |path: &str| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let mut folders: Vec<String> = all.iter().map(|(path, _)| folder_of(path)).collect();
    folders.dedup();
    let mut seen = 0;
    for folder in folders.iter().filter(|folder| !folder.is_empty()) {
        let stem = |path: &str| path.rsplit('/').next().unwrap().trim_end_matches(".rs").to_owned();
        let files = all.iter().filter(|(path, _)| folder_of(path) == *folder && !path.ends_with("/mod.rs"));
        let files: Vec<(String, &String)> = files.map(|(path, text)| (stem(path), text)).collect();
        let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        let siblings = |text: &str| -> Vec<String> {
            imported(text, "super::").into_iter().filter(|name| names.contains(name)).collect()
        };
        let imports: Vec<(String, Vec<String>)> =
            files.iter().map(|(name, text)| (name.clone(), siblings(text))).collect();
        seen += imports.iter().map(|(_, imports)| imports.len()).sum::<usize>();
        let left: Vec<&String> = imports
            .iter()
            .map(|(name, _)| name)
            .filter(|name| reached(&imports, name).contains(name))
            .collect();
        let known = KNOTS.iter().find(|(of, _)| of == folder).map_or(&[][..], |(_, knot)| knot);
        let new: Vec<_> = left.iter().filter(|name| !known.contains(&name.as_str())).collect();
        assert!(new.is_empty(), "files of src/{folder} import each other in a circle: {left:?}");
    }
    assert!(seen > 100, "only {seen} imports found: is the search broken?");
}

#[test]
fn no_component_imports_another_one() {
    let all = sources("src/components");
    let (mut kinds, mut seen) = (Vec::new(), 0);
    for (path, _) in &all {
        let parts: Vec<&str> = path.split('/').collect();
        if let [kind, name, ..] = parts[..] {
            kinds.push((kind.to_owned(), name.trim_end_matches(".rs").to_owned()));
        }
    }
    for (path, text) in &all {
        let parts: Vec<&str> = path.split('/').collect();
        let [kind, file] = parts[..] else { continue };
        let own = file.trim_end_matches(".rs");
        let siblings =
            imported(text, "super::").into_iter().filter(|name| kinds.contains(&(kind.into(), name.clone())));
        for sibling in siblings.filter(|name| own != "mod" && name != own) {
            seen += 1;
            assert_eq!(sibling, "shared", "src/components/{path} imports the component `{sibling}`");
        }
    }
    for (path, text) in &all {
        for after in code_lines(text).flat_map(|line| line.split("crate::components::").skip(1)) {
            let kind = path.split('/').next().unwrap();
            let own = path.split('/').nth(1).unwrap_or_default().trim_end_matches(".rs");
            let allowed = [format!("{kind}::shared"), format!("{kind}::{{shared"), format!("{kind}::{own}")];
            assert!(allowed.iter().any(|a| after.starts_with(a)), "src/components/{path} imports {after}");
        }
    }
    assert!(seen > 3, "only {seen} imports found: is the search broken?");
}

#[test]
fn only_kernels_hold_unsafe_code() {
    let mut reasons = 0;
    // The fault shim lives in another program and stands between it and the kernel: no safe code can.
    let foreign = ["cuda-shim/src", "tests/faults/shim/src"];
    let own = ["src", "registry/src", "tests/plugin/src", "tests/faults/src", "tests/fuzz/src"];
    for folder in own.into_iter().chain(foreign) {
        for (path, text) in sources(folder) {
            let uses = code_lines(&text).filter(|l| l.contains("unsafe ")).count();
            let may = foreign.contains(&folder) || (folder == "src" && layer_of(&path) == "kernels");
            assert!(uses == 0 || may, "{folder}/{path} holds unsafe code");
            if uses > 0 {
                let explained = text.matches("SAFETY:").count() + text.matches("# Safety").count();
                assert!(explained > 0, "{folder}/{path}: unsafe without a SAFETY comment");
                reasons += explained;
            }
        }
    }
    assert!(reasons > 0);
}

#[test]
fn only_the_command_line_and_the_progress_display_print() {
    for folder in ["src", "registry/src"] {
        for (path, text) in sources(folder) {
            let may = path.starts_with("cli/") || path == "sinks/progress.rs";
            let prints = |l: &str| ["println!", "print!(", "eprint!(", "dbg!("].iter().any(|p| l.contains(p));
            assert!(may || !code_lines(&text).any(prints), "{folder}/{path} prints");
        }
    }
}

#[test]
fn pure_layers_touch_no_file_clock_or_environment() {
    for (path, text) in sources("src") {
        let forbidden: &[&str] = match layer_of(&path) {
            "config" | "sweep" => &["std::fs", "std::env", "std::time", "dfdx"],
            "events" | "analysis" => &["std::env", "dfdx"],
            "results" | "sinks" => &["dfdx"],
            "report" => &["std::env", "std::time", "dfdx"],
            "train" | "model" | "nn" => &["std::fs", "std::env", "std::time"],
            _ => &[],
        };
        for word in forbidden {
            assert!(!code_lines(&text).any(|l| l.contains(word)), "src/{path} uses {word}");
        }
    }
}

#[test]
fn only_the_catalogue_reads_inventory() {
    for (path, text) in sources("src") {
        assert!(!code_lines(&text).any(|l| l.contains("inventory::")), "src/{path} reads inventory");
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let members =
        [".", "registry", "cuda-shim", "tests/plugin", "tests/faults", "tests/faults/shim", "tests/fuzz"];
    for manifest in members.map(|member| format!("{member}/Cargo.toml")) {
        let text = fs::read_to_string(root().join(&manifest)).unwrap();
        let (mut in_list, mut explained) = (false, false);
        for line in text.lines() {
            match line.trim() {
                l if l.starts_with('[') => in_list = l.contains("dependencies"),
                "" => explained = false,
                l if l.starts_with('#') => explained = true,
                l if in_list && !l.contains("workspace = true") => {
                    assert!(explained, "{manifest}: no reason above `{l}`");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_experiment_states_its_claim() {
    let mut found = Vec::new();
    files(&root().join("experiments"), ".yaml", &mut found);
    assert!(found.len() >= 3);
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        for field in ["# Question:", "# Command:", "# Time:", "# Numbers:", "# Source:"] {
            assert!(text.contains(field), "{} lacks `{field}`", path.display());
        }
    }
}

#[test]
fn every_experiment_passes_check() {
    let mut found = Vec::new();
    files(&root().join("experiments"), ".yaml", &mut found);
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_ijepa-run")).arg("check").args(&found).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn results_readme_describes_every_column() {
    let text = fs::read_to_string(root().join("results/README.md")).unwrap();
    use ijepa_run::results::columns::{COMPARISON_TABLES, PREDICTIONS, SWEEP_TABLES, TABLES};
    for table in TABLES.iter().chain([&PREDICTIONS]).chain(&COMPARISON_TABLES).chain(&SWEEP_TABLES) {
        assert!(text.contains(&format!("## `{}`", table.file)), "{}", table.file);
        for column in table.columns {
            let unit = if column.unit.is_empty() { "" } else { column.unit };
            let line = format!("| `{}` | {} | {} |", column.name, unit, column.meaning);
            assert!(text.contains(&line), "results/README.md lacks the line\n{line}");
        }
    }
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    for folder in ["src", "registry/src", "cuda-shim", "scripts", "tests", "benches", "experiments"] {
        let mut found = Vec::new();
        files(&root().join(folder), "", &mut found);
        for path in found.iter().filter(|p| p.file_name().is_some_and(|n| n != "tidy.rs")) {
            let bytes = fs::read(path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for word in ["/root/", "/home/", "/work/", "/Users/"] {
                assert!(!text.contains(word), "{} names {word}", path.display());
            }
        }
    }
}
