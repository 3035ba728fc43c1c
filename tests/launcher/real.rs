//! Sweeps on real engines. `scripts/engines.sh DIR` unpacks them, `IJEPA_ENGINES=DIR` names them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use ijepa_run::results::{Attempts, StoredPlan};

use crate::{
    exec::{planned, tables, undisturbed},
    program::{Folder, Output, finish},
};

/// As long as a test wants it.
const LONG: &str = "
version: 1
name: long
extends: tiny.yaml
train: { epochs: EPOCHS, batch_size: 16, log_every: 100, checkpoint_every: 50 }
probes: [{ kind: knn, k: 5 }]
";

/// Four runs of which one diverges.
const MIXED: &str = "
base: long.yaml
name: mixed
arms:
  - { name: one, set: { masking.targets: 1 } }
  - { name: two, set: { masking.targets: 2 } }
  - { name: wild, set: { learning_rate: 1.0e+30 } }
  - { name: crashes, set: { masking.targets: 3 } }
";

/// Arms that are judged on the way, every second epoch from the second on.
const JUDGED: &str = "
version: 1
name: judged
extends: tiny.yaml
train: { epochs: 8, batch_size: 16 }
probes: [{ kind: rankme, every: 1 }]
";
const EARLY: &str = "
base: judged.yaml
name: early
parameters: { masking.targets: [1, 2, 3] }
arms: [{ name: baseline }]
seeds: 2
metric: { name: rankme/target/rankme, at: best }
early_terminate: { kind: successive_halving, eta: 2, min_epochs: 2 }
";

fn engines() -> PathBuf {
    let named = std::env::var_os("IJEPA_ENGINES");
    PathBuf::from(named.expect("IJEPA_ENGINES names the folder of scripts/engines.sh"))
}

/// A command with the engines on its path.
fn with_engines(mut command: Command) -> Output {
    let path = format!("{}:{}", engines().join("bin").display(), std::env::var("PATH").unwrap());
    finish(command.env("PATH", path).output().unwrap())
}

fn call(words: &[&str]) -> Output {
    let mut command = Command::new(engines().join("bin").join(words[0]));
    command.args(&words[1..]);
    with_engines(command)
}

fn wait_for(what: &str, seconds: u64, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(seconds), "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Slurm, for as long as the value lives.
struct Slurm;

impl Slurm {
    fn start() -> Self {
        assert!(Slurm::script("up"), "Slurm does not start");
        Slurm
    }

    fn script(word: &str) -> bool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/engines.sh");
        Command::new("bash").arg(script).arg(engines()).arg(word).status().unwrap().success()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        Slurm::script("down");
    }
}

fn sweep_of(folder: &Folder) -> PathBuf {
    fs::read_dir(folder.path().join("results/sweeps")).unwrap().next().unwrap().unwrap().path()
}

/// Epochs that take about so long here, with two such runs at a time.
fn epochs_of(seconds: f64) -> u64 {
    let folder = mixed(100);
    let began = Instant::now();
    assert_eq!(folder.run(&["long.yaml", "--threads", "1", "-q"]).code, 0);
    (100.0 * seconds / began.elapsed().as_secs_f64()).clamp(100.0, 100_000.0) as u64
}

fn mixed(epochs: u64) -> Folder {
    let folder = Folder::new();
    fs::write(folder.path().join("long.yaml"), LONG.replace("EPOCHS", &epochs.to_string())).unwrap();
    fs::write(folder.path().join("mixed.yaml"), MIXED).unwrap();
    folder
}

/// Whether a run has written a checkpoint.
fn has_begun(run: &Path) -> bool {
    run.join("checkpoints/latest.safetensors").exists()
}

