//! How often verdicts are wrong: tables of runs are drawn by chance and judged as `compare` judges them.
//!
//! ```text
//! cargo bench --bench verdicts                          every cell, 2,000 tables each
//! cargo bench --bench verdicts -- --csv cells.csv       keep the cells; the same command goes on from there
//! cargo bench --bench verdicts -- --minutes 5           stop after so long and sum up what there is
//! ```
//!
//! Cells with false verdicts in more than 5.5 % of their tables are repeated with 40,000 new ones.

mod cells;
mod summary;
mod tables;

use std::{
    collections::HashMap,
    io::Write,
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use rayon::prelude::*;

use cells::{Block, Cell};
use tables::{Counts, Simulation};

const SCREENED: u64 = 2_000;
const REPEATED: u64 = 40_000;
/// Share of false verdicts above which a cell is repeated.
const SUSPECT: f64 = 0.055;
const STRIDE: usize = 37;
/// Tables of one random stream.
const PART: u64 = 500;

/// A cell and what came of it.
pub struct Outcome {
    pub cell: Cell,
    pub screened: Counts,
    pub repeated: Option<Counts>,
}

struct Options {
    csv: Option<PathBuf>,
    end: Option<Instant>,
}

fn main() {
    let options = options();
    let cells = cells::all();
    let known = options.csv.as_ref().map_or_else(HashMap::new, |path| summary::read(path, &cells));
    let file = options.csv.as_ref().map(|path| Mutex::new(summary::open(path, known.is_empty())));
    let late = || options.end.is_some_and(|end| Instant::now() > end);
    // Every 37th cell, then the next ones: a run that is cut short has seen all kinds.
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|i| i % STRIDE);
    let outcome = |&index: &usize| {
        if let Some((screened, repeated)) = known.get(&index) {
            return Some(Outcome { cell: cells[index], screened: *screened, repeated: *repeated });
        }
        if late() {
            return None;
        }
        let outcome = judge(index, cells[index]);
        if let Some(file) = &file {
            let _ = writeln!(file.lock().expect("no writer panics"), "{}", summary::line(index, &outcome));
        }
        Some(outcome)
    };
    let done: Vec<Outcome> = order.par_iter().filter_map(outcome).collect();
    println!("{}", summary::report(&done, cells.len()));
}

fn judge(index: usize, cell: Cell) -> Outcome {
    let simulation = Simulation::new(cell);
    let run = |first: u64, tables: u64| {
        let parts: Vec<Counts> = (first..first + tables / PART)
            .into_par_iter()
            .map(|part| simulation.run(index, part, PART))
            .collect();
        let mut all = Counts::default();
        parts.into_iter().for_each(|part| all += part);
        all
    };
    let screened = run(0, SCREENED);
    let suspect = cell.block != Block::Power && screened.wrong as f64 > SUSPECT * screened.tables as f64;
    Outcome { cell, screened, repeated: suspect.then(|| run(1_000, REPEATED)) }
}

/// `--csv FILE` and `--minutes N`; what cargo adds is ignored.
fn options() -> Options {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| Some(arguments.get(arguments.iter().position(|a| a == name)? + 1)?.clone());
    let minutes: Option<f64> = after("--minutes").map(|m| m.parse().expect("--minutes takes a number"));
    Options {
        csv: after("--csv").map(PathBuf::from),
        end: minutes.map(|m| Instant::now() + Duration::from_secs_f64(60.0 * m)),
    }
}
