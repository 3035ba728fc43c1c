//! One task of a plan, and the scripts that call it.

use std::{fs, path::PathBuf, process::Command};

use ijepa_run::{
    results::{Attempts, StoredPlan},
    run::{
        exec::{Task, TaskEnd, TaskEvent, exec_task},
        launcher::{Ended, Job, JobEvent, Launcher},
    },
};

use crate::program::{Folder, Output, finish};

pub const SWEEP: &str = "base: tiny.yaml\nname: swept\nparameters: { masking.targets: [1, 2] }\nseeds: 2\n";

/// A folder with a sweep of four runs that was planned, and its sweep folder.
pub fn planned(options: &[&str]) -> (Folder, PathBuf) {
    let folder = Folder::new();
    fs::write(folder.path().join("swept.yaml"), SWEEP).unwrap();
    let output = folder.run(&[&["swept.yaml", "--engine", "emit", "--threads", "1"], options].concat());
    assert_eq!(output.code, 0, "{}", output.stderr);
    let sweep = fs::read_dir(folder.path().join("results/sweeps")).unwrap().next().unwrap().unwrap().path();
    (folder, sweep)
}

/// `metrics.csv`, `epochs.csv` and `probes.csv` of every run, in the order of the plan.
pub fn tables(sweep: &std::path::Path) -> Vec<[String; 3]> {
    let plan = StoredPlan::read(sweep).unwrap();
    let read = |run: &std::path::Path, name: &str| fs::read_to_string(run.join(name)).unwrap();
    let of = |run: PathBuf| ["metrics.csv", "epochs.csv", "probes.csv"].map(|name| read(&run, name));
    plan.runs.iter().map(|row| of(plan.run_folder(row))).collect()
}

