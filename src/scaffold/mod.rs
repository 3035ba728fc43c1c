//! Skeletons of components of one's own: a file that compiles, keeps the laws of its kind and says what to fill in,
//! and the one `mod` line, in this repository or in a crate of one's own.

mod home;
mod mod_line;
mod names;
mod skeletons;

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

pub use home::Home;
pub use skeletons::{SKELETONS, Skeleton};

/// A component to be written.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Its kind, such as `loss`.
    pub kind: &'a str,
    /// The name written in YAML.
    pub name: &'a str,
    /// Where somebody stands: the repository or crate around it is taken if `own_crate` names none.
    pub here: &'a Path,
    /// A crate of one's own, there or to be made.
    pub own_crate: Option<&'a Path>,
    /// The repository of `ijepa-run`, on which a crate depends; where the program was built if left out.
    pub source: Option<&'a Path>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// New files, the component last.
    pub files: Vec<PathBuf>,
    /// The file with its `mod` line.
    pub declared_in: PathBuf,
    /// What is to be filled in: line of the component's file, and what.
    pub to_do: Vec<(usize, String)>,
    /// Where it is.
    pub home: Home,
}

/// Writes a component and declares it; no file that is there is replaced, but the `mod` line is added to one. The
/// error says what stands in the way and what to type.
pub fn write(order: &Order) -> Result<Written, String> {
    let skeleton = skeletons::find(order.kind)?;
    names::check(skeleton.kind, order.name)?;
    let home = Home::find(order)?;
    let component = home.component(skeleton, order.name);
    if component.exists() {
        return Err(format!("{} is there already: take another name, or remove it", component.display()));
    }
    let mut files = Vec::new();
    for (path, text) in home.frame()? {
        create(&path, &text)?;
        files.push(path);
    }
    let declared_in = home.declares(skeleton)?;
    mod_line::add(&declared_in, order.name)?;
    let text = home.form(&skeleton.named(order.name));
    create(&component, &text)?;
    files.push(component);
    Ok(Written { files, declared_in, to_do: to_do(&text), home })
}

/// Writes a file that must not be there, and the folders above it.
fn create(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = folder.and_then(|()| File::create_new(path)?.write_all(text.as_bytes()));
    written.map_err(|e| format!("{} cannot be written: {e}", path.display()))
}

/// Lines with `TODO:`, and what stands behind it on them.
fn to_do(text: &str) -> Vec<(usize, String)> {
    let numbered = text.lines().zip(1..);
    numbered.filter_map(|(line, n)| Some((n, line.split_once("// TODO: ")?.1.to_owned()))).collect()
}
