//! Where a component goes: into the repository of the program, or into a crate of one's own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Order, Skeleton, skeletons::of_the_house};

/// The package that a component becomes part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// The repository of the program.
    Repository(PathBuf),
    /// A crate that depends on the program.
    OwnCrate(PathBuf),
    /// A crate that is yet to be made.
    NewCrate {
        /// Its folder.
        folder: PathBuf,
        /// The repository of the program.
        source: PathBuf,
    },
}

impl Home {
    /// The crate that was named, or what is found from `here` upwards.
    pub(super) fn find(order: &Order) -> Result<Home, String> {
        let Some(folder) = order.own_crate else { return around(order.here, order) };
        if let Some(home) = at(folder) {
            return Ok(home);
        }
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
            let help = "an empty folder or a new one, or a crate that depends on `ijepa-registry`";
            return Err(format!("{} is neither\n  help: allowed: {help}", folder.display()));
        }
        Ok(Home::NewCrate { folder: folder.to_owned(), source: source(order.source)? })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        match self {
            Home::Repository(folder) | Home::OwnCrate(folder) | Home::NewCrate { folder, .. } => folder,
        }
    }

    /// The file of a component.
    pub(super) fn component(&self, skeleton: &Skeleton, name: &str) -> PathBuf {
        self.folder_of(skeleton).join(format!("{name}.rs"))
    }

    fn folder_of(&self, skeleton: &Skeleton) -> PathBuf {
        match self {
            Home::Repository(root) => root.join("src/components").join(skeleton.folder),
            Home::OwnCrate(folder) | Home::NewCrate { folder, .. } => folder.join("src"),
        }
    }

    /// The file that declares its modules.
    pub(super) fn declares(&self, skeleton: &Skeleton) -> Result<PathBuf, String> {
        let names: &[&str] = match self {
            Home::Repository(_) => &["mod.rs"],
            _ => &["lib.rs", "main.rs"],
        };
        let folder = self.folder_of(skeleton);
        let there = names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        there.ok_or_else(|| format!("{} has no {}", folder.display(), names.join(" and no ")))
    }

    /// What a crate needs around its components: path and text of every file. Empty where all is there.
    pub(super) fn frame(&self) -> Result<Vec<(PathBuf, String)>, String> {
        let Home::NewCrate { folder, source } = self else { return Ok(Vec::new()) };
        let manifest = manifest(folder, source)?;
        Ok(vec![(folder.join("Cargo.toml"), manifest), (folder.join("src/main.rs"), MAIN.into())])
    }

    /// The text of a component as it is written there.
    pub(super) fn form(&self, text: &str) -> String {
        match self {
            Home::Repository(_) => of_the_house(text),
            _ => text.to_owned(),
        }
    }
}

fn around(here: &Path, order: &Order) -> Result<Home, String> {
    here.ancestors().find_map(at).ok_or_else(|| {
        let line = format!("ijepa-run new {} {} --crate my-ijepa", order.kind, order.name);
        format!(
            "{} is not in the repository of ijepa-run, nor in a crate that depends on it\n  help: make a crate of your \
             own: {line}",
            here.display()
        )
    })
}

/// The package of this folder, if components can be added to it.
fn at(folder: &Path) -> Option<Home> {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let mut lines = manifest.lines().map(str::trim);
    let dependency = |line: &str| {
        let line = line.strip_prefix("[dependencies.").unwrap_or(line);
        line.strip_prefix("ijepa-registry").is_some_and(|rest| rest.starts_with([' ', '=', '.', ']']))
    };
    if lines.clone().any(|line| line == "name = \"ijepa-run\"") && folder.join("src/components").is_dir() {
        return Some(Home::Repository(folder.to_owned()));
    }
    lines.any(dependency).then(|| Home::OwnCrate(folder.to_owned()))
}

/// The repository of the program: as named, or where this program was built.
pub(super) fn source(named: Option<&Path>) -> Result<PathBuf, String> {
    let folder = named.unwrap_or(Path::new(env!("CARGO_MANIFEST_DIR")));
    let missing = |e: std::io::Error| {
        let help = "name the folder of the repository: --source DIR";
        format!("the source of ijepa-run is not in {}: {e}\n  help: {help}", folder.display())
    };
    fs::metadata(folder.join("registry/Cargo.toml")).map_err(missing)?;
    fs::canonicalize(folder).map_err(missing)
}

const MAIN: &str = include_str!("skeletons/main.rs.txt");

/// `Cargo.toml` of a crate in `folder`.
fn manifest(folder: &Path, source: &Path) -> Result<String, String> {
    let quoted = |path: PathBuf| {
        let text = path.to_str().map(|text| text.replace('\\', "\\\\").replace('"', "\\\""));
        text.ok_or_else(|| format!("{} cannot be written into Cargo.toml: it is not UTF-8", path.display()))
    };
    let text = include_str!("skeletons/Cargo.toml.txt");
    let text = text.replace("NAME", &package_name(folder));
    let text = text.replace("REGISTRY", &quoted(source.join("registry"))?);
    Ok(text.replace("SOURCE", &quoted(source.to_owned())?).replace("PROFILES", profiles()))
}

/// The `[profile]` sections of the program's own `Cargo.toml`: they are its end.
fn profiles() -> &'static str {
    let own = include_str!("../../Cargo.toml");
    own.find("[profile.").map_or("", |at| own[at..].trim_end())
}

/// A package name from the name of the folder.
fn package_name(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches('-');
    let taken = ["ijepa-run", "ijepa-registry", "ijepa", "test", "core", "std", "dfdx", "serde", "schemars"];
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && !taken.contains(&name) {
        return name.to_owned();
    }
    format!("my-{}", if name.is_empty() { "ijepa" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_two_dependencies_and_the_profiles_of_the_program() {
        let text = manifest(Path::new("/x/My Own"), Path::new("/y/a \"b\"")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.contains(&"name = \"my-own\"") && lines.contains(&"[workspace]"), "{text}");
        let dependencies = text.split("[dependencies]\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let dependencies: Vec<&str> = dependencies.lines().filter(|l| !l.starts_with('#')).collect();
        let expected = [
            "ijepa-registry = { path = \"/y/a \\\"b\\\"/registry\" }",
            "ijepa-run = { path = \"/y/a \\\"b\\\"\" }",
        ];
        assert_eq!(dependencies, expected);
        let sections = profiles().lines().filter(|l| l.starts_with('['));
        assert!(sections.clone().count() >= 3 && sections.clone().all(|l| l.starts_with("[profile.")));
        assert!(text.contains("opt-level = 1") && !text.contains("PROFILES"), "{text}");
    }

    #[test]
    fn package_names_are_such_that_cargo_takes_them() {
        let names = ["my-ijepa", "/a/My Masks", "/a/3d", "ijepa-run", "/", "Ä"];
        let packages = ["my-ijepa", "my-masks", "my-3d", "my-ijepa-run", "my-ijepa", "my-ijepa"];
        assert_eq!(names.map(|name| package_name(Path::new(name))), packages);
    }
}
