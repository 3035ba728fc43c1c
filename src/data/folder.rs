//! Image files below a folder: what is used, what it is labelled with, and what is left out.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use ijepa_registry::kinds::DataError;
use walkdir::{DirEntry, WalkDir};

use super::{decode::READABLE, regular::regular_text};

/// Things named in one error.
const SHOWN: usize = 5;

/// An image file and the name of its class; none without labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its path.
    pub file: PathBuf,
    /// Its class.
    pub class: Option<String>,
}

/// How many things of a kind are not used.
pub type LeftOut = BTreeMap<String, usize>;

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Found {
    /// In order of folder and file name.
    pub items: Vec<Item>,
    /// What lies beside them.
    pub left_out: LeftOut,
}

/// One error for all of `errors`, naming the first few.
pub(crate) fn many(what: &str, errors: &[String]) -> Result<(), DataError> {
    if errors.is_empty() {
        return Ok(());
    }
    let more = errors.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    let shown = errors[..errors.len() - more].join("; ");
    Err(DataError(format!("{} {what}: {shown}{rest}", errors.len())))
}

/// Images below `split`: the class of `CLASS/.../FILE` is `CLASS`. Images that lie in `split` itself are
/// unlabelled if they are all, else left out. Names with a leading dot are passed over. `table` is a file
/// that is read for its labels, wherever it lies.
pub(crate) fn scan(split: &Path, table: Option<&Path>) -> Result<Found, DataError> {
    let mut walk = Walk::default();
    walk.all(split, table)?;
    many("links lead nowhere; mend or remove them", &walk.dead)?;
    let Walk { loose, classes, mut left_out, .. } = walk;
    let empty: Vec<String> = classes
        .iter()
        .filter(|(_, files)| files.is_empty())
        .map(|(name, _)| format!("`{}`", split.join(name).display()))
        .collect();
    let endings = READABLE.join(", ");
    let items: Vec<Item> = match classes.values().all(Vec::is_empty) {
        true => loose.into_iter().map(|file| Item { file, class: None }).collect(),
        false => {
            many(&format!("class folders hold no image ({endings}); add images or remove them"), &empty)?;
            count(&mut left_out, "outside of class folders", loose.len());
            let of = |(class, files): (String, Vec<PathBuf>)| {
                files.into_iter().map(move |file| Item { file, class: Some(class.clone()) })
            };
            classes.into_iter().flat_map(of).collect()
        }
    };
    if items.is_empty() {
        let beside: Vec<String> = left_out.iter().map(|(what, n)| format!("{n} {what}")).collect();
        let beside = if beside.is_empty() { "nothing".into() } else { beside.join(", ") };
        return Err(DataError(format!(
            "`{}`: expected one folder per class with images ({endings}), or images without labels; found none, but {beside}",
            split.display()
        )));
    }
    Ok(Found { items, left_out })
}

/// Every image in a folder, however deep, in the order of their paths, or a single image file. The class of
/// `CLASS/.../FILE` is `CLASS`; an image in the folder itself has none. Unlike in a data set, no image is left
/// out.
pub fn images_below(path: &Path) -> Result<Found, DataError> {
    if path.is_file() {
        let item = Item { file: path.into(), class: None };
        return Ok(Found { items: vec![item], left_out: LeftOut::new() });
    }
    let mut walk = Walk::default();
    walk.all(path, None)?;
    many("links lead nowhere; mend or remove them", &walk.dead)?;
    let Walk { loose, classes, left_out, .. } = walk;
    let of_class = classes.into_iter().flat_map(|(class, files)| {
        files.into_iter().map(move |file| Item { file, class: Some(class.clone()) })
    });
    let mut items: Vec<Item> =
        loose.into_iter().map(|file| Item { file, class: None }).chain(of_class).collect();
    items.sort_by(|a, b| a.file.cmp(&b.file));
    if items.is_empty() {
        let endings = READABLE.join(", ");
        return Err(DataError(format!("`{}`: holds no image ({endings})", path.display())));
    }
    Ok(Found { items, left_out })
}

#[derive(Default)]
struct Walk {
    /// Directly in the folder.
    loose: Vec<PathBuf>,
    /// By the folder at the top.
    classes: BTreeMap<String, Vec<PathBuf>>,
    dead: Vec<String>,
    left_out: LeftOut,
}

impl Walk {
    fn all(&mut self, split: &Path, table: Option<&Path>) -> Result<(), DataError> {
        let hidden = Cell::new(0);
        let shown = |entry: &DirEntry| {
            let passed = is_hidden(entry.path());
            hidden.set(hidden.get() + usize::from(passed));
            !passed
        };
        let walk = WalkDir::new(split).min_depth(1).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(shown) {
            match entry {
                Ok(entry) if table == Some(entry.path()) => {}
                Ok(entry) => self.take(split, &entry),
                Err(error) => self.fail(split, &error)?,
            }
        }
        count(&mut self.left_out, "hidden", hidden.get());
        Ok(())
    }

