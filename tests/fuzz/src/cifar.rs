//! CIFAR-10 in its binary form: accepted exactly where every file is whole, byte for byte.

use std::fs;

use ijepa_registry::{image::Split, kinds::LoadContext};
use proptest::prelude::*;

use super::{bytes, experiment::tiny, trial};

/// One label, then 3072 pixels.
const RECORD: usize = 3073;

const NAMES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

/// Edits one of the six files.
pub fn fuzz(cases: u32, seed: u64) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let files: Vec<Vec<u8>> = (0..6).map(|i| (0..4).flat_map(|k| record(i, k)).collect()).collect();
    let dataset = format!("{{ kind: cifar10, path: {} }}", folder.path().display());
    let experiment = tiny(&dataset, 16, 1, &[])?;
    let strategy = (0..6_usize, bytes::edits(2), 0..8_usize, any::<u8>());
    trial::run(cases, seed, &strategy, |(which, edits, records, label)| {
        let mut files = files.clone();
        // Sometimes whole records and a label alone, so that more than lengths is tried.
        match records {
            0..4 => files[which].truncate(records * RECORD),
            4 => files[which][RECORD] = label,
            _ => files[which] = bytes::apply(files[which].clone(), &edits, 0),
        }
        for (name, bytes) in NAMES.iter().zip(&files) {
            fs::write(folder.path().join(name), bytes).map_err(|e| e.to_string())?;
        }
        let loaded = experiment.dataset.object.load(&LoadContext::silent()).map_err(|e| e.to_string());
        match (loaded, files.iter().all(|f| is_whole(f))) {
            (Err(message), false) if message.contains(NAMES[which]) => Ok(()),
            (Err(message), false) => Err(format!("{} is not named: {message}", NAMES[which])),
            (Err(message), true) => Err(format!("right files are refused: {message}")),
            (Ok(_), false) => Err("a wrong file is accepted".into()),
            (Ok(set), true) => {
                trial::accept();
                let whole = |split: &Split, files| split.pixels.in_memory() == Some(&pixels(files)[..]);
                let same = whole(&set.train, &files[..5]) && whole(&set.test, &files[5..]);
                if same { Ok(()) } else { Err("other pixels".into()) }
            }
        }
    })
}

fn record(file: usize, index: usize) -> Vec<u8> {
    let label = ((file + index) % 10) as u8;
    let pixel = |i: usize| (i * 31 + file * 7 + index * 13) as u8;
    std::iter::once(label).chain((0..RECORD - 1).map(pixel)).collect()
}

fn is_whole(file: &[u8]) -> bool {
    !file.is_empty() && file.len().is_multiple_of(RECORD) && file.chunks_exact(RECORD).all(|r| r[0] < 10)
}

fn pixels(files: &[Vec<u8>]) -> Vec<u8> {
    files.iter().flat_map(|f| f.chunks_exact(RECORD).flat_map(|r| r[1..].to_vec())).collect()
}
