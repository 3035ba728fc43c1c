//! What probes said of every image, as tables of confusion.

use std::path::Path;

use crate::results::{
    FileError,
    read::{self, TableFile},
};

/// How the names of such files end.
const ENDING: &str = ".predictions.csv";

/// Most values of a label whose confusion is drawn.
const MOST_VALUES: usize = 32;

/// The predictions of a probe at its last measurement.
pub(super) struct Confusion {
    /// Probe, encoder, labels and split, as the file is called.
    pub name: String,
    /// Epoch of the measurement.
    pub epoch: u64,
    /// Values of the label, in the order in which they appear.
    pub values: Vec<String>,
    /// Shares of the images of a value (row) that the probe takes for another (column), 0 to 1.
    pub shares: Vec<Vec<f64>>,
    /// Images, and those that were named rightly.
    pub images: (usize, usize),
}

/// The confusion of every probe that left predictions in the run folder: at this epoch, or at the last of each.
pub(super) fn confusions(folder: &Path, at: Option<u64>) -> Result<Vec<Confusion>, FileError> {
    let mut last: Vec<(String, u64, String)> = Vec::new();
    for file in files(&folder.join("probes")) {
        let Some((name, epoch)) = file.strip_suffix(ENDING).and_then(|stem| stem.rsplit_once("-epoch"))
        else {
            continue;
        };
        let epoch = epoch.parse().unwrap_or(0);
        if at.is_some_and(|at| at != epoch) {
            continue;
        }
        match last.iter_mut().find(|(n, ..)| n == name) {
            Some(entry) if entry.1 < epoch => *entry = (name.to_owned(), epoch, file.clone()),
            Some(_) => {}
            None => last.push((name.to_owned(), epoch, file.clone())),
        }
    }
    let read = |(name, epoch, file): (String, u64, String)| {
        let path = format!("probes/{file}");
        let Some(bytes) = read::file(folder, &path)? else { return Ok(None) };
        let table = TableFile::parse(&folder.join(&path), bytes)?;
        Ok(confusion(name, epoch, &pairs(&table)))
    };
    last.into_iter().map(read).filter_map(Result::transpose).collect()
}

/// Names of the files of a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Label and prediction of every row.
fn pairs(table: &TableFile) -> Vec<(String, String)> {
    let (Some(label), Some(prediction)) = (table.find("label"), table.find("prediction")) else {
        return Vec::new();
    };
    table.rows.iter().map(|row| (row[label].to_owned(), row[prediction].to_owned())).collect()
}

fn confusion(name: String, epoch: u64, pairs: &[(String, String)]) -> Option<Confusion> {
    let mut values: Vec<String> = Vec::new();
    for value in pairs.iter().map(|(label, _)| label).chain(pairs.iter().map(|(_, prediction)| prediction)) {
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    if pairs.is_empty() || values.len() > MOST_VALUES {
        return None;
    }
    let place = |value: &String| values.iter().position(|v| v == value).unwrap_or(0);
    let mut shares = vec![vec![0.0; values.len()]; values.len()];
    for (label, prediction) in pairs {
        shares[place(label)][place(prediction)] += 1.0;
    }
    for row in &mut shares {
        let sum = row.iter().sum::<f64>().max(1.0);
        row.iter_mut().for_each(|share| *share /= sum);
    }
    let right = pairs.iter().filter(|(label, prediction)| label == prediction).count();
    Some(Confusion { name, epoch, values, shares, images: (pairs.len(), right) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_epoch_of_every_probe_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("probes")).expect("a folder");
        let write = |name: &str, rows: &str| {
            let text = format!("image,label,prediction\n{rows}");
            std::fs::write(folder.path().join("probes").join(name), text).expect("a file");
        };
        write("linear-target-class-test-epoch10.predictions.csv", "0,a,b\n1,a,a\n2,b,b\n");
        write("linear-target-class-test-epoch9.predictions.csv", "0,a,b\n");
        write("class_similarity-target-class-test-epoch10.svg", "");
        let found = confusions(folder.path(), None).expect("tables");
        assert_eq!((found.len(), found[0].epoch, found[0].images), (1, 10, (3, 2)));
        assert_eq!(found[0].name, "linear-target-class-test");
        assert_eq!(
            (found[0].values.as_slice(), &found[0].shares),
            (&["a".into(), "b".into()][..], &vec![vec![0.5, 0.5], vec![0.0, 1.0]])
        );
    }
}
