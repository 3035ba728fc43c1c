//! The cells as a CSV file, and what they come to as tables of a page.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
};

use crate::{
    Outcome,
    cells::{Block, Cell, HEAD},
    tables::Counts,
};

type Known = HashMap<usize, (Counts, Option<Counts>)>;

/// The cells that a file holds already.
pub fn read(path: &Path, cells: &[Cell]) -> Known {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let cell = |line: &str| {
        let (index, rest) = line.split_once(',')?;
        let index: usize = index.parse().ok()?;
        // Another plan of cells has other names.
        let numbers = rest.strip_prefix(&cells.get(index)?.to_string())?.strip_prefix(',')?;
        let numbers: Vec<u64> = numbers.split(',').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        let [tables, wrong, right, held, intervals, held_together, families, again, wrong_again] =
            numbers[..]
        else {
            return None;
        };
        let screened = Counts { tables, wrong, right, held, intervals, held_together, families };
        let repeated = Counts { tables: again, wrong: wrong_again, ..Counts::default() };
        Some((index, (screened, (again > 0).then_some(repeated))))
    };
    text.lines().filter_map(cell).collect()
}

/// The file to add cells to.
pub fn open(path: &Path, fresh: bool) -> File {
    let mut options = OpenOptions::new();
    let options = if fresh { options.create(true).write(true).truncate(true) } else { options.append(true) };
    let mut file = options.open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if fresh {
        let counts = "tables,wrong,right,held,intervals,held_together,families,repeated,wrong_again";
        let _ = writeln!(file, "index,{HEAD},{counts}");
    }
    file
}

/// A cell as a line of the file.
pub fn line(index: usize, outcome: &Outcome) -> String {
    let Counts { tables, wrong, right, held, intervals, held_together, families } = outcome.screened;
    let again = outcome.repeated.unwrap_or_default();
    format!(
        "{index},{},{tables},{wrong},{right},{held},{intervals},{held_together},{families},{},{}",
        outcome.cell, again.tables, again.wrong
    )
}

fn percent(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of as f64
}

