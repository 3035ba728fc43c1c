//! A table that says which class an image file has: `FILE LABEL` a line.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use ijepa_registry::kinds::DataError;

use super::{
    folder::{Found, Item, many},
    regular::regular_text,
};

/// Labels by file name, as the table writes it.
pub(crate) struct LabelTable {
    path: String,
    labels: BTreeMap<String, String>,
}

impl LabelTable {
    /// Reads a table whose columns are separated by tabs, commas or spaces; further columns are not looked
    /// at. A first line such as `ImageId,PredictionString` is a heading.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let wrong = |what: String| DataError(format!("table of labels `{}`: {what}", path.display()));
        let text = regular_text(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        let mut labels = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let Some((file, label)) = row(line) else {
                return Err(wrong(format!("line {number}, `{line}`, is not FILE LABEL")));
            };
            if number == 1 && is_heading(file) {
                continue;
            }
            let before = labels.insert(file.to_owned(), label.to_owned());
            if before.is_some_and(|before| before != label) {
                return Err(wrong(format!("line {number} gives `{file}` another label than a line above")));
            }
        }
        Ok(LabelTable { path: path.display().to_string(), labels })
    }

    /// Labels every image that was found in `split`; lines without an image are counted.
    pub fn label(&self, split: &Path, found: &mut Found) -> Result<(), DataError> {
        let (mut used, mut missing) = (BTreeSet::new(), Vec::new());
        for item in &mut found.items {
            match self.of(split, item) {
                Some((file, label)) => {
                    used.insert(file);
                    item.class = Some(label.to_owned());
                }
                None => missing.push(format!("`{}`", item.file.display())),
            }
        }
        many(&format!("images have no line in `{}`", self.path), &missing)?;
        let idle = self.labels.len() - used.len();
        if idle > 0 {
            found.left_out.insert(format!("lines of `{}` without an image", self.path), idle);
        }
        Ok(())
    }

    /// By path inside the split, else by name, else by name without its ending.
    fn of(&self, split: &Path, item: &Item) -> Option<(&str, &str)> {
        let text = |p: &Path| p.to_string_lossy().into_owned();
        let file = &item.file;
        let relative = text(file.strip_prefix(split).unwrap_or(file));
        let [name, stem] =
            [file.file_name(), file.file_stem()].map(|n| n.map_or(String::new(), |n| text(n.as_ref())));
        let find = |key: &String| self.labels.get_key_value(key).map(|(k, v)| (k.as_str(), v.as_str()));
        [relative, name, stem].iter().find_map(find)
    }
}

/// Labels that are the numbers 0, 1, ... of the classes in order become their names.
pub(crate) fn numbers_to_names(items: &mut [Item], classes: &BTreeSet<String>) {
    let labels: BTreeSet<&str> = items.iter().filter_map(|i| i.class.as_deref()).collect();
    let numbers: Option<BTreeSet<usize>> = labels.iter().map(|l| l.parse().ok()).collect();
    let named = labels.iter().any(|l| classes.contains(*l));
    let in_order = numbers.is_some_and(|n| !named && n.into_iter().eq(0..classes.len()));
    if in_order {
        let names: Vec<&String> = classes.iter().collect();
        let name = |label: &String| label.parse::<usize>().ok().map(|i| names[i].clone());
        items.iter_mut().for_each(|item| item.class = item.class.as_ref().and_then(name));
    }
}

fn row(line: &str) -> Option<(&str, &str)> {
    let separator = ['\t', ','].into_iter().find(|&c| line.contains(c));
    let (file, rest) = match separator {
        Some(c) => line.split_once(c)?,
        None => line.trim().split_once(char::is_whitespace)?,
    };
    let label = match separator {
        Some('\t') => rest.split('\t').next()?.trim(),
        // `n03995372 85 1 499 272`: class, then a box.
        Some(_) => rest.split(',').next()?.split_whitespace().next()?,
        None => rest.split_whitespace().next()?,
    };
    let file = file.trim();
    (!file.is_empty() && !label.is_empty()).then_some((file, label))
}

fn is_heading(file: &str) -> bool {
    let word = file.to_lowercase();
    ["image", "imageid", "image_id", "file", "filename", "file_name", "name", "id", "path"]
        .contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn table(text: &str) -> Result<LabelTable, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.txt");
        fs::write(&path, text).unwrap();
        LabelTable::read(&path)
    }

    fn label(text: &str, files: &[&str]) -> Result<Vec<String>, DataError> {
        let item = |file: &&str| Item { file: Path::new("val").join(file), class: Some("images".into()) };
        let mut found = Found { items: files.iter().map(item).collect(), ..Found::default() };
        table(text)?.label(Path::new("val"), &mut found)?;
        Ok(found.items.into_iter().filter_map(|i| i.class).collect())
    }

    #[test]
    fn the_usual_forms_are_read() {
        let tiny = "val_0.JPEG\tn03444034\t0\t32\t44\t62\nval_1.JPEG\tn04067472\t52\t55\t57\t59\n";
        assert_eq!(
            label(tiny, &["images/val_1.JPEG", "images/val_0.JPEG"]).unwrap(),
            ["n04067472", "n03444034"]
        );
        let kaggle =
            "ImageId,PredictionString\nv_2,n03995372 85 1 499 272\nv_1,n02481823 1 2 3 4 n02481823 5 6 7 8\n";
        assert_eq!(label(kaggle, &["v_1.JPEG", "v_2.JPEG"]).unwrap(), ["n02481823", "n03995372"]);
        assert_eq!(label("a.jpg 0\nb.jpg   1\n", &["a.jpg", "b.jpg"]).unwrap(), ["0", "1"]);
        assert_eq!(label("x/a.jpg,dog\n", &["x/a.jpg"]).unwrap(), ["dog"]);
    }

    #[test]
    fn images_without_a_line_are_refused_and_lines_without_an_image_counted() {
        let error = label("a.jpg dog\n", &["a.jpg", "b.jpg"]).unwrap_err().0;
        assert!(error.starts_with("1 images have no line in") && error.contains("b.jpg"), "{error}");
        let mut found = Found::default();
        table("a.jpg dog\nb.jpg cat\n").unwrap().label(Path::new("val"), &mut found).unwrap();
        assert_eq!(found.left_out.values().collect::<Vec<_>>(), [&2]);
        assert!(table("a.jpg\n").is_err_and(|e| e.0.contains("line 1, `a.jpg`, is not FILE LABEL")));
        assert!(table("a.jpg dog\na.jpg cat\n").is_err_and(|e| e.0.contains("line 2 gives `a.jpg` another")));
    }

    #[test]
    fn numbers_from_0_on_are_the_classes_in_order() {
        let classes = BTreeSet::from(["n1".to_owned(), "n2".to_owned()]);
        let named = |labels: &[&str]| {
            let item = |l: &&str| Item { file: "a".into(), class: Some(l.to_string()) };
            let mut items: Vec<Item> = labels.iter().map(item).collect();
            numbers_to_names(&mut items, &classes);
            items.into_iter().filter_map(|i| i.class).collect::<Vec<_>>()
        };
        assert_eq!(named(&["1", "0", "1"]), ["n2", "n1", "n2"]);
        assert_eq!(named(&["1", "2"]), ["1", "2"], "counted from 1: not guessed");
        assert_eq!(named(&["n2", "n1"]), ["n2", "n1"]);
    }
}
