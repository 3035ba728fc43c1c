//! Slurm as far as its commands go: what is believed of empty and failing answers.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::{
    exec::SWEEP,
    program::{Folder, Output, finish},
};

/// Commands that note how they are called, and answer with the text of a file or fail with it.
struct FakeSlurm {
    folder: Folder,
}

impl FakeSlurm {
    fn new() -> Self {
        let folder = Folder::new();
        fs::write(folder.path().join("swept.yaml"), SWEEP).unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        for name in ["sbatch", "squeue", "scontrol", "scancel"] {
            let script = format!(
                "#!/bin/sh\ncd '{}'\necho \"{name} $*\" >> calls\n[ -f {name}.fails ] && {{ cat {name}.fails >&2; exit 1; }}\n\
                 [ -f {name}.once ] && mv {name}.once {name}.fails\ncat {name}.says 2>/dev/null\nexit 0\n",
                folder.path().display()
            );
            let path = folder.path().join("bin").join(name);
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let fake = FakeSlurm { folder };
        fake.set("sbatch.says", "7");
        fake
    }

    fn set(&self, file: &str, text: &str) {
        fs::write(self.folder.path().join(file), text).unwrap();
    }

    fn unset(&self, file: &str) {
        let _ = fs::remove_file(self.folder.path().join(file));
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.unset("calls");
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        finish(self.folder.command(arguments).env("PATH", path).output().unwrap())
    }

    fn submit(&self, more: &[&str]) -> Output {
        self.call(&[&["swept.yaml", "--engine", "slurm"], more].concat())
    }

    /// How `sbatch` was called by the last command.
    fn submitted(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        let script = |line: &str| line.replace(&script_of(self.folder.path()), "SCRIPT");
        calls.lines().filter(|line| line.starts_with("sbatch ")).map(script).collect()
    }
}

fn script_of(folder: &Path) -> String {
    let sweep = fs::read_dir(folder.join("results/sweeps")).unwrap().next().unwrap().unwrap().path();
    sweep.join("engine/slurm.sh").display().to_string()
}

#[test]
fn an_array_is_submitted_once_whatever_the_queue_does_not_say() {
    let slurm = FakeSlurm::new();
    let output = slurm.submit(&[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(slurm.submitted(), ["sbatch --parsable --array=0-3 SCRIPT 0"]);
    assert!(output.stdout.contains("submitted to slurm as job 7: 4 tasks"), "{}", output.stdout);
    // The queue is empty, does not answer, or leaves tasks out: nobody knows, nothing is submitted again.
    let nothing_new = |says: &str| {
        let output = slurm.submit(&[]);
        assert_eq!((output.code, slurm.submitted()), (0, Vec::new()), "{}{}", output.stdout, output.stderr);
        assert!(output.stdout.contains(says), "{}", output.stdout);
    };
    nothing_new("squeue says nothing");
    slurm.set("squeue.fails", "slurm_load_jobs error: Unable to contact slurm controller");
    nothing_new("Unable to contact");
    slurm.unset("squeue.fails");
    slurm.set("squeue.says", "0 RUNNING\n1 RUNNING\n");
    nothing_new("does not list its task");
    slurm.set("squeue.says", "0 RUNNING\n1 PENDING\n2 PREEMPTED\n3 COMPLETING\n");
    nothing_new("4 runs are in the queue as job 7\n");
    assert_eq!(slurm.submit(&["--again"]).code, 0);
    assert_eq!(slurm.submitted().len(), 1, "whoever insists gets it");
    // What the queue says is over is submitted again.
    slurm.set("squeue.says", "0 RUNNING\n1 FAILED\n2 TIMEOUT\n3 RUNNING\n");
    assert_eq!(slurm.submit(&[]).code, 0);
    assert_eq!(slurm.submitted(), ["sbatch --parsable --array=1-2 SCRIPT 0"]);
    slurm.set("squeue.fails", "slurm_load_jobs error: Invalid job id specified");
    assert_eq!(slurm.submit(&["-j", "2"]).code, 0);
    assert_eq!(slurm.submitted(), ["sbatch --parsable --array=0-3%2 SCRIPT 0"]);
}

#[test]
fn arrays_are_cut_by_what_the_controller_allows_and_what_does_not_fit_waits() {
    let slurm = FakeSlurm::new();
    slurm.set("scontrol.says", "MaxArraySize            = 3\n");
    assert_eq!(slurm.submit(&[]).code, 0);
    assert_eq!(
        slurm.submitted(),
        ["sbatch --parsable --array=0-2 SCRIPT 0", "sbatch --parsable --array=0 SCRIPT 3"]
    );
    let slurm = FakeSlurm::new();
    slurm.set("scontrol.says", "MaxArraySize            = 3\n");
    slurm.set("sbatch.once", "sbatch: error: QOSMaxSubmitJobPerUserLimit");
    let output = slurm.submit(&[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("1 tasks are left (sbatch: sbatch: error: QOSMax"), "{}", output.stdout);
    slurm.unset("sbatch.fails");
    slurm.set("squeue.says", "0 RUNNING\n1 RUNNING\n2 RUNNING\n");
    assert_eq!(slurm.submit(&[]).code, 0);
    assert_eq!(slurm.submitted(), ["sbatch --parsable --array=0 SCRIPT 3"]);
}

#[test]
fn a_refused_submission_is_a_failure_with_the_words_of_slurm() {
    let slurm = FakeSlurm::new();
    slurm.set("sbatch.fails", "sbatch: error: invalid partition specified: gpu");
    let output = slurm.submit(&["--engine-option=--partition=gpu"]);
    assert_eq!(output.code, 1, "{}", output.stdout);
    assert!(output.stderr.contains("invalid partition"), "{}", output.stderr);
    slurm.unset("sbatch.fails");
    slurm.set("sbatch.says", "");
    assert_eq!(slurm.submit(&[]).code, 1, "no number of a job");
}

#[test]
fn a_sweep_is_taken_out_of_the_queue() {
    let slurm = FakeSlurm::new();
    assert_eq!(slurm.submit(&[]).code, 0);
    slurm.set("squeue.says", "0 RUNNING\n1 COMPLETED\n");
    let output = slurm.call(&["cancel", "swept"]);
    assert_eq!((output.code, output.stdout.as_str()), (0, "cancelled: slurm job 7\n"));
    slurm.set("squeue.says", "0 CANCELLED\n1 COMPLETED\n");
    let output = slurm.call(&["cancel", "swept"]);
    assert!(output.code == 0 && output.stdout.contains("nothing of "), "{}", output.stdout);
}