    fn take(&mut self, split: &Path, entry: &DirEntry) {
        let path = entry.path();
        let top = || {
            let relative = path.strip_prefix(split).unwrap_or(path);
            relative.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned())
        };
        if entry.file_type().is_dir() {
            if entry.depth() == 1 {
                self.classes.entry(top().unwrap_or_default()).or_default();
            }
        } else if !entry.file_type().is_file() {
            count(&mut self.left_out, "not regular files", 1);
        } else if !READABLE.contains(&ending(path).as_str()) {
            let kind = match ending(path) {
                none if none.is_empty() => "without an ending".into(),
                ending => format!(".{ending}"),
            };
            count(&mut self.left_out, &kind, 1);
        } else if entry.depth() == 1 {
            self.loose.push(path.into());
        } else {
            self.classes.entry(top().unwrap_or_default()).or_default().push(path.into());
        }
    }

    fn fail(&mut self, split: &Path, error: &walkdir::Error) -> Result<(), DataError> {
        let path = error.path().unwrap_or(split);
        let is_link = path != split && fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
        if is_link && error.loop_ancestor().is_none() && !path.exists() {
            if !is_hidden(path) {
                self.dead.push(format!("`{}`", path.display()));
            }
            return Ok(());
        }
        let reason = match (error.loop_ancestor(), error.io_error()) {
            (Some(ancestor), _) => format!("this link leads back to `{}`", ancestor.display()),
            (None, Some(io)) => format!("cannot be read: {io}"),
            (None, None) => error.to_string(),
        };
        Err(DataError(format!("`{}`: {reason}; expected PATH/SPLIT/CLASS/FILE", path.display())))
    }
}

fn count(left_out: &mut LeftOut, what: &str, n: usize) {
    if n > 0 {
        *left_out.entry(what.into()).or_default() += n;
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// In lower case, without the dot.
fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Images of a list file, in its order: one path relative to `root` a line, `SPLIT/CLASS/.../FILE`.
pub(crate) fn listed(root: &Path, list: &Path) -> Result<Found, DataError> {
    let text = regular_text(list);
    let text = text.map_err(|e| DataError(format!("list `{}` cannot be read: {e}", list.display())))?;
    let lines = text.lines().zip(1..).map(|(line, number)| (line.trim(), number));
    let (mut items, mut absent) = (vec![], vec![]);
    for (line, number) in lines.filter(|(line, _)| !line.is_empty()) {
        let file = root.join(line);
        let class = class_of(Path::new(line).strip_prefix(root).unwrap_or(Path::new(line)));
        if !file.is_file() || class.is_none() {
            absent.push(format!("line {number}: `{line}`"));
        }
        items.push(Item { file, class });
    }
    let what = format!(
        "entries of `{}` are not files SPLIT/CLASS/FILE inside `{}`; correct the list or `path`",
        list.display(),
        root.display()
    );
    many(&what, &absent)?;
    if items.is_empty() {
        return Err(DataError(format!("list `{}` is empty; write one path a line", list.display())));
    }
    Ok(Found { items, left_out: LeftOut::new() })
}

/// Of `SPLIT/CLASS/.../FILE` or `CLASS/FILE`.
fn class_of(path: &Path) -> Option<String> {
    let names: Vec<_> = path.components().filter(|c| matches!(c, Component::Normal(_))).collect();
    let at = match names.len() {
        0 | 1 => return None,
        2 => 0,
        _ => 1,
    };
    Some(names[at].as_os_str().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[&str]) {
        for file in files {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
    }

    fn names(found: &Found) -> Vec<(String, Option<&str>)> {
        let name = |item: &Item| item.file.file_name().unwrap().to_string_lossy().into_owned();
        found.items.iter().map(|i| (name(i), i.class.as_deref())).collect()
    }

    #[test]
    fn classes_are_the_folders_at_the_top_however_deep_images_lie() {
        let root = tempfile::tempdir().unwrap();
        let files = ["dog/images/b.JPEG", "dog/a.png", "cat/x/y/z/1.webp", "cat/2.BMP", "cat/notes.txt"];
        write(root.path(), &files);
        write(root.path(), &["loose.png", ".cache/a.png", "cat/._1.jpg", "cat/README", "cat/a.gif"]);
        let found = scan(root.path(), None).unwrap();
        let expected = [("2.BMP", "cat"), ("1.webp", "cat"), ("a.png", "dog"), ("b.JPEG", "dog")];
        assert_eq!(names(&found), expected.map(|(n, c)| (n.to_owned(), Some(c))));
        let left: Vec<_> = found.left_out.iter().map(|(what, n)| (what.as_str(), *n)).collect();
        let expected = [
            (".gif", 1),
            (".txt", 1),
            ("hidden", 2),
            ("outside of class folders", 1),
            ("without an ending", 1),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn images_without_folders_are_unlabelled() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["b.png", "a.png", "c.JPG"]);
        let expected = ["a.png", "b.png", "c.JPG"].map(|n| (n.to_owned(), None));
        assert_eq!(names(&scan(root.path(), None).unwrap()), expected);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_or_refused() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["elsewhere/a.png", "split/dog/b.png"]);
        let split = root.path().join("split");
        symlink(root.path().join("elsewhere"), split.join("cat")).unwrap();
        assert_eq!(scan(&split, None).unwrap().items.len(), 2);
        symlink(root.path().join("gone"), split.join("dog/dead.png")).unwrap();
        let error = scan(&split, None).unwrap_err().0;
        assert!(error.starts_with("1 links lead nowhere") && error.contains("dead.png"), "{error}");
        fs::remove_file(split.join("dog/dead.png")).unwrap();
        symlink(&split, split.join("dog/loop")).unwrap();
        assert!(scan(&split, None).unwrap_err().0.contains("leads back to"));
    }

    #[test]
    fn nothing_to_find_says_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["a.gif", "notes.txt"]);
        let error = scan(root.path(), None).unwrap_err().0;
        assert!(error.contains("found none, but 1 .gif, 1 .txt"), "{error}");
        write(root.path(), &["dog/a.png", "cat/notes.txt"]);
        let error = scan(root.path(), None).unwrap_err().0;
        assert!(error.starts_with("1 class folders hold no image") && error.contains("cat"), "{error}");
    }
}
