//! A temporary folder with run folders in `results`, and the program run inside it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

pub struct Lab(TempDir);

/// What the program said.
pub struct Found {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Lab {
    pub fn new() -> Self {
        let lab = Lab(tempfile::tempdir().unwrap());
        fs::create_dir(lab.path("results")).unwrap();
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Finished runs `results/NAME-sSEED`, one per value, seeds from 0.
    pub fn arm(&self, name: &str, encoder: &str, values: &[f64]) {
        for (seed, value) in values.iter().enumerate() {
            self.run(&format!("{name}-s{seed}"), name, seed as u64, encoder, *value);
        }
    }

    /// A finished run whose last top-1 accuracy is `value`.
    pub fn run(&self, folder: &str, name: &str, seed: u64, encoder: &str, value: f64) {
        let at = |file: &str| format!("results/{folder}/{file}");
        fs::create_dir(self.path(&format!("results/{folder}"))).unwrap();
        let experiment = format!(
            "version: 1\nname: {name}\nseed: {seed}\ndevice: auto\nencoder:\n  kind: vit\n  {encoder}\n\
             train:\n  epochs: 2\n  log_every: 20\nprobes:\n- kind: linear\n  name: linear\n- kind: rankme\n  name: rankme\n"
        );
        self.write(&at("experiment.yaml"), &experiment);
        self.write(&at("status.json"), &status("done"));
        let early = value - 20.0;
        self.write(
            &at("probes.csv"),
            &format!(
                "epoch,step,probe,encoder,labels,metric,unit,value\n\
                 1,10,linear,target,class,top1,%,{early}\n1,10,rankme,target,,rankme,1,9.5\n\
                 2,20,linear,target,class,top1,%,{value}\n2,20,rankme,target,,rankme,1,{}\n2,20,rankme,target,,feature_std,1,0.1\n",
                value / 4.0
            ),
        );
        self.write(
            &at("epochs.csv"),
            &format!("epoch,step,images,loss\n1,10,640,0.5\n2,20,1280,{}\n", 1.0 / value),
        );
        self.write(
            &at("metrics.csv"),
            &format!(
                "step,epoch,images,loss,explained_variance\n10,1,640,0.5,0.1\n20,2,1280,0.4,{}\n30,2",
                value / 100.0
            ),
        );
    }

    /// Gives a run another state.
    pub fn state(&self, name: &str, seed: u64, state: &str) {
        self.write(&format!("results/{name}-s{seed}/status.json"), &status(state));
    }

    /// Gives the runs of an arm other images: fingerprints of everything and of the test images, of which
    /// version 0.1.0 kept the first alone.
    pub fn images(&self, name: &str, seeds: usize, all: &str, test: &str) {
        for seed in 0..seeds {
            let path = format!("results/{name}-s{seed}/status.json");
            let of_test = if test.is_empty() { String::new() } else { format!("\"data_test\":\"{test}\",") };
            let of_all = format!("{of_test}\"data\":\"{all}\"");
            self.write(&path, &status("done").replace(&format!("\"data\":\"{DATA}\""), &of_all));
        }
    }

    /// Copies a folder of run folders.
    pub fn copy(&self, from: &str, to: &str) {
        copy(&self.path(from), &self.path(to));
    }

    /// Runs `ijepa-run compare` in the folder.
    pub fn compare(&self, args: &[&str]) -> Found {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ijepa-run"));
        let output = command.arg("compare").args(args).current_dir(self.0.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Found {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// Fingerprint of the data of every run.
const DATA: &str = "0123456789abcdef";

fn status(state: &str) -> String {
    format!("{{\"state\":\"{state}\",\"reason\":\"\",\"step\":20,\"steps\":20,\"data\":\"{DATA}\"}}\n")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
