//! What was measured on the runs of a sweep after it had ended, taken into its table.

use std::{io, path::Path};

use super::{
    FolderError, RunOverview, SweepFolder,
    columns::{RUNS, number},
    read, write_atomic,
};

/// What stands around the name of a metric in the header.
const LAST: (&str, &str) = ("metric.", ".last");

/// Makes the columns of last values in the `runs.csv` of the sweep folder `path` again from the run folders in
/// `runs`; everything else stays as it is. Locks the folder meanwhile.
pub fn refresh_metrics(path: &Path, runs: &Path) -> Result<(), FolderError> {
    let folder = SweepFolder::open(path)?;
    let at = |error: io::Error| FolderError::Io(path.to_path_buf(), error);
    let file = folder.path().join(RUNS.file);
    let table = refreshed(&file, runs).map_err(at)?;
    table.map_or(Ok(()), |bytes| write_atomic(&file, &bytes).map_err(at))
}

fn refreshed(file: &Path, runs: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(bytes) = read::bytes(file).map_err(io::Error::other)? else { return Ok(None) };
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>()?;
    let Some(id) = header.iter().position(|name| name == "run_id") else { return Ok(None) };
    let is_last = |name: &String| name.starts_with(LAST.0) && name.ends_with(LAST.1);
    let standing: Vec<RunOverview> = rows.iter().map(|row| RunOverview::read(&runs.join(&row[id]))).collect();
    // In the order of the runs, as the sweep writes them; then what only the table knows.
    let measured = standing.iter().flat_map(|s| &s.metrics).map(|(name, _)| name.as_str());
    let stored = header.iter().filter(|name| is_last(name));
    let mut metrics: Vec<&str> = Vec::new();
    for name in measured.chain(stored.map(|name| &name[LAST.0.len()..name.len() - LAST.1.len()])) {
        if !metrics.contains(&name) {
            metrics.push(name);
        }
    }
    let first = header.iter().position(is_last).unwrap_or(header.len());
    let (before, after): (Vec<usize>, Vec<usize>) =
        (0..header.len()).filter(|&i| !is_last(&header[i])).partition(|&i| i < first);
    let column = |metric: &str| format!("{}{metric}{}", LAST.0, LAST.1);
    let cell = |row: &csv::StringRecord, standing: &RunOverview, metric: &str| {
        let new = standing.measurements(metric).last().map(|m| number(m.value));
        let old = || header.iter().position(|name| *name == column(metric)).map(|i| row[i].to_owned());
        new.or_else(old).unwrap_or_default()
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = |places: &[usize]| places.iter().map(|&i| header[i].clone()).collect::<Vec<_>>();
    let columns: Vec<String> = metrics.iter().map(|metric| column(metric)).collect();
    writer.write_record([names(&before), columns, names(&after)].concat())?;
    for (row, standing) in rows.iter().zip(&standing) {
        let own = |places: &[usize]| places.iter().map(|&i| row[i].to_owned()).collect::<Vec<_>>();
        let values: Vec<String> = metrics.iter().map(|metric| cell(row, standing, metric)).collect();
        writer.write_record([own(&before), values, own(&after)].concat())?;
    }
    writer.into_inner().map(Some).map_err(|e| io::Error::other(e.to_string()))
}
