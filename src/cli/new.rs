//! `ijepa-run new KIND NAME [--crate DIR]`

use std::path::{Path, PathBuf};

use clap::{Args, builder::PossibleValuesParser};

use super::{Exit, print};
use crate::scaffold::{self, Home, Order, SKELETONS, Written};

#[derive(Args, Debug)]
pub(crate) struct NewArgs {
    /// What kind of component.
    #[arg(value_parser = PossibleValuesParser::new(SKELETONS.map(|s| s.kind)))]
    kind: String,
    /// The name to be written in experiment files, such as left_half.
    name: String,
    /// Put it into a crate of your own in this folder, which is made if it is not there. Left out: into the
    /// repository or crate in which you stand.
    #[arg(long = "crate", value_name = "DIR")]
    own_crate: Option<PathBuf>,
    /// The repository of ijepa-run, on which a new crate depends. Left out: the one this program was built in.
    #[arg(long, value_name = "DIR", requires = "own_crate")]
    source: Option<PathBuf>,
}

/// Writes the skeleton of a component and says what comes next.
pub(crate) fn new(args: &NewArgs) -> Exit {
    let here = match std::env::current_dir() {
        Ok(here) => here,
        Err(e) => {
            print::stderr(&format!("error: the current folder cannot be found: {e}"));
            return Exit::Failed;
        }
    };
    let order = Order {
        kind: &args.kind,
        name: &args.name,
        here: &here,
        own_crate: args.own_crate.as_deref(),
        source: args.source.as_deref(),
    };
    match scaffold::write(&order) {
        Ok(written) => print::stdout(&report(&order, &written)),
        Err(message) => {
            print::stderr(&format!("error: {message}"));
            Exit::Config
        }
    }
}

/// A path as somebody in `here` types it.
fn shown(path: &Path, here: &Path) -> String {
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

fn report(order: &Order, written: &Written) -> String {
    let show = |path: &Path| shown(path, order.here);
    let mut text: String = written.files.iter().map(|file| format!("wrote {}\n", show(file))).collect();
    text += &format!("added `mod {};` to {}\n", order.name, show(&written.declared_in));
    text += "\nIt compiles and runs as it is. To be filled in:\n";
    if let Some(component) = written.files.last() {
        let line = |(n, what): &(usize, String)| format!("  {}:{n}: {what}\n", show(component));
        text.extend(written.to_do.iter().map(line));
    }
    text + "\nThen:\n" + &next(order, written)
}

/// The commands that come next, each with what it does.
fn next(order: &Order, written: &Written) -> String {
    let Order { kind, name, here, .. } = order;
    let root = written.home.folder();
    let (laws, source) = match &written.home {
        Home::Repository(root) => ("cargo test --release --test laws", Some(root)),
        Home::OwnCrate(_) => ("cargo test --release", None),
        Home::NewCrate { source, .. } => ("cargo test --release", Some(source)),
    };
    let quickstart = source.map(|folder| shown(&folder.join("experiments/quickstart.yaml"), here));
    let file = quickstart.unwrap_or_else(|| "EXPERIMENT.yaml".into());
    let skeleton = scaffold::SKELETONS.iter().find(|s| s.kind == *kind);
    let quoted = |change: String| if change.contains('[') { format!("'{change}'") } else { change };
    let changes: Vec<String> = skeleton.into_iter().flat_map(|s| s.changes(name)).map(quoted).collect();
    let mut lines = vec![
        [laws.to_owned(), "the promises of its kind".to_owned()],
        [format!("cargo run --release -- components {kind} {name}"), "what users will read".into()],
        [format!("cargo run --release -- {file} {}", changes.join(" ")), "a run with it".into()],
    ];
    if !std::path::absolute(root).is_ok_and(|root| here.starts_with(root)) {
        lines.insert(0, [format!("cd {}", shown(root, here)), String::new()]);
    }
    print::columns(&lines)
}
