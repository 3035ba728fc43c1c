//! Seconds per probe on synthetic features of CIFAR-10 size: `cargo bench --bench probes`.
//!
//! Arguments: settings as `name` or `name={"k": 5}` (JSON); none runs the defaults of each.

use std::time::Instant;

use ijepa_run as _;
use ijepa_run::registry::catalogue;
use ijepa_run::registry::prelude::{Features, Probe, ProbeContext, ProbeData, Stream};

const DIM: usize = 192;
const CLASSES: usize = 10;

/// Values and labels.
type Split = (Vec<f32>, Vec<u32>);

/// Correlated features with overlapping classes, about 60 % linearly separable.
fn features(n: usize, part: u64) -> Split {
    let mut s = Stream::new(1, "bench/mixing", 0, 0);
    let centres: Vec<f32> = (0..CLASSES * DIM).map(|_| s.normal() as f32).collect();
    let mut s = Stream::new(1, "bench/features", part, 0);
    let labels: Vec<u32> = (0..n).map(|_| s.below(CLASSES) as u32).collect();
    let mut values = Vec::with_capacity(n * DIM);
    for &y in &labels {
        let mut carried = 0.0;
        for j in 0..DIM {
            // Neighbouring features are correlated, and scales differ 10-fold.
            carried = 0.9 * carried + s.normal() as f32;
            let scale = 10f32.powf(j as f32 / DIM as f32 - 0.5);
            values.push(scale * (0.1 * centres[y as usize * DIM + j] + carried));
        }
    }
    (values, labels)
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let usual = ["linear", r#"linear={"protocol": "reference"}"#, "knn", r#"knn={"k": 200}"#, "rankme"];
    let asked = if asked.is_empty() { usual.map(String::from).to_vec() } else { asked };
    let (train, test) = (features(50_000, 0), features(10_000, 1));
    if let Some(folder) = std::env::var_os("PROBES_DUMP") {
        dump(folder.as_ref(), &[("train", &train), ("test", &test)]);
    }
    let data = ProbeData::new(
        Features { dim: DIM, tokens: 1, values: &train.0, labels: &train.1 },
        Features { dim: DIM, tokens: 1, values: &test.0, labels: &test.1 },
        CLASSES,
    );
    for line in &asked {
        let (name, settings) = line.split_once('=').unwrap_or((line, "{}"));
        let settings = serde_json::from_str(settings).expect("settings are JSON");
        let entry = catalogue::find::<dyn Probe>(name).expect("a registered probe");
        let (_, probe) = (entry.build)(&settings).expect("valid settings");
        let start = Instant::now();
        let found = probe.measure(&data, &ProbeContext::silent(1));
        let seconds = start.elapsed().as_secs_f64();
        let found = found.expect("measurable features");
        let metrics: Vec<String> =
            probe.metrics().iter().zip(found.values).map(|(m, v)| format!("{} {v:.4e}", m.name)).collect();
        println!("{seconds:7.2} s  {line}: {}", metrics.join(", "));
    }
}

/// Writes the features as raw little-endian files, to time other programs on them.
fn dump(folder: &std::path::Path, splits: &[(&str, &Split)]) {
    for (name, (values, labels)) in splits {
        let values: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let labels: Vec<u8> = labels.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(folder.join(format!("{name}.f32")), values).expect("a writable folder");
        std::fs::write(folder.join(format!("{name}.u32")), labels).expect("a writable folder");
    }
}
