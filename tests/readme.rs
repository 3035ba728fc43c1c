//! Every snippet of README.md and CONTRIBUTING.md works as it stands there.

#[allow(dead_code)]
#[path = "runner/program.rs"]
mod program;

use std::{fs, path::Path};

use program::{Folder, Output};

const TEXTS: [&str; 2] = ["README.md", "CONTRIBUTING.md"];

/// Images in place of data that are not there, on the same grid.
const STAND_IN: &str = "dataset={ kind: shapes, image_size: 32, train: 512, test: 64 }";

/// What makes a measurement short.
const SMALL: [&str; 3] = [
    "encoder={ kind: vit, dim: 16, depth: 1, heads: 2 }",
    "predictor={ kind: vit, dim: 16, depth: 1, heads: 2 }",
    "train.batch_size=16",
];

fn root(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// A fenced block: its language, its first line, its text.
struct Block {
    file: &'static str,
    language: String,
    line: usize,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut found = Vec::new();
    for file in TEXTS {
        let text = fs::read_to_string(root(file)).unwrap();
        let mut open: Option<(Block, usize)> = None;
        for (i, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match (line.trim_start().strip_prefix("```"), open.take()) {
                (Some(_), Some((block, _))) => found.push(block),
                (Some(language), None) => {
                    let block = Block { file, language: language.into(), line: i + 2, text: String::new() };
                    open = Some((block, indent));
                }
                (None, Some((mut block, indent))) => {
                    block.text += line.get(indent..).unwrap_or("");
                    block.text.push('\n');
                    open = Some((block, indent));
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{file}: a block is not closed");
    }
    found
}

fn of_language(language: &str) -> Vec<Block> {
    blocks().into_iter().filter(|b| b.language == language).collect()
}

/// A folder with the experiments of the project, and as much of its source as new components are added to.
fn workplace() -> Folder {
    let folder = Folder::new();
    for file in ["Cargo.toml", "src/components/losses/mod.rs", "src/components/regularizers/mod.rs"] {
        let copy = folder.path().join(file);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(root(file), copy).unwrap();
    }
    for sub in ["experiments", "experiments/sweeps"] {
        fs::create_dir_all(folder.path().join(sub)).unwrap();
        for entry in fs::read_dir(root(sub)).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
            fs::copy(&entry, folder.path().join(sub).join(entry.file_name().unwrap())).unwrap();
        }
    }
    folder
}

/// The same with a few finished runs of the names in the texts.
fn with_runs() -> Folder {
    let folder = workplace();
    // A linear probe is what runs are compared by.
    let tiny = fs::read_to_string(folder.path().join("tiny.yaml")).unwrap();
    let tiny = tiny.replace("probes:\n", "probes:\n  - { kind: linear, encoders: [target] }\n");
    fs::write(folder.path().join("tiny.yaml"), tiny).unwrap();
    let sweep = "version: 1\nname: mask-count\nbase: tiny.yaml\n\
                 parameters: { masking.targets: { values: [1, 4] } }\nseeds: 3\n\
                 metric: { name: knn/target/class/top1 }\n";
    fs::write(folder.path().join("sweep.yaml"), sweep).unwrap();
    fs::write(folder.path().join("a.csv"), "seed,arm,acc\n0,a,1.5\n1,a,2.25\n2,a,1.75\n").unwrap();
    fs::create_dir(folder.path().join("pictures")).unwrap();
    image::RgbImage::new(20, 20).save(folder.path().join("pictures/own.png")).unwrap();
    fs::write(folder.path().join("b.csv"), "seed,arm,acc\n0,b,3.5\n1,b,3.25\n2,b,4.75\n").unwrap();
    let baseline = vec!["tiny.yaml", "name=baseline", "encoder.depth=1", "-q"];
    for run in [vec!["tiny.yaml", "name=quickstart", "-q"], baseline, vec!["sweep.yaml", "-q"]] {
        let done = folder.run(&run);
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
    folder
}

/// A sweep whose metric is measured after every epoch, so that arms can be judged on the way.
const JUDGED: &str = "\
version: 1
name: judged
base: ../judged.yaml
parameters: { masking.targets: [1, 2] }
metric: { name: linear/target/colour/top1 }
";

#[test]
fn every_yaml_block_passes_check() {
    let folder = workplace();
    let judged = "extends: quickstart.yaml\nprobes: [{ kind: linear, every: 1, labels: [colour] }]\n";
    fs::write(folder.path().join("experiments/judged.yaml"), judged).unwrap();
    let blocks = of_language("yaml");
    assert!(blocks.len() >= 5, "{}", blocks.len());
    for block in blocks {
        let is_sweep = ["base:", "early_terminate:", "gpus:"].iter().any(|k| block.text.contains(k));
        let (name, text) = match (block.text.contains("version:"), is_sweep) {
            (true, false) => ("experiments/snippet.yaml", block.text.clone()),
            (true, true) => ("experiments/sweeps/snippet.yaml", block.text.clone()),
            (false, false) => ("experiments/snippet.yaml", format!("extends: baseline.yaml\n{}", block.text)),
            (false, true) => ("experiments/sweeps/snippet.yaml", format!("{}\n{JUDGED}", block.text)),
        };
        fs::write(folder.path().join(name), text).unwrap();
        let checked = folder.run(&["check", name]);
        assert_eq!(checked.code, 0, "{}:{}\n{}", block.file, block.line, checked.stderr);
        let warnings = checked.stderr.lines().filter(|l| !l.contains("may take a while"));
        assert_eq!(warnings.count(), 0, "{}:{} is warned of\n{}", block.file, block.line, checked.stderr);
    }
}

/// The words of a command line without its comment, as a shell splits them.
fn words(line: &str) -> Vec<String> {
    let code = line.split(" #").next().unwrap_or("");
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in code.chars().chain([' ']) {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            (' ', None) if word.is_empty() => {}
            (' ', None) => words.push(std::mem::take(&mut word)),
            (c, _) => word.push(c),
        }
    }
    words
}

#[test]
fn every_command_works() {
    let folder = with_runs();
    let mut seen = 0;
    for block in of_language("sh") {
        for (i, line) in block.text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let words = words(line);
            let (program, arguments) = words.split_first().expect("a command");
            let place = format!("{}:{}: {line}", block.file, block.line + i);
            match program.as_str() {
                "ijepa-run" => {
                    seen += 1;
                    works(&folder, arguments, &place);
                }
                "cargo" => known_to_cargo(arguments, &place),
                script => assert!(root(script).is_file(), "{place}"),
            }
        }
    }
    assert!(seen > 25, "{seen} commands");
}

/// Runs a command, or what is quick of it.
fn works(folder: &Folder, arguments: &[String], place: &str) {
    let mut words: Vec<&str> = arguments.iter().take_while(|w| *w != ">").map(String::as_str).collect();
    let files: Vec<String>;
    if let Some(at) = words.iter().position(|w| w.ends_with("*.yaml")) {
        let all = fs::read_dir(folder.path().join("experiments")).unwrap();
        let names = all.map(|e| format!("experiments/{}", e.unwrap().file_name().to_string_lossy()));
        files = names.filter(|n| n.ends_with(".yaml")).collect();
        words.splice(at..=at, files.iter().map(String::as_str));
    }
    if words[0].ends_with(".yaml") {
        // Data that are not there are stood in for; nothing is trained.
        if !words.contains(&"--dry-run") {
            words.push("--dry-run");
        }
        if !words[0].contains("sweeps/") {
            words.push(STAND_IN);
        }
    }
    if words[0] == "why" {
        words.push(STAND_IN);
    }
    if words[0] == "bench" {
        words.retain(|w| !w.starts_with("dataset="));
        words.push(STAND_IN);
        words.extend(SMALL);
        words.extend(["--steps", "1"]);
    }
    let Output { code, stdout, stderr } = folder.run(&words);
    // `doctor` fails where something of the machine is broken, which is no fault of the text.
    assert!(code == 0 || words[0] == "doctor", "{place}\nexit code {code}\n{stdout}{stderr}");
}

/// `cargo run -- FILE`, `cargo test --test NAME`: files and tests are there.
fn known_to_cargo(arguments: &[String], place: &str) {
    let known = ["run", "build", "test", "bench", "install", "doc"];
    assert!(known.contains(&arguments[0].as_str()), "{place}");
    for (flag, name) in arguments.iter().zip(arguments.iter().skip(1)) {
        let exists = match flag.as_str() {
            "--" => root(name).is_file(),
            "--test" => {
                root(&format!("tests/{name}.rs")).is_file()
                    || root(&format!("tests/{name}/main.rs")).is_file()
            }
            _ => true,
        };
        assert!(exists, "{place}");
    }
}

/// The tests that the table of CONTRIBUTING.md names, and the links of both texts.
#[test]
fn links_and_named_tests_are_there() {
    for file in TEXTS {
        let text = fs::read_to_string(root(file)).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|l| !l.starts_with("http")) {
            assert!(root(link.split('#').next().unwrap()).exists(), "{file} links to {link}");
        }
        for row in text.lines().filter(|l| l.starts_with("| `") && l.contains("--test ")) {
            let name = row.split("--test ").nth(1).unwrap().split(['`', ' ', ',']).next().unwrap();
            let place = [format!("tests/{name}.rs"), format!("tests/{name}/main.rs")];
            assert!(place.iter().any(|p| root(p).is_file()), "{file}: {row}");
        }
    }
}

/// What can be named in a file stands in the tables.
#[test]
fn the_tables_name_every_component() {
    let readme = fs::read_to_string(root("README.md")).unwrap();
    let section = |title: &str| {
        let text =
            readme.split(&format!("\n## {title}\n")).nth(1).unwrap_or_else(|| panic!("no section {title}"));
        text.split("\n## ").next().unwrap()
    };
    let words =
        |title| section(title).split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect::<Vec<_>>();
    let [data, inside, measured] = ["Data", "Inside the model", "What is measured"].map(words);
    for part in ijepa_run::registry::catalogue::list() {
        let table = match part.kind {
            "dataset" => &data,
            "probe" => &measured,
            _ => &inside,
        };
        assert!(table.contains(&part.name), "{} `{}` is not in its table", part.kind, part.name);
    }
}

#[test]
fn the_first_block_is_all_the_set_up() {
    let first = blocks().into_iter().next().expect("a block");
    let expected = "cargo run --release -- experiments/quickstart.yaml\ncargo test --release --workspace\n";
    assert_eq!((first.file, first.text.as_str()), ("README.md", expected));
}

/// The component of CONTRIBUTING.md names what the contract has.
#[test]
fn the_example_component_follows_the_contract() {
    let block = of_language("rust").into_iter().find(|b| b.text.contains("component!")).expect("an example");
    let contract = fs::read_to_string(root("registry/src/kinds/masking.rs")).unwrap();
    for line in block.text.lines().filter(|l| l.contains("fn ")) {
        let signature = line.trim().split(" {").next().unwrap();
        assert!(contract.contains(signature), "the trait has no `{signature}`");
    }
}

/// The dependencies that CONTRIBUTING.md lists for a crate of one's own are those of the example and of the
/// workspace.
#[test]
fn the_example_manifest_has_the_versions_of_the_workspace() {
    let block = of_language("toml").into_iter().next().expect("an example");
    let (own, plugin) = (root("Cargo.toml"), root("tests/plugin/Cargo.toml"));
    let (own, plugin) = (fs::read_to_string(own).unwrap(), fs::read_to_string(plugin).unwrap());
    let lines = block.text.lines().filter(|l| !l.starts_with('['));
    for line in lines.filter(|l| !l.contains("path = ")) {
        assert!(own.lines().any(|l| l == line), "{line}");
    }
    let needed = plugin.split("[dependencies]").nth(1).unwrap().split("[dev").next().unwrap();
    for line in needed.lines().filter(|l| l.contains('=')) {
        let name = line.split(['.', ' ']).next().unwrap();
        assert!(block.text.contains(&format!("\n{name} = ")), "{name} is not listed");
    }
}
