//! Which cases a campaign tries.

use std::collections::HashMap;

use ijepa_fault_shim::Kind;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    case::{Case, Stage, Stream},
    damage::Damage,
    lab::Lab,
    process::Traced,
    run_folder,
};

/// Errors of system calls: EIO, EACCES, EMFILE, ENOSPC, EROFS.
const ERRORS: [&str; 5] = ["5", "13", "24", "28", "30"];

/// Errors that stay: a broken disk, a full one, one mounted read-only.
const LASTING: [&str; 3] = ["5", "28", "30"];

/// Signals, alone and in twos: KILL, TERM, INT, HUP, USR1, USR2, XCPU, STOP (the campaign continues it).
const SIGNALS: [i32; 8] = [9, 15, 2, 1, 10, 12, 24, 19];

/// How many cases of each kind. None: all.
pub struct Size {
    pub kills: Option<usize>,
    pub calls: Option<usize>,
    pub readers: Option<usize>,
    pub signals: usize,
    pub damages: Option<usize>,
    /// Places of one damage in one file.
    pub places: u64,
    pub sweep_damages: usize,
    pub sweeps: usize,
    pub crowds: usize,
}

/// What runs with every change.
pub const SHORT: Size = Size {
    kills: Some(40),
    calls: Some(80),
    readers: Some(50),
    signals: 16,
    damages: Some(80),
    places: 2,
    sweep_damages: 6,
    sweeps: 2,
    crowds: 1,
};

/// What runs before a release.
pub const LONG: Size = Size {
    kills: None,
    calls: Some(1_600),
    readers: Some(400),
    signals: 200,
    damages: None,
    places: 4,
    sweep_damages: 150,
    sweeps: 40,
    crowds: 8,
};

/// All cases of a campaign, in a fixed order.
pub fn cases(lab: &Lab, size: &Size, seed: u64) -> Vec<Case> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut cases = kills(lab, size.kills, &mut random);
    cases.extend(some(calls(lab), size.calls, &mut random));
    let lists = |case: &Case| {
        let Case::Reader { reader, at, .. } = case else { return false };
        let call = lab.readings.get(reader.as_str()).and_then(|usual| usual.trace.get(*at as usize));
        call.is_some_and(|call| call.kind == Kind::List)
    };
    cases.extend(sample(readers(lab), lists, size.readers, &mut random));
    cases.extend(signals(lab, size.signals, &mut random));
    cases.extend(sample(damages(lab, size.places), is_vital_damage, size.damages, &mut random));
    let first =
        lab.sweep.keys().find_map(|file| file.split_once("-s0-")?.1.split_once('/')).map(|(id, _)| id);
    let of_first =
        |case: &Case| is_vital_damage(case) && first.is_some_and(|id| case.to_string().contains(id));
    cases.extend(sample(sweep_damages(lab), of_first, Some(size.sweep_damages), &mut random));
    cases.extend(sweeps(size.sweeps, &mut random));
    let streams = [Stage::Fresh, Stage::Stopped, Stage::Done];
    cases.extend(
        streams.into_iter().flat_map(|stage| Stream::ALL.map(|stream| Case::Stream { stage, stream })),
    );
    cases.extend((0..size.crowds).map(|i| Case::Crowd { processes: 3 + 3 * i as u64 }));
    cases
}

/// A sample in random order, or everything.
fn some(mut cases: Vec<Case>, most: Option<usize>, random: &mut ChaCha8Rng) -> Vec<Case> {
    if let Some(most) = most.filter(|most| *most < cases.len()) {
        cases.shuffle(random);
        cases.truncate(most);
    }
    cases
}

/// The cases that every form tries, and a sample of the others.
fn sample(
    cases: Vec<Case>,
    vital: impl Fn(&Case) -> bool,
    most: Option<usize>,
    random: &mut ChaCha8Rng,
) -> Vec<Case> {
    let (mut all, rest): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(vital);
    all.extend(some(rest, most, random));
    all
}

/// Damages of a finished run that a program passes over which looks at its status alone, or not even at that.
fn is_vital_damage(case: &Case) -> bool {
    use Damage::{Byte, DanglingLink, Deleted, Digit, Swapped};
    let (file, damage) = match case {
        Case::Damage { stage: Stage::Done, file, damage, seed: 0 } => (file.as_str(), *damage),
        Case::SweepDamage { file, damage, .. } => match file.split_once("-s0-") {
            Some((_, rest)) => (rest.split_once('/').map_or("", |(_, name)| name), *damage),
            None => return false,
        },
        _ => return false,
    };
    match damage {
        Digit => file.ends_with(".csv") || file == "metrics.json",
        Byte => file == "weights.safetensors",
        Deleted => true,
        DanglingLink => ["status.json", "experiment.yaml"].contains(&file),
        Swapped => ["status.json", "checkpoints/latest.safetensors"].contains(&file),
        _ => false,
    }
}

/// Files at which every operation is a place to be killed, in the short form too.
fn is_vital(path: &str) -> bool {
    ["checkpoints/", "weights", "status.json", "run.json"].iter().any(|word| path.contains(word))
}

