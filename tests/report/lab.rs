//! A sweep folder with its runs, written by hand: no training.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::program::{Folder, Output};

/// A temporary folder whose `results` hold the sweep `grid-0123456789ab`: two by three arms of three
/// seeds.
pub struct Lab(Folder);

pub const SWEEP: &str = "results/sweeps/grid-0123456789ab";
const TARGETS: [u32; 2] = [1, 2];
const STARTS: [f64; 3] = [0.9, 0.99, 0.999];
const SEEDS: u64 = 3;

/// The steps after which probes and losses are written.
const STEPS: [u64; 3] = [4, 8, 12];

impl Lab {
    /// A finished sweep.
    pub fn new() -> Self {
        let lab = Lab(Folder::new());
        fs::create_dir_all(lab.path(&format!("{SWEEP}/configs"))).unwrap();
        lab.write(
            &format!("{SWEEP}/sweep.yaml"),
            "# override: train.epochs=3\n# Question: how many targets,\n#           and how slow a teacher & why <so>?\n\
             # Source:   none\nversion: 1\nname: grid\nbase: base.yaml\n\
             metric: { name: knn/target/class/top1, goal: maximize }\n",
        );
        lab.write_tables("done");
        for (index, run) in runs().into_iter().enumerate() {
            lab.write(&format!("{SWEEP}/configs/{index}.yaml"), &run.experiment());
            lab.write_run(&run);
        }
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs the program in the folder.
    pub fn run(&self, args: &[&str]) -> Output {
        self.0.run(args)
    }

    /// Rewrites `plan.csv` and `runs.csv`, every run in this state.
    pub fn write_tables(&self, status: &str) {
        let mut plan = String::from("index,run_id,arm,seed,changed\n");
        let mut table = String::from(
            "run_id,arm,seed,status,reason,steps,param.masking.targets,param.ema.start,metric.knn/target/class/top1.last\n",
        );
        for (index, run) in runs().iter().enumerate() {
            let (id, arm, seed) = (run.id(), run.arm(), run.seed);
            plan += &format!("{index},{id},\"{arm}\",{seed},\"{arm}\"\n");
            let value = if status == "done" { run.value(12).to_string() } else { String::new() };
            table += &format!("{id},\"{arm}\",{seed},{status},,12,{},{},{value}\n", run.targets, run.start);
        }
        self.write(&format!("{SWEEP}/plan.csv"), &plan);
        self.write(&format!("{SWEEP}/runs.csv"), &table);
    }

    fn write_run(&self, run: &Run) {
        let at = |file: &str| format!("results/{}/{file}", run.id());
        self.write(&at("experiment.yaml"), &run.experiment());
        self.write(&at("status.json"), &status("done"));
        let rows = |row: &dyn Fn(u64) -> String| STEPS.map(row).concat();
        let probe = |step| format!("{},{step},knn,target,class,top1,%,{}\n", step / 4, run.value(step));
        self.write(
            &at("probes.csv"),
            &format!("epoch,step,probe,encoder,labels,metric,unit,value\n{}", rows(&probe)),
        );
        let loss = |step| format!("{},{step},{},{}\n", step / 4, step * 16, 2.0 / step as f64);
        self.write(&at("epochs.csv"), &format!("epoch,step,images,loss\n{}", rows(&loss)));
    }

    /// Gives a run another state.
    pub fn state(&self, run: usize, state: &str) {
        let run = &runs()[run];
        self.write(&format!("results/{}/status.json", run.id()), &status(state));
    }

    /// Takes a metric out of every run of the arms with this many targets.
    pub fn unmeasured(&self, targets: u32) {
        for run in runs().iter().filter(|r| r.targets == targets) {
            fs::remove_file(self.path(&format!("results/{}/probes.csv", run.id()))).unwrap();
        }
    }
}

pub fn status(state: &str) -> String {
    format!(
        "{{\"state\":\"{state}\",\"reason\":\"\",\"step\":12,\"steps\":12,\"data\":\"0123456789abcdef\"}}\n"
    )
}

/// One run of the grid.
pub struct Run {
    pub targets: u32,
    pub start: f64,
    pub seed: u64,
}

/// All runs in the order of the plan.
pub fn runs() -> Vec<Run> {
    let arms = TARGETS.iter().flat_map(|&targets| STARTS.iter().map(move |&start| (targets, start)));
    arms.flat_map(|(targets, start)| (0..SEEDS).map(move |seed| Run { targets, start, seed })).collect()
}

impl Run {
    pub fn id(&self) -> String {
        format!("tiny-s{}-{:04}{:08}", self.seed, self.targets, (self.start * 1e4) as u64)
    }

    pub fn arm(&self) -> String {
        format!("masking.targets={},ema.start={}", self.targets, self.start)
    }

    /// Some accuracy: seeds share most of their luck.
    fn value(&self, step: u64) -> f64 {
        let luck = [0.3, -0.7, 0.4][self.seed as usize] * (1.0 + 0.1 * f64::from(self.targets));
        let arm = u64::from(self.targets) * 3 + (self.start * 1e3) as u64;
        let noise = ((self.seed * 7 + arm + step + self.seed * arm) % 5) as f64 / 50.0;
        20.0 + step as f64 + 3.0 * f64::from(self.targets) + 5.0 * self.start + luck + noise
    }

    fn experiment(&self) -> String {
        format!(
            "version: 1\nname: tiny\nseed: {}\ndataset: {{ kind: shapes, image_size: 16, train: 64, test: 20 }}\n\
             encoder: {{ kind: vit, dim: 16, depth: 2, heads: 2 }}\npredictor: {{ kind: vit, dim: 8, depth: 1, heads: 2 }}\n\
             masking: {{ kind: multiblock, targets: {}, min_context: 2 }}\nloss: l2\noptimizer: adamw\n\
             learning_rate: {{ kind: constant, value: 1.0e-3 }}\nweight_decay: {{ kind: constant, value: 0.05 }}\n\
             ema: {{ kind: linear, start: {}, end: 1.0 }}\ntrain: {{ epochs: 3, batch_size: 16 }}\n\
             probes: [{{ kind: knn, k: 5, every: 1 }}]\n",
            self.seed, self.targets, self.start
        )
    }
}

/// Files in a folder, by name.
pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