/// The tables as Markdown.
pub fn report(done: &[Outcome], planned: usize) -> String {
    let tables: u64 = done.iter().map(|o| o.screened.tables + o.repeated.map_or(0, |r| r.tables)).sum();
    let mut text = format!("{} of {planned} cells, {tables} tables\n\n", done.len());
    text += "**False verdicts**, in % of the tables\n\n";
    text += "| block | n | cells | mean | largest of 2,000 | repeated | largest of 40,000 |\n|---|---|---|---|---|---|---|\n";
    for block in [Block::Null, Block::Broken, Block::Margin] {
        for n in [2, 3, 4, 5, 6, 8, 12, 20] {
            text +=
                &false_verdicts(&block.to_string(), &n.to_string(), done, |c| c.block == block && c.n == n);
        }
        text += &false_verdicts(&block.to_string(), "all", done, |c| c.block == block);
    }
    text += &worst(done);
    text += "\n**By shape** (block null), in %: false verdicts, and coverage of 95 % intervals for n = 3 and more\n\n";
    text += "| shape | false, mean | false, largest of 2,000 | mean of an arm: n = 3 | 5 | 8 | 20 | all differences together |\n|---|---|---|---|---|---|---|---|\n";
    let mut shapes: Vec<String> = Vec::new();
    for outcome in done.iter().filter(|o| o.cell.block == Block::Null) {
        let shape = outcome.cell.shape.to_string();
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    shapes.sort();
    shapes.iter().for_each(|shape| text += &coverage(shape, done));
    text += "\n**Power**: `better` for a true difference of one standard deviation of a run, in % of the tables\n\n";
    text += "| shape | pairing | comparisons | baseline breaks | n = 3 | 4 | 5 | 6 | 8 | 12 | 20 |\n|---|---|---|---|---|---|---|---|---|---|---|\n";
    text + &power(done)
}

fn false_verdicts(block: &str, n: &str, done: &[Outcome], chosen: impl Fn(&Cell) -> bool) -> String {
    let cells: Vec<&Outcome> = done.iter().filter(|o| chosen(&o.cell)).collect();
    if cells.is_empty() {
        return String::new();
    }
    let share = |o: &&Outcome| percent(o.screened.wrong, o.screened.tables);
    let mean = cells.iter().map(share).sum::<f64>() / cells.len() as f64;
    let most = cells.iter().map(share).fold(0.0, f64::max);
    let again: Vec<f64> =
        cells.iter().filter_map(|o| o.repeated).map(|r| percent(r.wrong, r.tables)).collect();
    let worst = again.iter().copied().fold(f64::NAN, f64::max);
    let worst = if worst.is_nan() { "-".into() } else { format!("{worst:.2}") };
    format!("| {block} | {n} | {} | {mean:.2} | {most:.2} | {} | {worst} |\n", cells.len(), again.len())
}

/// The repeated cells with the most false verdicts.
fn worst(done: &[Outcome]) -> String {
    let again = |o: &Outcome| o.repeated.map(|r| percent(r.wrong, r.tables));
    let mut cells: Vec<(f64, &Outcome)> = done.iter().filter_map(|o| Some((again(o)?, o))).collect();
    cells.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut text = String::from(
        "\nThe cells with the most false verdicts on the repeat:\n\n| cell | of 2,000 | of 40,000 |\n|---|---|---|\n",
    );
    for (share, outcome) in cells.iter().take(12) {
        let first = percent(outcome.screened.wrong, outcome.screened.tables);
        text += &format!("| {} | {first:.2} | {share:.2} |\n", outcome.cell.to_string().replace(',', ", "));
    }
    text
}

fn coverage(shape: &str, done: &[Outcome]) -> String {
    let cells: Vec<&Outcome> =
        done.iter().filter(|o| o.cell.block == Block::Null && o.cell.shape.to_string() == shape).collect();
    let share = |o: &&Outcome| percent(o.screened.wrong, o.screened.tables);
    let mean = cells.iter().map(share).sum::<f64>() / cells.len() as f64;
    let most = cells.iter().map(share).fold(0.0, f64::max);
    let held = |n: usize| {
        let of_n = cells.iter().filter(|o| o.cell.n == n);
        let (held, all) = of_n.fold((0, 0), |s, o| (s.0 + o.screened.held, s.1 + o.screened.intervals));
        format!("{:.1}", percent(held, all))
    };
    let (together, families) =
        cells.iter().fold((0, 0), |s, o| (s.0 + o.screened.held_together, s.1 + o.screened.families));
    format!(
        "| {shape} | {mean:.2} | {most:.2} | {} | {} | {} | {} | {:.1} |\n",
        held(3),
        held(5),
        held(8),
        held(20),
        percent(together, families)
    )
}

fn power(done: &[Outcome]) -> String {
    let mut rows: Vec<(String, Vec<(usize, f64)>)> = Vec::new();
    for outcome in done.iter().filter(|o| o.cell.block == Block::Power) {
        let Cell { n, pairing, shape, contrasts, breaks, .. } = outcome.cell;
        let row = format!("| {shape} | {pairing} | {contrasts} | {:.0} % |", 100.0 * breaks.0);
        let cell = (n, percent(outcome.screened.right, outcome.screened.tables));
        match rows.iter_mut().find(|(name, _)| *name == row) {
            Some((_, cells)) => cells.push(cell),
            None => rows.push((row, vec![cell])),
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let mut text = String::new();
    for (row, cells) in rows {
        text += &row;
        for n in [3, 4, 5, 6, 8, 12, 20] {
            let share = cells.iter().find(|c| c.0 == n).map_or("-".into(), |c| format!("{:.0}", c.1));
            text += &format!(" {share} |");
        }
        text.push('\n');
    }
    text
}