#[test]
#[ignore = "needs Slurm: scripts/engines.sh"]
fn slurm_preempts_and_requeues_runs_and_their_tables_do_not_differ() {
    let epochs = epochs_of(40.0);
    let expected = mixed(epochs);
    let local = expected.run(&["mixed.yaml", "--threads", "1", "-j", "2", "-q"]);
    assert_eq!(local.code, 3, "one run diverges: {}", local.stderr);
    let slurm = Slurm::start();
    let folder = mixed(epochs);
    let submit = |more: &[&str]| {
        let arguments = ["mixed.yaml", "--engine", "slurm", "--threads", "1"];
        with_engines(folder.command(&[&arguments, more].concat()))
    };
    // What crashes has a file where its checkpoints should be.
    assert_eq!(folder.run(&["mixed.yaml", "--engine", "emit"]).code, 0);
    let plan = StoredPlan::read(&sweep_of(&folder)).unwrap();
    let runs: Vec<PathBuf> = plan.runs.iter().map(|row| plan.run_folder(row)).collect();
    fs::create_dir_all(&runs[3]).unwrap();
    fs::write(runs[3].join("checkpoints"), "").unwrap();
    let output = submit(&[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("4 tasks"), "{}", output.stdout);
    // Submitted twice: the queue has them.
    assert!(submit(&[]).stdout.contains("are in the queue as job"), "a double submission");
    wait_for("two checkpoints", 60, || has_begun(&runs[0]) && has_begun(&runs[1]));
    assert_eq!(call(&["sbatch", "-p", "high", "-c", "2", "-o", "none", "--wrap", "sleep 1"]).code, 0);
    let attempts = |run: usize| Attempts::of(&plan.folder, run).read().unwrap();
    let preempted = || (0..2).any(|run| attempts(run).first().is_some_and(|a| a.exit == Some(75)));
    wait_for("a preemption", 60, preempted);
    let job = fs::read_to_string(plan.folder.join("engine/submissions.json")).unwrap();
    let job: serde_json::Value = serde_json::from_str(&job).unwrap();
    let job = job[0]["job"].as_str().unwrap().to_owned();
    let all_over = || {
        for task in 0..2 {
            call(&["scontrol", "update", &format!("JobId={job}_{task}"), "StartTime=now"]);
        }
        let over = |run: usize| attempts(run).last().and_then(|a| a.exit).is_some_and(|exit| exit != 75);
        (0..4).all(over)
    };
    wait_for("all runs", 600, all_over);
    let last = |run: usize| attempts(run).last().unwrap().exit;
    assert_eq!([0, 1, 2, 3].map(last), [Some(0), Some(0), Some(3), Some(1)]);
    assert_eq!(attempts(3).len(), 2, "a crash is tried once more");
    assert_eq!(attempts(2).len(), 1, "a broken run is not");
    assert!(attempts(0).len() + attempts(1).len() > 2, "one of them was started again");
    let names = ["metrics.csv", "epochs.csv", "probes.csv"];
    let other = StoredPlan::read(&sweep_of(&expected)).unwrap();
    for (run, own) in runs.iter().enumerate().take(3) {
        for name in names {
            let read = |folder: &Path| fs::read(folder.join(name)).unwrap();
            assert!(read(own) == read(&other.run_folder(&other.runs[run])), "run {run}, {name}");
        }
    }
    // What is left, and nothing else.
    fs::remove_file(runs[3].join("checkpoints")).unwrap();
    assert!(submit(&["--only", "failed,missing", "--wait"]).code == 3);
    assert_eq!(attempts(3).last().unwrap().exit, Some(0));
    drop(slurm);
}

#[test]
#[ignore = "needs Slurm: scripts/engines.sh"]
fn arms_end_early_on_slurm_as_they_do_on_one_machine() {
    let swept = || {
        let folder = Folder::new();
        fs::write(folder.path().join("judged.yaml"), JUDGED).unwrap();
        fs::write(folder.path().join("early.yaml"), EARLY).unwrap();
        folder
    };
    let (local, queued) = (swept(), swept());
    let output = local.run(&["early.yaml", "--threads", "1", "-q"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let _slurm = Slurm::start();
    let output =
        with_engines(queued.command(&["early.yaml", "--engine", "slurm", "--threads", "1", "--wait"]));
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let [local, queued] = [sweep_of(&local), sweep_of(&queued)];
    let decisions = |sweep: &Path| fs::read_to_string(sweep.join("decisions.csv")).unwrap();
    assert!(decisions(&local).contains(",stop,"), "{}", decisions(&local));
    assert_eq!(decisions(&queued), decisions(&local));
    // Those of arms that ended early, too.
    assert_eq!(tables(&queued), tables(&local));
}

#[test]
#[ignore = "needs Slurm: scripts/engines.sh"]
fn a_cancelled_task_stops_with_a_checkpoint_and_stays_out_of_the_queue() {
    let _slurm = Slurm::start();
    let folder = mixed(epochs_of(20.0));
    let command = folder.command(&["mixed.yaml", "--engine", "slurm", "--threads", "1", "-j", "1"]);
    assert_eq!(with_engines(command).code, 0);
    let plan = StoredPlan::read(&sweep_of(&folder)).unwrap();
    wait_for("a checkpoint", 60, || has_begun(&plan.run_folder(&plan.runs[0])));
    let output = with_engines(folder.command(&["cancel", "mixed"]));
    assert!(output.code == 0 && output.stdout.contains("cancelled: slurm job"), "{}", output.stderr);
    let stopped = || Attempts::of(&plan.folder, 0).read().unwrap().last().and_then(|a| a.exit) == Some(75);
    wait_for("the stop", 30, stopped);
    assert_eq!(folder.run(&["status", "mixed"]).stdout.matches("1 stopped, 3 pending").count(), 1);
}

#[test]
#[ignore = "needs GNU parallel: scripts/engines.sh"]
fn gnu_parallel_carries_out_the_lines_and_resumes() {
    let (folder, sweep) = planned(&[]);
    let run = || {
        let parallel = engines().join("bin/parallel");
        let line = format!(
            "perl {} --will-cite -j 2 --joblog engine/joblog --resume-failed < engine/tasks.txt",
            parallel.display()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &line]).current_dir(&sweep);
        finish(command.output().unwrap())
    };
    // One run cannot be written at first.
    let plan = StoredPlan::read(&sweep).unwrap();
    let blocked = plan.run_folder(&plan.runs[2]);
    fs::create_dir_all(&blocked).unwrap();
    fs::write(blocked.join("checkpoints"), "").unwrap();
    assert_eq!(run().code, 1);
    fs::remove_file(blocked.join("checkpoints")).unwrap();
    let again = run();
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(tables(&sweep), undisturbed());
    drop(folder);
}

#[test]
#[ignore = "needs kubernetes-validate: scripts/engines.sh"]
fn the_job_of_kubernetes_keeps_its_schemas() {
    let (_folder, sweep) = planned(&["--pack", "2", "-j", "1"]);
    let job = sweep.join("engine/kubernetes.yaml");
    for version in ["1.33", "1.37"] {
        let mut command = Command::new(engines().join("bin/kubernetes-validate"));
        command.args(["--strict", "-k", version]).arg(&job);
        let output = finish(command.output().unwrap());
        assert_eq!(output.code, 0, "{version}: {}{}", output.stdout, output.stderr);
    }
    let text = fs::read_to_string(&job).unwrap();
    fs::write(&job, text.replace("backoffLimitPerIndex", "backoffLimitPerIndx")).unwrap();
    let mut command = Command::new(engines().join("bin/kubernetes-validate"));
    assert_ne!(finish(command.args(["--strict", "-k", "1.33"]).arg(&job).output().unwrap()).code, 0);
}

/// Runs a job of `exec` tasks; with a time, the cluster is stopped after it.
const HYPERQUEUE: &str = r#"
import sys, time
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
program, sweep, place, tasks, seconds = sys.argv[1:]
with LocalCluster(place, WorkerConfig(cores=2)) as cluster:
    job = Job()
    for _ in range(int(tasks)):
        job.program([program, "exec", sweep, "--threads", "1"])
    client = cluster.client()
    submitted = client.submit(job)
    if float(seconds):
        time.sleep(float(seconds))
    else:
        client.wait_for_jobs([submitted], raise_on_error=False)
"#;

#[test]
#[ignore = "needs HyperQueue: scripts/engines.sh"]
fn hyperqueue_carries_out_tasks_and_goes_on_after_a_stop() {
    let epochs = epochs_of(15.0);
    let expected = mixed(epochs);
    expected.run(&["mixed.yaml", "--threads", "1", "-j", "2", "-q"]);
    let folder = mixed(epochs);
    assert_eq!(folder.run(&["mixed.yaml", "--engine", "emit"]).code, 0);
    let sweep = sweep_of(&folder);
    let run = |seconds: &str| {
        let place = tempfile::tempdir().unwrap();
        let mut command = Command::new(engines().join("venv/bin/python"));
        command.args(["-c", HYPERQUEUE, env!("CARGO_BIN_EXE_ijepa-run")]).arg(&sweep).arg(place.path());
        finish(command.args(["4", seconds]).current_dir(folder.path()).output().unwrap())
    };
    let stopped = run("5");
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    let plan = StoredPlan::read(&sweep).unwrap();
    let attempts = |run: usize| Attempts::of(&sweep, run).read().unwrap();
    let is_free = |run: usize| !plan.run_folder(&plan.runs[run]).join("claim").exists();
    wait_for("the end of what was stopped", 60, || (0..4).all(is_free));
    assert!(attempts(0)[0].exit != Some(0), "it was to be stopped in the middle");
    let whole = run("0");
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    let other = StoredPlan::read(&sweep_of(&expected)).unwrap();
    for run in 0..4 {
        let table =
            |plan: &StoredPlan| fs::read(plan.run_folder(&plan.runs[run]).join("metrics.csv")).unwrap();
        assert!(table(&plan) == table(&other), "run {run}");
    }
    assert!(attempts(0).last().unwrap().task.starts_with("hyperqueue "));
}
