//! `ijepa-run bench` on a device.

use std::process::Command;

use ijepa_run::{
    bench::{BenchOptions, Measured, measure},
    config,
};

use crate::emulator::{device, idle_device};
use crate::training::TINY;

fn measured(matmul: &str) -> Measured {
    let changes = ["device=cuda".to_string(), format!("train.matmul={matmul}")];
    let experiment = config::load("tiny.yaml", TINY, &changes, &|_| Err("none".into())).unwrap();
    measure(experiment, &BenchOptions { steps: 3, threads: Some(2), stand_in_for: None }).unwrap()
}

/// Numbers of the GPU, or of a device that does nothing: emulated products of this size take minutes.
#[test]
fn bench_measures_the_device() {
    let turn = device();
    if turn.gpu {
        return assert_complete(&measured("tf32"));
    }
    let mut alone = Command::new(std::env::current_exe().unwrap());
    let alone = alone.args(["--ignored", "--exact", "bench::on_an_idle_device"]).output().unwrap();
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
}

#[test]
#[ignore = "bench_measures_the_device runs it in a process of its own"]
fn on_an_idle_device() {
    drop(idle_device());
    for matmul in ["f32", "bf16"] {
        let m = measured(matmul);
        assert_eq!(m.gpu.as_deref(), Some("cuda:0 (null device)"));
        assert_complete(&m);
    }
}

fn assert_complete(m: &Measured) {
    assert_eq!((m.batch_size, m.steps, m.peak_of_one), (8, 52, None));
    let times = [m.peak, m.step, m.marked_step, m.features_per_second, m.asking.unwrap()];
    assert!(times.iter().chain(&m.phases).all(|time| *time > 0.0 && time.is_finite()), "{m:?}");
    assert!(m.phases.iter().sum::<f64>() <= m.marked_step, "{m:?}");
    assert!(m.step_speed().is_some() && m.features_speed().is_some() && m.gpu_memory.is_some(), "{m:?}");
}
