//! Carrying out one case.

use std::{fs, io, path::Path, process::Stdio};

use ijepa_fault_shim::Kind;

use super::{
    case::{Case, Stage, Stream},
    damage::Damage,
    judge::{self, Fault, Finding, finding},
    lab::{Desk, Lab},
    process::{Ended, Order, watch},
    run_folder, sweeps,
    trial::{self, Outcome},
};

/// Carries out a case in a folder `name` of its own.
pub fn carry_out(lab: &Lab, name: &str, case: &Case) -> io::Result<Outcome> {
    match case {
        Case::Call { stage, at, action, sticky } => {
            let order = Order { strike: Some((*at, action.clone())), sticky: *sticky, ..Order::default() };
            trial::call(lab, name, *stage, order)
        }
        Case::Signal { stage, signals } => {
            trial::call(lab, name, *stage, Order { signals: Some(signals.clone()), ..Order::default() })
        }
        Case::Reader { reader, at, action, sticky } => {
            let desk = lab.desk_at(name, Stage::Done)?;
            let strike = Some((*at, action.clone()));
            let order = Order { strike, sticky: *sticky, ..desk.watched() };
            let ended = desk.read(&lab.program, reader, &order)?;
            Ok(Outcome { struck: ended.struck > 0, findings: reading(lab, reader, &ended, &lab.folder) })
        }
        Case::Damage { stage, file, damage, seed } => damaged_run(lab, name, *stage, file, *damage, *seed),
        Case::SweepDamage { file, damage, seed } => sweeps::damaged(lab, name, file, *damage, *seed),
        Case::Sweep { child, signal, milliseconds } => {
            sweeps::struck(lab, name, *child, *signal, *milliseconds)
        }
        Case::Crowd { processes } => crowd(lab, name, *processes),
        Case::Stream { stage, stream } => unwritable(lab, name, *stage, *stream),
    }
}

/// What a reader said with something in its way: what it says otherwise, or a complaint that names `file`.
fn reading(lab: &Lab, reader: &str, ended: &Ended, file: &str) -> Vec<Finding> {
    let mut found = judge::manners(ended, reader);
    let usual = lab.readings.get(reader).map_or("", |r| r.stdout.as_str());
    let named = ended.stderr.contains(file) || ended.stderr.contains(&lab.folder);
    let said = ended.said();
    // The folder of all runs is a place too, if that is what cannot be read.
    let listed = [file, identity(&lab.folder), "/out:"].iter().any(|place| said.contains(place));
    let same = numbers(reader, &ended.stdout) == numbers(reader, usual);
    match (reader, ended.code) {
        _ if ended.hung || ended.code.is_none() => {}
        ("ls", Some(0)) if !listed => found.push(finding(Fault::Unnoticed, "ls leaves the run out")),
        ("ls", Some(0)) => {}
        (_, Some(0)) if !same && !named && !says_damaged(&ended.stdout, file) => {
            found.push(finding(Fault::Wrong, format!("{reader} says something else and names no file")));
        }
        (_, Some(0)) => {}
        _ if !listed => {
            let what = format!("{reader}: {}: {}", ended.how(), judge::first_lines(&ended.said()));
            found.push(finding(Fault::Nameless, what));
        }
        _ => {}
    }
    found
}

/// A line that names the file and says more than a listing of files does.
fn says_damaged(stdout: &str, file: &str) -> bool {
    let words = ["damaged", "changed", "missing", "cannot", "unreadable", "differs", "not "];
    stdout.lines().any(|line| line.contains(file) && words.iter().any(|w| line.contains(w)))
}

/// The last part of a run folder's name, which `ls` shows.
fn identity(folder: &str) -> &str {
    folder.split("-s0-").nth(1).unwrap_or(folder)
}

/// The part of what a reader says that holds results.
fn numbers<'t>(reader: &str, stdout: &'t str) -> &'t str {
    if reader != "show" {
        return stdout;
    }
    let from = stdout.find("last measurements").unwrap_or(stdout.len());
    let rest = &stdout[from..];
    &rest[..rest.find("\nfiles").unwrap_or(rest.len())]
}

/// The order under which a damage that is a refusal holds.
pub fn refusal(damage: Damage, path: &Path) -> Order {
    let strike = damage.refusal().map(|error| (0, error.to_owned()));
    let below = strike.is_some().then(|| path.to_path_buf());
    Order { below, kind: Some(Kind::Open), strike, sticky: true, ..Order::default() }
}