/// The same of an undisturbed sweep on this machine.
pub fn undisturbed() -> Vec<[String; 3]> {
    let folder = Folder::new();
    fs::write(folder.path().join("swept.yaml"), SWEEP).unwrap();
    let output = folder.run(&["swept.yaml", "--threads", "1", "-q"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    tables(&fs::read_dir(folder.path().join("results/sweeps")).unwrap().next().unwrap().unwrap().path())
}

#[test]
fn a_task_carries_out_its_runs_and_finds_them_done() {
    let (folder, sweep) = planned(&[]);
    let exec = |arguments: &[&str]| folder.run(&[&["exec", "swept"], arguments].concat());
    let first = exec(&["--index", "0", "--threads", "1"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(
        first.stderr.contains("attempt 1 on ") && first.stderr.contains("\ndone: run 0 "),
        "{}",
        first.stderr
    );
    let again = exec(&["--index", "0"]);
    assert_eq!((again.code, again.stderr.lines().count()), (0, 1), "{}", again.stderr);
    assert!(again.stderr.starts_with("already done: run 0 "), "{}", again.stderr);
    let none = exec(&[]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("SLURM_ARRAY_TASK_ID"), "{}", none.stderr);
    let beyond = exec(&["--index", "4"]);
    assert!(beyond.code == 2 && beyond.stderr.contains("tasks are numbered 0 to 3"), "{}", beyond.stderr);
    // The second pair, two at a time, as an array of SGE says it.
    let path = sweep.to_string_lossy().into_owned();
    let mut command = folder.command(&["exec", &path, "--count", "2", "-j", "2", "--threads", "1"]);
    let pair = finish(command.env("SGE_TASK_ID", "2").output().unwrap());
    assert_eq!(pair.code, 0, "{}", pair.stderr);
    assert!(pair.stderr.contains("done: run 2 ") && pair.stderr.contains("done: run 3 "), "{}", pair.stderr);
    let status = folder.run(&["status", "swept"]);
    assert!(status.stdout.contains("4 runs: 3 done, 1 pending"), "{}", status.stdout);
    let attempts = Attempts::of(&sweep, 2).read().unwrap();
    assert_eq!((attempts.len(), attempts[0].exit, attempts[0].task.as_str()), (1, Some(0), "sge _1"));
}

#[test]
fn emitted_scripts_leave_the_bytes_of_a_sweep_on_one_machine() {
    let (folder, sweep) = planned(&["--pack", "2"]);
    let engine = sweep.join("engine");
    let mut shell = Command::new("sh");
    let output = finish(shell.arg(engine.join("tasks.sh")).current_dir("/").output().unwrap());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(tables(&sweep), undisturbed());
    let finished = folder.run(&["swept.yaml", "-q"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let lines = fs::read_to_string(engine.join("tasks.txt")).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

#[test]
fn what_an_engine_cannot_do_is_refused() {
    let folder = Folder::new();
    fs::write(folder.path().join("swept.yaml"), SWEEP).unwrap();
    let refused = |arguments: &[&str]| -> Output { folder.run(&[&["swept.yaml"], arguments].concat()) };
    let output = refused(&["--engine", "slrm"]);
    assert!(
        output.code == 2 && output.stderr.contains("local, emit, slurm, hyperqueue"),
        "{}",
        output.stderr
    );
    let output = refused(&["--engine", "emit", "--force"]);
    assert!(
        output.code == 2 && output.stderr.contains("--force: not with --engine emit"),
        "{}",
        output.stderr
    );
    let early = "early_terminate: { kind: median, metric: { name: knn/target/class/top1 } }\n";
    fs::write(folder.path().join("swept.yaml"), format!("{SWEEP}{early}")).unwrap();
    let output = refused(&["--engine", "slurm"]);
    assert!(output.code == 2 && output.stderr.contains("add --wait"), "{}", output.stderr);
}

#[test]
fn settings_of_a_person_name_the_engine_and_are_no_part_of_a_sweep() {
    let (folder, sweep) = planned(&[]);
    fs::write(folder.path().join("mine.yaml"), "engine: emit\npack: 4\nsetup: module load x\n").unwrap();
    let with = |file: &str| {
        finish(folder.command(&["swept.yaml"]).env("IJEPA_RUN_SETTINGS", file).output().unwrap())
    };
    let output = with("mine.yaml");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let script = fs::read_to_string(sweep.join("engine/slurm.sh")).unwrap();
    assert!(script.contains("\nmodule load x\nexec ") && script.contains("--count 4"), "{script}");
    fs::write(folder.path().join("mine.yaml"), "engin: emit\n").unwrap();
    let output = with("mine.yaml");
    assert!(output.code == 2 && output.stderr.contains("did you mean `engine`?"), "{}", output.stderr);
}

#[test]
fn missing_runs_can_be_carried_out_alone() {
    let (folder, _) = planned(&[]);
    assert_eq!(folder.run(&["exec", "swept", "--index", "1"]).code, 0);
    let output = folder.run(&["swept.yaml", "--engine", "emit", "--only", "missing"]);
    assert!(output.stdout.contains("--array=0,2-3 "), "{}", output.stdout);
    let output = folder.run(&["swept.yaml", "--engine", "emit", "--only", "failed"]);
    assert!(!output.stdout.contains("--array"), "{}", output.stdout);
    assert!(folder.run(&["swept.yaml", "--only", "broken"]).stderr.contains("failed, missing, stopped"));
}

/// Ends every job in the same way.
struct Always {
    ended: Ended,
    queue: Vec<Job>,
    threads: Vec<usize>,
}

impl Launcher for Always {
    fn slots(&self) -> usize {
        1
    }
    fn threads_per_run(&self) -> usize {
        1
    }
    fn submit(&mut self, job: Job) -> Result<(), String> {
        self.threads.push(job.resources.threads);
        self.queue.push(job);
        Ok(())
    }
    fn poll(&mut self) -> Vec<JobEvent> {
        let ended = |job: Job| JobEvent::Ended { index: job.index, ended: self.ended.clone() };
        self.queue.drain(..).map(ended).collect()
    }
    fn stop(&mut self) {}
}

#[test]
fn what_is_tried_again_depends_on_how_it_ended() {
    let (_folder, sweep) = planned(&[]);
    let task = Task {
        plan: StoredPlan::read(&sweep).unwrap(),
        indices: vec![3],
        threads: 4,
        until_epoch: None,
        steal: false,
        program: "none".into(),
        engine: None,
        host: "here".into(),
        now: || "now".into(),
    };
    let carried_out = |ended: Ended| {
        let mut launcher = Always { ended, queue: Vec::new(), threads: Vec::new() };
        let mut retries = 0;
        let mut tell =
            |event: &TaskEvent| retries += usize::from(matches!(event, TaskEvent::TriedAgain { .. }));
        let ends =
            exec_task(&task, &mut launcher, &std::sync::atomic::AtomicBool::new(false), &mut tell).unwrap();
        (TaskEnd::of_all(&ends), launcher.threads, retries)
    };
    assert_eq!(carried_out(Ended::Failed("killed: signal: 9".into())), (1, vec![4, 2], 1));
    assert_eq!(carried_out(Ended::Refused("no such setting".into())), (2, vec![4], 0));
    assert_eq!(carried_out(Ended::InUse), (5, vec![4], 0));
    assert_eq!(carried_out(Ended::Stopped), (75, vec![4], 0));
    let attempts = Attempts::of(&sweep, 3).read().unwrap();
    assert_eq!(attempts.iter().map(|a| a.exit.unwrap()).collect::<Vec<_>>(), [1, 1, 2, 5, 75]);
}