/// The file that each call is about in the end: a temporary file is renamed to it.
fn subjects(trace: &[Traced]) -> Vec<String> {
    let mut names: Vec<String> = trace.iter().map(|call| call.path.clone()).collect();
    let mut renamed: HashMap<&str, String> = HashMap::new();
    let mut last = "";
    for call in trace {
        match call.kind {
            Kind::Rename => drop(renamed.insert(last, call.path.clone())),
            _ if run_folder::is_temporary(&call.path) => last = &call.path,
            _ => {}
        }
    }
    names.iter_mut().for_each(|name| {
        if let Some(target) = renamed.get(name.as_str()) {
            name.clone_from(target);
        }
    });
    names
}

fn kills(lab: &Lab, others: Option<usize>, random: &mut ChaCha8Rng) -> Vec<Case> {
    let (mut vital, mut rest) = (Vec::new(), Vec::new());
    for stage in Stage::ALL {
        let trace = &lab.at(stage).trace;
        for (at, (call, subject)) in trace.iter().zip(subjects(trace)).enumerate() {
            let short = stage == Stage::Fresh && is_vital(&subject) && call.kind != Kind::Stat;
            for action in deaths(call.kind).iter().copied() {
                let case = Case::Call { stage, at: at as u64, action: action.into(), sticky: false };
                if short { vital.push(case) } else { rest.push(case) }
            }
        }
    }
    vital.extend(some(rest, others, random));
    vital
}

/// Ways to die at a call.
fn deaths(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Write => &["kill", "torn"],
        Kind::Rename | Kind::Truncate => &["kill", "after"],
        _ => &["kill"],
    }
}

fn calls(lab: &Lab) -> Vec<Case> {
    let mut cases = Vec::new();
    for stage in Stage::ALL {
        for (at, call) in lab.at(stage).trace.iter().enumerate() {
            let case =
                |action: &str, sticky| Case::Call { stage, at: at as u64, action: action.into(), sticky };
            cases.extend(ERRORS.map(|error| case(error, false)));
            cases.extend(LASTING.map(|error| case(error, true)));
            if matches!(call.kind, Kind::Read | Kind::Write) {
                cases.push(case("short", false));
            }
        }
    }
    cases
}

fn readers(lab: &Lab) -> Vec<Case> {
    let mut cases = Vec::new();
    for (reader, usual) in &lab.readings {
        for (at, action) in (0..usual.trace.len() as u64).flat_map(|at| ["5", "13", "24"].map(|e| (at, e))) {
            for sticky in [false, true] {
                cases.push(Case::Reader { reader: (*reader).into(), at, action: action.into(), sticky });
            }
        }
    }
    cases
}

fn signals(lab: &Lab, count: usize, random: &mut ChaCha8Rng) -> Vec<Case> {
    let stages = [Stage::Fresh, Stage::Stopped, Stage::Killed];
    let one = |i: usize| {
        let stage = stages[i / SIGNALS.len() % 3];
        let first = random.random_range(1..=lab.at(stage).milliseconds);
        let signal = SIGNALS[i % SIGNALS.len()];
        let signals = match i % 4 {
            3 => format!("{signal}@{first},{}@{}", [2, 15, 9][i / 4 % 3], first + random.random_range(1..20)),
            _ => format!("{signal}@{first}"),
        };
        Case::Signal { stage, signals }
    };
    (0..count).map(one).collect()
}

fn damages(lab: &Lab, places: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for stage in [Stage::Stopped, Stage::Killed, Stage::Done] {
        for file in lab.at(stage).files.keys().filter(|f| !run_folder::is_temporary(f)) {
            for damage in Damage::ALL {
                let seeds = if damage.has_a_place() { places } else { 1 };
                let case = |seed| Case::Damage { stage, file: file.clone(), damage, seed };
                cases.extend((0..seeds).map(case));
            }
        }
    }
    cases
}

fn sweep_damages(lab: &Lab) -> Vec<Case> {
    let files = lab.sweep.keys().filter(|f| f.contains('/') && !f.ends_with("lock") && !f.contains("logs/"));
    let all =
        |file: &String| Damage::ALL.map(|damage| Case::SweepDamage { file: file.clone(), damage, seed: 0 });
    files.flat_map(all).collect()
}

fn sweeps(count: usize, random: &mut ChaCha8Rng) -> Vec<Case> {
    let signals = [9, 15, 2, 1];
    let one = |i: usize| Case::Sweep {
        child: i % 8 >= 5,
        signal: signals[i % 4],
        milliseconds: random.random_range(20..900),
    };
    (0..count).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_on_a_temporary_file_belong_to_what_it_becomes() {
        let call = |kind, path: &str| Traced { kind, path: path.into() };
        let trace = [
            call(Kind::Open, "r/.tmpA"),
            call(Kind::Write, "r/.tmpA"),
            call(Kind::Rename, "r/status.json"),
            call(Kind::Write, "r/metrics.csv"),
        ];
        assert_eq!(subjects(&trace), ["r/status.json", "r/status.json", "r/status.json", "r/metrics.csv"]);
        assert!(is_vital("r/status.json") && !is_vital("r/metrics.csv"));
    }
}