/// The last part of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn damaged_run(
    lab: &Lab,
    name: &str,
    stage: Stage,
    file: &str,
    damage: Damage,
    seed: u64,
) -> io::Result<Outcome> {
    let desk = lab.desk_at(name, stage)?;
    let path = desk.run_folder().ok_or_else(|| io::Error::other("no run folder"))?.join(file);
    let struck = damage.strike(&path, &lab.other.join(file), seed)?;
    let order = refusal(damage, &path);
    let (mut findings, short) = (Vec::new(), file_name(file));
    for reader in lab.readings.keys().filter(|_| struck) {
        let ended = desk.read(&lab.program, reader, &order)?;
        let more = if stage == Stage::Done {
            let mut more = reading(lab, reader, &ended, short);
            // A reader before it may have put right what it can.
            let undone = desk.files()?.get(file) == lab.at(stage).files.get(file);
            more.extend(verified(reader, file, damage, &ended).filter(|_| !undone));
            more
        } else {
            judge::manners(&ended, reader)
        };
        findings.extend(more);
    }
    findings.extend(resumed(lab, &desk, stage, file, &order)?);
    Ok(Outcome { struck, findings })
}

/// A finished run's files are sealed: `verify` must not accept another byte.
fn verified(reader: &str, file: &str, damage: Damage, ended: &Ended) -> Option<Finding> {
    let sealed = run_folder::is_repeatable(file) || file.starts_with("checkpoints/");
    let accepted = reader == "verify" && sealed && ended.code == Some(0);
    accepted.then(|| finding(Fault::Unnoticed, format!("verify accepts {file} ({})", damage.word())))
}

/// The run is started over the damage: it ends with the right bytes, or says which file is wrong and leaves
/// everything as it was.
fn resumed(lab: &Lab, desk: &Desk, stage: Stage, file: &str, order: &Order) -> io::Result<Vec<Finding>> {
    let before = desk.files()?;
    let ended = desk.run(&lab.program, order)?;
    let after = desk.files()?;
    let mut found = judge::manners(&ended, "run");
    found.extend(judge::losses(&before, &after));
    let named = ended.said().contains(file_name(file));
    match ended.code {
        Some(0) if !named => {
            let other = judge::differences(&lab.expected, &after);
            found.extend(other.into_iter().map(|d| finding(Fault::Wrong, d)));
            found.extend(judge::leftovers(&after));
            let stood = run_folder::checkpoint(&lab.at(stage).files).map_or(0, |c| c.step);
            let first = trial::first_step(&before, &after).filter(|first| *first < stood);
            found.extend(
                first.map(|first| finding(Fault::Restart, format!("from step {first}, not {stood}"))),
            );
        }
        Some(0) | None => {}
        Some(1 | 2) if named => {}
        Some(code) => {
            found.push(finding(
                Fault::Nameless,
                format!("exit {code}: {}", judge::first_lines(&ended.said())),
            ));
        }
    }
    Ok(found)
}

fn crowd(lab: &Lab, name: &str, processes: u64) -> io::Result<Outcome> {
    let desk = lab.empty_desk(name)?;
    let output = desk.output().to_string_lossy().into_owned();
    let start = || {
        let mut command = lab.program.command(&desk.path, &["tiny.yaml", "--output", &output, "-q"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    };
    let children: Vec<_> = (0..processes).map(|_| start()).collect::<io::Result<_>>()?;
    let mut findings = Vec::new();
    for child in children {
        let ended = watch(child)?;
        findings.extend(judge::manners(&ended, "run"));
        if !matches!(ended.code, Some(0 | 5)) {
            findings.push(finding(Fault::Stuck, ended.how()));
        }
    }
    findings.extend(trial::finish(lab, &desk)?);
    Ok(Outcome { struck: true, findings })
}

/// A display never ends a run: whatever becomes of its words, the run is carried through.
fn unwritable(lab: &Lab, name: &str, stage: Stage, stream: Stream) -> io::Result<Outcome> {
    let desk = lab.desk_at(name, stage)?;
    let output = desk.output().to_string_lossy().into_owned();
    let mut command = lab.program.command(&desk.path, &["tiny.yaml", "--output", &output, "--threads", "1"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match stream {
        Stream::OutputFull => command.stdout(fs::File::create("/dev/full")?),
        Stream::ErrorFull => command.stderr(fs::File::create("/dev/full")?),
        Stream::OutputUnread => command.stdout(Stdio::piped()),
        Stream::ErrorUnread => command.stderr(Stdio::piped()),
    };
    let mut process = command.spawn()?;
    drop((process.stdout.take(), process.stderr.take()));
    let ended = watch(process)?;
    let mut findings = judge::manners(&ended, "run");
    // A table that was asked for and could not be printed is a failure, and the run is done all the same.
    if !matches!(ended.code, Some(0 | 1)) {
        findings.push(finding(Fault::Wrong, ended.how()));
    }
    let state = run_folder::state(&desk.files()?);
    if state.as_deref() != Some("done") {
        findings.push(finding(Fault::Wrong, format!("the run is {}", state.unwrap_or_default())));
    }
    findings.extend(trial::finish(lab, &desk)?);
    Ok(Outcome { struck: true, findings })
}
