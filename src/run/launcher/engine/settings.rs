//! What a person wants of an engine: a settings file of their own, and options. No part of an experiment.

use std::time::Duration;

use serde_json::{Map, Value};

use super::EngineKind;
use crate::{
    config::{ConfigError, Document},
    sweep::Reader,
};

/// How runs are spread over tasks, and what a task is given. None: the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineSettings {
    /// The engine.
    pub engine: Option<EngineKind>,
    /// Runs per task.
    pub pack: Option<usize>,
    /// Runs of a task at a time.
    pub together: Option<usize>,
    /// Threads of a run.
    pub threads: Option<usize>,
    /// GPUs of a task; none: one where its runs compute on one.
    pub gpus: Option<usize>,
    /// Runs at a time, in all tasks; none: as many as the engine starts.
    pub at_a_time: Option<usize>,
    /// Time of a task.
    pub time_limit: Option<Duration>,
    /// Options of the engine's own command, such as `--partition=gpu`.
    pub options: Vec<String>,
    /// Lines of shell before the program is called, such as `module load cuda`.
    pub setup: Vec<String>,
    /// What a Kubernetes job is made of.
    pub kubernetes: KubernetesSettings,
}

/// What a Kubernetes job is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// Image that has the program on its path.
    pub image: String,
    /// Persistent volume claim that holds the results folder.
    pub claim: String,
    /// Where the results folder lies inside a container.
    pub mount: String,
}

impl Default for KubernetesSettings {
    fn default() -> Self {
        let [image, claim, mount] = ["ijepa-run:latest", "results", "/results"].map(str::to_owned);
        KubernetesSettings { image, claim, mount }
    }
}

const KEYS: [&str; 10] = [
    "engine",
    "pack",
    "together",
    "threads",
    "gpus",
    "at_a_time",
    "time_limit",
    "options",
    "setup",
    "kubernetes",
];

impl EngineSettings {
    /// Reads a settings file; all that is wrong with it is an error, with its places.
    pub fn read(name: &str, text: &str) -> Result<Self, ConfigError> {
        let document = Document::from_file(name, text).map_err(ConfigError::new)?;
        let mut reader = Reader::of(&document, "the settings file");
        let settings = read(&document.value, &mut reader).unwrap_or_default();
        if reader.problems.is_empty() { Ok(settings) } else { Err(ConfigError::new(reader.problems)) }
    }

    /// These, and where they say nothing what `other` says.
    pub fn or(self, other: EngineSettings) -> Self {
        EngineSettings {
            engine: self.engine.or(other.engine),
            pack: self.pack.or(other.pack),
            together: self.together.or(other.together),
            threads: self.threads.or(other.threads),
            gpus: self.gpus.or(other.gpus),
            at_a_time: self.at_a_time.or(other.at_a_time),
            time_limit: self.time_limit.or(other.time_limit),
            // Later options win where an engine takes the last of several.
            options: [other.options, self.options].concat(),
            setup: [other.setup, self.setup].concat(),
            kubernetes: other.kubernetes,
        }
    }
}

fn read(value: &Value, reader: &mut Reader) -> Option<EngineSettings> {
    if value.is_null() {
        return Some(EngineSettings::default());
    }
    let top = reader.mapping("", value, &KEYS)?;
    let mut whole = |key: &str, least: u64| {
        let number = top.get(key).and_then(|v| reader.whole(key, v, least, 1_000_000))?;
        usize::try_from(number).ok()
    };
    let [pack, together, threads, at_a_time] =
        ["pack", "together", "threads", "at_a_time"].map(|key| whole(key, 1));
    let gpus = whole("gpus", 0);
    let names = EngineKind::ALL.map(EngineKind::name);
    let engine = top.get("engine").and_then(|v| reader.word("engine", v, &names));
    Some(EngineSettings {
        engine: engine.map(|at| EngineKind::ALL[at]),
        pack,
        together,
        threads,
        gpus,
        at_a_time,
        time_limit: top.get("time_limit").and_then(|v| time(v, reader)),
        options: lines(top, "options", reader),
        setup: lines(top, "setup", reader),
        kubernetes: kubernetes(top, reader).unwrap_or_default(),
    })
}

