//! Times the three parts of an I-JEPA step at batch 256: `cargo bench --bench kernels -- [threads [rounds [batch [bf16]]]]`.
//!
//! GFLOP/s count useful multiply-adds only, backward as twice forward.

use std::time::Instant;

use dfdx::prelude::*;
use ijepa_registry::tensor::{Rows, Segments};
use ijepa_run::kernels::{Backend, BlockParams, MatmulPrecision, from_host, keep_memory};

/// One part of the step.
struct Part {
    name: &'static str,
    x: Rows<Cpu>,
    blocks: Vec<BlockParams<Cpu>>,
    segments: Segments,
    keep: Option<Vec<u32>>,
    trained: bool,
}

impl Part {
    fn new(
        (name, trained): (&'static str, bool),
        (dim, heads, depth): (usize, usize, usize),
        lengths: impl Iterator<Item = usize>,
        kept: impl Fn(usize) -> bool + Copy,
    ) -> Self {
        let segments = Segments::from_lengths(lengths);
        let values: Vec<f32> = (0..segments.rows() * dim).map(|i| (i as f32 * 0.7).sin()).collect();
        let keep: Vec<u32> = segments
            .ranges()
            .flat_map(|s| s.clone().filter(move |r| kept(r - s.start)).map(|r| r as u32).collect::<Vec<_>>())
            .collect();
        Part {
            name,
            trained,
            x: from_host(&Cpu::default(), values, segments.rows(), dim).unwrap(),
            blocks: (0..depth).map(|_| block(dim, heads)).collect(),
            keep: (keep.len() < segments.rows()).then_some(keep),
            segments,
        }
    }
    fn run(&self) -> f64 {
        let start = Instant::now();
        let keep = self.keep.as_deref();
        if self.trained {
            let y = Cpu::blocks(self.x.leaky_trace(), &self.blocks, &self.segments, keep).unwrap();
            y.sum().backward();
        } else {
            Cpu::blocks(self.x.clone(), &self.blocks, &self.segments, keep).unwrap();
        }
        start.elapsed().as_secs_f64()
    }
    fn gflop(&self) -> f64 {
        let d = self.x.shape().1 as f64;
        let depth = self.blocks.len();
        let mut flop = 0.0;
        for (i, s) in self.segments.ranges().enumerate() {
            let _ = i;
            let n = s.len() as f64;
            let kept = match &self.keep {
                None => n,
                Some(keep) => {
                    (keep.partition_point(|k| (*k as usize) < s.end)
                        - keep.partition_point(|k| (*k as usize) < s.start)) as f64
                }
            };
            let block = |rows: f64| 2.0 * d * (n * 2.0 * d + rows * (2.0 * d + 8.0 * d)) + 4.0 * rows * n * d;
            flop += (depth - 1) as f64 * block(n) + block(kept);
        }
        flop * if self.trained { 3.0 } else { 1.0 } / 1e9
    }
}

fn block(d: usize, heads: usize) -> BlockParams<Cpu> {
    let dev = Cpu::default();
    let flat = |n: usize, scale: f32| {
        let values = (0..n).map(|i| (i as f32 * 1.3 + n as f32).sin() * scale).collect::<Vec<_>>();
        dev.tensor_from_vec(values, (n,))
    };
    let ones = || dev.ones_like(&(d,));
    BlockParams {
        heads,
        eps: 1e-6,
        precision: MatmulPrecision::F32,
        norm1_weight: ones(),
        norm1_bias: flat(d, 0.02),
        qkv_weight: flat(3 * d * d, 0.05),
        qkv_bias: flat(3 * d, 0.02),
        proj_weight: flat(d * d, 0.05),
        proj_bias: flat(d, 0.02),
        norm2_weight: ones(),
        norm2_bias: flat(d, 0.02),
        fc1_weight: flat(4 * d * d, 0.05),
        fc1_bias: flat(4 * d, 0.02),
        fc2_weight: flat(4 * d * d, 0.05),
        fc2_bias: flat(d, 0.02),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Seconds of processor time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn main() {
    let arg = |i: usize, default: usize| {
        std::env::args().filter(|a| a != "--bench").nth(i).and_then(|a| a.parse().ok()).unwrap_or(default)
    };
    let (threads, rounds, batch) = (arg(1, 2), arg(2, 7), arg(3, 256));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    keep_memory();
    let ragged = move |mean: usize| (0..batch).map(move |i| mean - 3 + i % 7);
    let mut parts = [
        Part::new(("target forward", false), (192, 6, 6), (0..batch).map(|_| 64), |i| i % 64 < 36),
        Part::new(("context forward and backward", true), (192, 6, 6), ragged(23), |_| true),
        Part::new(
            ("predictor forward and backward", true),
            (96, 6, 4),
            (0..4).flat_map(|_| ragged(36)),
            |i| i >= 23,
        ),
    ];
    if std::env::args().any(|a| a == "bf16") {
        parts.iter_mut().flat_map(|p| &mut p.blocks).for_each(|b| b.precision = MatmulPrecision::Bf16);
    }
    let mut times = vec![(Vec::new(), Vec::new()); parts.len()];
    for _ in 0..rounds {
        for (part, (wall, cpu)) in parts.iter().zip(&mut times) {
            let before = cpu_seconds();
            wall.push(part.run());
            cpu.push(cpu_seconds() - before);
        }
    }
    let mut total = (0.0, 0.0, 0.0);
    for (part, (wall, cpu)) in parts.iter().zip(times) {
        let (gflop, best, wall, cpu) =
            (part.gflop(), wall.iter().copied().fold(f64::MAX, f64::min), median(wall), median(cpu));
        println!(
            "{:32} {:7.1} ms median, {:7.1} ms best, {:6.3} cpu-s, {:6.1} GFLOP, {:6.1} GFLOP/s, {:6.1} per cpu-s",
            part.name,
            wall * 1e3,
            best * 1e3,
            cpu,
            gflop,
            gflop / wall,
            gflop / cpu
        );
        total = (total.0 + wall, total.1 + cpu, total.2 + gflop);
    }
    println!(
        "all: {:.1} ms, {:.3} cpu-s, {:.1} GFLOP, {:.1} GFLOP/s, {:.1} per cpu-s with {threads} threads",
        total.0 * 1e3,
        total.1,
        total.2,
        total.2 / total.0,
        total.2 / total.1
    );
}
