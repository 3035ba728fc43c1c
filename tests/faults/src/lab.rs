//! What every case starts from: a run at each stage, and the run that nothing happened to.

use std::{
    collections::{BTreeMap, HashMap},
    env, fs, io,
    path::PathBuf,
};

use tempfile::TempDir;

use super::{
    case::Stage,
    experiments::{SWEEP, TINY},
    process::{Ended, Order, Program, Traced},
    run_folder::{self, Files},
};

/// The epoch after which the stages `stopped` and `killed` stand.
const HALF: &str = "2";

/// A folder with an experiment and its output.
pub struct Desk {
    pub path: PathBuf,
}

impl Desk {
    pub fn output(&self) -> PathBuf {
        self.path.join("out")
    }

    /// The run folder, if there is one yet.
    pub fn run_folder(&self) -> Option<PathBuf> {
        run_folder::find(&self.output())
    }

    /// Files of the run folder.
    pub fn files(&self) -> io::Result<Files> {
        self.run_folder().map_or(Ok(Files::new()), |folder| run_folder::files(&folder))
    }

    /// Starts or continues the run.
    pub fn run(&self, program: &Program, order: &Order) -> io::Result<Ended> {
        self.start(program, &[], order)
    }

    fn start(&self, program: &Program, more: &[&str], order: &Order) -> io::Result<Ended> {
        let output = self.output().to_string_lossy().into_owned();
        let arguments = ["tiny.yaml", "--output", &output, "--threads", "1"];
        program.run(&self.path, &[&arguments, more].concat(), order)
    }

    /// Starts or continues the sweep.
    pub fn sweep_arguments(&self) -> Vec<String> {
        let output = self.output().to_string_lossy().into_owned();
        ["pair.yaml", "train.epochs=2", "-j", "2", "--threads", "1", "--output", &output]
            .map(String::from)
            .into()
    }

    /// Asks a reader about what lies here. Paths are made those of every other desk.
    pub fn read(&self, program: &Program, reader: &str, order: &Order) -> io::Result<Ended> {
        let output = self.output().to_string_lossy().into_owned();
        let run = self.run_folder().unwrap_or_default().to_string_lossy().into_owned();
        let page = self.path.join("report.html").to_string_lossy().into_owned();
        let metric = ["--metric", "knn/target/class/top1", "--format", "csv"];
        let arguments: Vec<&str> = match reader {
            "ls" => vec!["ls", &output],
            "show" => vec!["show", &run],
            "compare" => [&["compare", &output], &metric[..]].concat(),
            "verify" => vec!["verify", &run],
            // Nothing is lacking: it reads as much as a run does, and writes nothing.
            "probe" => vec!["probe", &run, "--threads", "1"],
            "status" => vec!["status", "pair", "--results", &output],
            _ => vec!["report", "pair", "--results", &output, "--output", &page],
        };
        let mut ended = program.run(&self.path, &arguments, order)?;
        let here = self.path.to_string_lossy().into_owned();
        ended.stdout = ended.stdout.replace(&here, "DESK");
        Ok(ended)
    }

    /// The order that counts calls below the output folder.
    pub fn watched(&self) -> Order {
        Order { below: Some(self.output()), ..Order::default() }
    }
}

/// A run at one stage.
pub struct Template {
    desk: Desk,
    /// Files of its run folder.
    pub files: Files,
    /// What the run does from here on, call by call.
    pub trace: Vec<Traced>,
    /// Processor time that it needs from here on.
    pub milliseconds: u64,
}

/// Everything that cases start from.
pub struct Lab {
    pub program: Program,
    base: TempDir,
    templates: HashMap<Stage, Template>,
    /// Files of the run that nothing happened to.
    pub expected: Files,
    /// Name of the run folder.
    pub folder: String,
    /// What readers say of the finished run.
    pub readings: BTreeMap<&'static str, Ended>,
    /// Seed 1: files to swap in.
    pub other: PathBuf,
    /// A finished sweep: its output folder's files and what readers say.
    pub sweep: Files,
    pub sweep_readings: BTreeMap<&'static str, Ended>,
}

impl Lab {
    /// Makes all stages. An error here is one of the campaign or of a program that cannot run at all.
    pub fn new(program: Program) -> io::Result<Lab> {
        // Waiting for a disk shows nothing: what a process wrote outlives its death without that.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { env::temp_dir() };
        let base = tempfile::Builder::new().prefix("ijepa-faults-").tempdir_in(place)?;
        let mut lab = Lab {
            program,
            base,
            templates: HashMap::new(),
            expected: Files::new(),
            folder: String::new(),
            readings: BTreeMap::new(),
            other: PathBuf::new(),
            sweep: Files::new(),
            sweep_readings: BTreeMap::new(),
        };
        lab.make_stages()?;
        lab.make_readings()?;
        lab.make_sweep()?;
        Ok(lab)
    }

    /// An empty desk in a folder of that name.
    fn desk(&self, name: &str) -> io::Result<Desk> {
        let path = fs::canonicalize(self.base.path())?.join(name);
        fs::create_dir_all(path.join("out"))?;
        fs::write(path.join("tiny.yaml"), TINY)?;
        fs::write(path.join("pair.yaml"), SWEEP)?;
        Ok(Desk { path })
    }

    /// A desk with a copy of a run at `stage`, removed with what it returns.
    pub fn desk_at(&self, name: &str, stage: Stage) -> io::Result<Desk> {
        let desk = self.empty_desk(name)?;
        run_folder::copy(&self.templates[&stage].desk.output(), &desk.output())?;
        Ok(desk)
    }