fn time(value: &Value, reader: &mut Reader) -> Option<Duration> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match parse_time(&text) {
        Ok(time) => Some(time),
        Err(reason) => {
            reader.wrong("time_limit", format!("is `{text}`; {reason}"), "");
            None
        }
    }
}

/// A list of texts, or one.
fn lines(top: &Map<String, Value>, key: &str, reader: &mut Reader) -> Vec<String> {
    let one = |text: &str| vec![text.to_owned()];
    match top.get(key) {
        None => Vec::new(),
        Some(Value::String(text)) => one(text),
        Some(value) => {
            let items = reader.list(key, value).cloned().unwrap_or_default();
            let mut texts = Vec::new();
            for (i, item) in items.iter().enumerate() {
                match item.as_str() {
                    Some(text) => texts.push(text.to_owned()),
                    None => reader.wrong(&format!("{key}.{i}"), "is no text", "write it in quotes"),
                }
            }
            texts
        }
    }
}

fn kubernetes(top: &Map<String, Value>, reader: &mut Reader) -> Option<KubernetesSettings> {
    let map = reader.mapping("kubernetes", top.get("kubernetes")?, &["image", "claim", "mount"])?;
    let mut settings = KubernetesSettings::default();
    let KubernetesSettings { image, claim, mount } = &mut settings;
    for (key, place) in [("image", image), ("claim", claim), ("mount", mount)] {
        match map.get(key) {
            None => {}
            Some(Value::String(text)) if !text.is_empty() => place.clone_from(text),
            Some(_) => reader.wrong(&format!("kubernetes.{key}"), "is no text", "write it in quotes"),
        }
    }
    Some(settings)
}

/// `4h`, `90m`, `1h 30m`, `01:30:00`.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 4h, 30m or 1h 30m".to_owned();
    let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).ok().filter(|time| !time.is_zero()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let seconds = |text: &str| parse_time(text).map(|time| time.as_secs());
        assert_eq!(seconds("4h"), Ok(14_400));
        assert_eq!(seconds("1h 30m"), Ok(5400));
        assert_eq!(seconds("01:30:00"), Ok(5400));
        assert!(["", "4", "soon", "-1h", "0s"].iter().all(|text| parse_time(text).is_err()));
    }

    #[test]
    fn options_come_before_the_file_and_lists_are_joined() {
        let file =
            "engine: emit\npack: 4\ntime_limit: 2h\noptions: [--partition=gpu]\nsetup: module load cuda\n";
        let file = EngineSettings::read("settings.yaml", file).unwrap();
        let typed = EngineSettings { pack: Some(8), options: vec!["--qos=low".into()], ..Default::default() };
        let both = typed.or(file);
        assert_eq!((both.engine, both.pack), (Some(EngineKind::Emit), Some(8)));
        assert_eq!(both.options, ["--partition=gpu", "--qos=low"]);
        assert_eq!(
            (both.setup, both.time_limit),
            (vec!["module load cuda".into()], Some(Duration::from_secs(7200)))
        );
        assert_eq!(EngineSettings::read("settings.yaml", "").unwrap(), EngineSettings::default());
    }

    #[test]
    fn all_that_is_wrong_is_said_with_its_place() {
        let text = "engine: slrm\npak: 3\ntime_limit: soon\nkubernetes: { img: a }\noptions: [1]\n";
        let error = EngineSettings::read("settings.yaml", text).unwrap_err().to_string();
        for part in [
            "settings.yaml:1:",
            "the settings file has no `pak`",
            "did you mean `pack`",
            "4h, 30m",
            "`img`",
            ":5:",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
