//! The built program in a folder of its own.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Twelve steps in well under a second.
const TINY: &str = "
version: 1
name: tiny
dataset: { kind: shapes, image_size: 16, train: 64, test: 20 }
augmentation: [hflip, normalize]
encoder: { kind: vit, dim: 16, depth: 2, heads: 2 }
predictor: { kind: vit, dim: 8, depth: 1, heads: 2 }
masking: { kind: multiblock, min_context: 2 }
loss: l2
optimizer: adamw
learning_rate: { kind: constant, value: 1.0e-3 }
weight_decay: { kind: constant, value: 0.05 }
ema: { kind: linear, start: 0.9, end: 1.0 }
train: { epochs: 3, batch_size: 16, log_every: 1 }
probes:
  - { kind: knn, k: 5, every: 1, encoders: [target, context], controls: [random_init] }
  - { kind: rankme, every: 2, encoders: [target], controls: [random_init] }
";

/// A temporary folder that holds `tiny.yaml`.
pub struct Folder(tempfile::TempDir);

/// What a call left.
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Folder {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
        Folder(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ijepa-run"));
        command.args(arguments).current_dir(self.path()).env_remove("IJEPA_RUN_OUTPUT");
        command.env("XDG_CACHE_HOME", self.path().join("cache"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        finish(self.command(arguments).output().unwrap())
    }

    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(arguments))
    }

    /// Waits until `metrics.csv` of a run under way has more than `rows` lines, its header among them.
    pub fn wait_for_rows(&self, rows: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let enough = || {
            let runs = std::fs::read_dir(self.path().join("results")).ok()?;
            let run = runs.flatten().map(|e| e.path()).find(|p| p.is_dir())?;
            Some(std::fs::read_to_string(run.join("metrics.csv")).ok()?.lines().count() > rows)
        };
        while enough() != Some(true) {
            assert!(Instant::now() < deadline, "no rows yet");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The one folder in `results`.
    pub fn run_folder(&self) -> PathBuf {
        let runs: Vec<PathBuf> = std::fs::read_dir(self.path().join("results"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.is_dir())
            .collect();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0].clone()
    }

    /// A file of the run folder.
    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.run_folder().join(file)).unwrap()
    }

    /// Rows of a table, the header first.
    pub fn table(&self, file: &str) -> Vec<Vec<String>> {
        let text = self.read(file);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        reader.records().map(|r| r.unwrap().iter().map(str::to_string).collect()).collect()
    }
}

/// A program under way, killed with the test that started it: one that stayed behind, stopped by a signal perhaps,
/// would keep whoever reads what the tests print waiting.
pub struct Process(Option<Child>);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Process(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it is there until the end")
    }

    /// Sends a signal: `-TERM`.
    pub fn signal(&mut self, name: &str) {
        let id = self.child().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success(), "{name}");
    }

    pub fn has_ended(&mut self) -> bool {
        self.child().try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Output {
        finish(self.0.take().expect("it is there until the end").wait_with_output().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn finish(output: std::process::Output) -> Output {
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
