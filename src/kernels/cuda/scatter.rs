//! Adding rows where indices say, in a fixed order: the backward of a gather.
//!
//! Thousands of rows can go to one (a mask token), so the host plans a tree: rows are first added in
//! lists of at most [`LONGEST`], then those sums, until one list per row is left. Indices are known
//! forward and needed backward: threads of the pool plan meanwhile.

use std::sync::{Arc, OnceLock};

use super::super::NONE;
use super::gpu::{Done, Gpu};
use super::launch::{Arg, Grid};
use super::values::At;

/// Rows that one sum adds.
const LONGEST: u32 = 64;

/// Threads of a block that adds rows; it strides over the columns.
const THREADS: usize = 128;

/// One stage: output `map[l]` is the sum of the inputs `list[starts[l]..starts[l + 1]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stage {
    starts: Vec<u32>,
    list: Vec<u32>,
    map: Vec<u32>,
}

/// Where rows are to be added.
pub struct Scatter {
    index: Vec<u32>,
    stages: OnceLock<Vec<Stage>>,
}

impl Scatter {
    /// Sends row `i` to `index[i]`; rows of index [`NONE`] go nowhere.
    pub fn new(index: &[u32]) -> Arc<Scatter> {
        let scatter = Arc::new(Scatter { index: index.to_vec(), stages: OnceLock::new() });
        let ahead = scatter.clone();
        rayon::spawn(move || {
            ahead.stages();
        });
        scatter
    }

    /// Planned here if no thread has begun to.
    fn stages(&self) -> &[Stage] {
        self.stages.get_or_init(|| plan(&self.index))
    }
}

/// The stages that send row `i` to `index[i]`; rows of index [`NONE`] go nowhere.
fn plan(index: &[u32]) -> Vec<Stage> {
    let (mut list, mut starts, map) = sorted(index);
    let mut stages = Vec::new();
    while starts.windows(2).any(|s| s[1] - s[0] > LONGEST) {
        let mut parts = vec![0];
        let mut firsts = vec![0];
        for range in starts.windows(2) {
            let ends =
                (range[0]..range[1]).step_by(LONGEST as usize).map(|from| range[1].min(from + LONGEST));
            parts.extend(ends);
            firsts.push(parts.len() as u32 - 1);
        }
        let sums = parts.len() as u32 - 1;
        let every: Vec<u32> = (0..sums).collect();
        stages.push(Stage { starts: parts, list, map: every.clone() });
        (list, starts) = (every, firsts);
    }
    stages.push(Stage { starts, list, map });
    stages
}

/// Rows in the order of where they go, where each destination's rows start, and the destinations.
pub fn sorted(index: &[u32]) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let kept = || index.iter().enumerate().filter(|(_, to)| **to != NONE);
    let mut counts = vec![0u32; kept().map(|(_, to)| *to as usize + 1).max().unwrap_or(0)];
    kept().for_each(|(_, to)| counts[*to as usize] += 1);
    let map: Vec<u32> = (0..counts.len() as u32).filter(|to| counts[*to as usize] > 0).collect();
    let (mut starts, mut next) = (vec![0], vec![0; counts.len()]);
    for to in &map {
        let start = starts[starts.len() - 1];
        next[*to as usize] = start;
        starts.push(start + counts[*to as usize]);
    }
    let mut list = vec![0; starts[starts.len() - 1] as usize];
    for (row, to) in kept() {
        let place = &mut next[*to as usize];
        list[*place as usize] = row as u32;
        *place += 1;
    }
    (list, starts, map)
}

impl Gpu {
    /// `to[index[i]] += from[i]` for rows of d values.
    pub fn scatter_add(&self, from: At, scatter: &Scatter, to: At, d: usize) -> Done<()> {
        let stages = scatter.stages();
        let mut input = Arg::from(from);
        // Sums of earlier stages, alive until the stream has read them.
        let mut sums = Vec::new();
        for (i, stage) in stages.iter().enumerate() {
            let last = i + 1 == stages.len();
            let outputs = stage.map.len();
            let output = if last {
                to.into()
            } else {
                let sum = self.floats(outputs * d)?;
                let at = Arg::from(&sum);
                sums.push(sum);
                at
            };
            let numbers = self.upload(&[&stage.starts[..], &stage.list, &stage.map].concat())?;
            let start = |n: usize| match Arg::from(&numbers) {
                Arg::At(at) => Arg::At(at + 4 * n as u64),
                other => other,
            };
            let (list, map) = (start(stage.starts.len()), start(stage.starts.len() + stage.list.len()));
            let args = [input, start(0), list, map, output, d.into(), last.into()];
            self.launch("sum_rows", Grid::blocks(outputs, 1, THREADS), &args)?;
            input = output;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Carries out the stages on numbers.
    fn apply(stages: &[Stage], values: &[f64], rows: usize) -> Vec<f64> {
        let mut input = values.to_vec();
        for (i, stage) in stages.iter().enumerate() {
            let length = if i + 1 == stages.len() { rows } else { stage.map.len() };
            let mut output = vec![0.0; length];
            for (l, to) in stage.map.iter().enumerate() {
                let list = &stage.list[stage.starts[l] as usize..stage.starts[l + 1] as usize];
                assert!(list.len() <= LONGEST as usize);
                output[*to as usize] = list.iter().map(|i| input[*i as usize]).sum();
            }
            input = output;
        }
        input
    }

    #[test]
    fn every_row_arrives_once() {
        let index: Vec<u32> = (0..9000u32).map(|i| if i % 3 == 0 { 2 } else { i % 5 }).collect();
        let values: Vec<f64> = (0..9000).map(f64::from).collect();
        let mut wanted = vec![0.0; 5];
        index.iter().zip(&values).for_each(|(i, v)| wanted[*i as usize] += v);
        let stages = plan(&index);
        assert_eq!(stages.len(), 3);
        assert_eq!(apply(&stages, &values, 5), wanted);
    }

    #[test]
    fn nothing_and_distinct_rows_take_one_stage() {
        assert_eq!(plan(&[NONE, NONE]), [Stage { starts: vec![0], list: vec![], map: vec![] }]);
        assert_eq!(apply(&plan(&[3, NONE, 1]), &[1.0, 2.0, 4.0], 4), [0.0, 4.0, 0.0, 1.0]);
    }
}