    /// A desk without any run.
    pub fn empty_desk(&self, name: &str) -> io::Result<Desk> {
        let path = self.base.path().join(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        self.desk(name)
    }

    /// A desk with the finished sweep.
    pub fn sweep_desk(&self, name: &str) -> io::Result<Desk> {
        let desk = self.empty_desk(name)?;
        run_folder::copy(&self.base.path().join("sweep/out"), &desk.output())?;
        Ok(desk)
    }

    pub fn at(&self, stage: Stage) -> &Template {
        &self.templates[&stage]
    }

    fn make_stages(&mut self) -> io::Result<()> {
        let fresh = self.desk("fresh")?;
        let other = self.desk("other")?;
        self.must(&other.start(&self.program, &["seed=1"], &Order::default())?, 0)?;
        self.other = fs::read_dir(other.output())?.next().expect("a run folder")?.path();
        let stopped = self.desk("stopped")?;
        self.must(&stopped.start(&self.program, &["--until-epoch", HALF], &Order::default())?, 75)?;
        self.add(Stage::Fresh, fresh)?;
        self.add(Stage::Stopped, stopped)?;
        let killed = self.desk_at("killed", Stage::Stopped)?;
        let trace = &self.at(Stage::Stopped).trace;
        let row = |call: &Traced| call.kind.word() == "write" && call.path.ends_with("metrics.csv");
        let at = trace.iter().enumerate().filter(|(_, call)| row(call)).nth(2).map(|(i, _)| i as u64);
        let order = Order { strike: at.map(|at| (at, "torn".into())), ..killed.watched() };
        let ended = killed.run(&self.program, &order)?;
        if ended.signal != Some(9) {
            return Err(io::Error::other(format!("no run could be killed while it wrote: {}", ended.how())));
        }
        self.add(Stage::Killed, killed)?;
        let done = self.desk_at("done", Stage::Stopped)?;
        self.must(&done.run(&self.program, &Order::default())?, 0)?;
        self.folder =
            done.run_folder().expect("it ran").file_name().expect("named").to_string_lossy().into_owned();
        self.add(Stage::Done, done)
    }

    /// Takes a run at a stage and finishes a copy of it under the shim, to know its calls.
    fn add(&mut self, stage: Stage, desk: Desk) -> io::Result<()> {
        let files = desk.files()?;
        self.templates.insert(stage, Template { desk, files, trace: Vec::new(), milliseconds: 0 });
        let copy = self.desk_at("copy", stage)?;
        let plain = copy.run(&self.program, &Order::default())?;
        self.must(&plain, 0)?;
        let finished = copy.files()?;
        if self.expected.is_empty() {
            self.expected = finished;
        } else if let Some(other) = super::judge::differences(&self.expected, &finished).first() {
            return Err(io::Error::other(format!("undisturbed, from stage {}: {other}", stage.word())));
        }
        let copy = self.desk_at("copy", stage)?;
        let traced = copy.run(&self.program, &Order { trace: true, ..copy.watched() })?;
        self.must(&traced, 0)?;
        if traced.counted == 0 || traced.counted != traced.trace.len() as u64 {
            return Err(io::Error::other("the shim counted no call: nothing could be made to fail"));
        }
        let template = self.templates.get_mut(&stage).expect("just put there");
        (template.trace, template.milliseconds) = (traced.trace, plain.milliseconds.max(30));
        Ok(())
    }

    fn must(&self, ended: &Ended, code: i32) -> io::Result<()> {
        if ended.code == Some(code) {
            return Ok(());
        }
        Err(io::Error::other(format!("undisturbed: {}, not {code}: {}", ended.how(), ended.said())))
    }

    fn make_readings(&mut self) -> io::Result<()> {
        let desk = self.desk_at("read", Stage::Done)?;
        for reader in self.readers(&["ls", "show", "compare", "verify", "probe"]) {
            let order = Order { trace: true, ..desk.watched() };
            let ended = desk.read(&self.program, reader, &order)?;
            self.must(&ended, 0)?;
            self.readings.insert(reader, ended);
        }
        Ok(())
    }

    /// Those that this program has.
    fn readers(&self, wanted: &[&'static str]) -> Vec<&'static str> {
        let help = self.program.run(self.base.path(), &["--help"], &Order::default());
        let help = help.map(|h| h.stdout).unwrap_or_default();
        let has =
            |reader: &&&str| help.lines().any(|line| line.trim_start().starts_with(&format!("{reader} ")));
        wanted.iter().filter(has).copied().collect()
    }

    fn make_sweep(&mut self) -> io::Result<()> {
        let desk = self.desk("sweep")?;
        let arguments = desk.sweep_arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.must(&self.program.run(&desk.path, &arguments, &Order::default())?, 0)?;
        self.sweep = run_folder::files(&desk.output())?;
        for reader in self.readers(&["status", "compare", "report"]) {
            let ended = desk.read(&self.program, reader, &Order::default())?;
            self.must(&ended, 0)?;
            self.sweep_readings.insert(reader, ended);
        }
        let page = fs::read(desk.path.join("report.html")).unwrap_or_default();
        self.sweep.insert("report.html".into(), page);
        Ok(())
    }

    /// The program behaves wrongly in this way from here on; none: as it is.
    pub fn pretend(&mut self, name: Option<&str>) {
        self.program.pretends = name.map(str::to_owned);
    }
}
