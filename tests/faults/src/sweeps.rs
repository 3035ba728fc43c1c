//! Cases of a sweep: damaged files, and signals to its processes.

use std::{
    fs, io,
    path::PathBuf,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    cases::{file_name, refusal},
    damage::Damage,
    judge::{self, Fault, Finding, finding},
    lab::{Desk, Lab},
    process::{Ended, Order, send, watch},
    run_folder,
    trial::Outcome,
};

/// Files of a sweep that are the same for any order and speed of its runs.
fn is_repeatable_of_sweep(name: &str) -> bool {
    let inner = name.split_once('/').map_or(name, |(_, rest)| rest);
    let of_sweep = ["runs.csv", "plan.csv", "sweep.yaml"].iter().any(|f| name.ends_with(f));
    if name.starts_with("sweeps/") {
        of_sweep
    } else {
        run_folder::is_repeatable(inner) && name.contains('/')
    }
}

/// How a finished sweep differs from one that nothing happened to.
fn sweep_differences(lab: &Lab, desk: &Desk) -> io::Result<Vec<String>> {
    let actual = run_folder::files(&desk.output())?;
    let wanted = lab.sweep.iter().filter(|(name, _)| is_repeatable_of_sweep(name));
    let other = wanted.filter(|(name, bytes)| actual.get(*name) != Some(bytes));
    Ok(other.map(|(name, _)| format!("{name} has other bytes, or none")).collect())
}

fn run_sweep(lab: &Lab, desk: &Desk, order: &Order) -> io::Result<Ended> {
    let arguments = desk.sweep_arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    lab.program.run(&desk.path, &arguments, order)
}

/// The path of the file in an output folder.
fn in_output(desk: &Desk, file: &str) -> PathBuf {
    desk.output().join(file)
}

/// A file of the sweep is damaged; then every reader and the sweep itself.
pub fn damaged(lab: &Lab, name: &str, file: &str, damage: Damage, seed: u64) -> io::Result<Outcome> {
    let desk = lab.sweep_desk(name)?;
    let path = in_output(&desk, file);
    let other = in_output(&desk, "sweeps").join("swapped");
    fs::write(&other, "run_id,arm,seed\nx,y,0\n")?;
    let struck = damage.strike(&path, &other, seed)?;
    fs::remove_file(&other)?;
    let (mut findings, order) = (Vec::new(), refusal(damage, &path));
    for (reader, usual) in lab.sweep_readings.iter().filter(|_| struck) {
        let ended = desk.read(&lab.program, reader, &order)?;
        findings.extend(judge::manners(&ended, reader));
        findings.extend(misread(reader, usual, &ended, file));
    }
    // Processes that the sweep starts would not live under the filter; for its own files it needs none.
    if damage.refusal().is_none() || file.starts_with("sweeps/") {
        findings.extend(swept_again(lab, &desk, file, &order)?);
    }
    Ok(Outcome { struck, findings })
}

/// The sweep is started over the damage: it ends as it did, or says which file is wrong.
fn swept_again(lab: &Lab, desk: &Desk, file: &str, order: &Order) -> io::Result<Vec<Finding>> {
    let ended = run_sweep(lab, desk, order)?;
    let mut findings = judge::manners(&ended, "sweep");
    let named = ended.said().contains(file_name(file));
    if ended.code == Some(0) && !named {
        findings.extend(sweep_differences(lab, desk)?.into_iter().map(|d| finding(Fault::Wrong, d)));
    } else if ended.code != Some(0) && !named && !ended.hung {
        findings.push(finding(Fault::Nameless, format!("sweep: {}", judge::first_lines(&ended.said()))));
    }
    Ok(findings)
}

/// A comparison of a damaged sweep gives the usual numbers or names what is wrong; its status counts no run as done
/// of which something that it says is not what it was.
fn misread(reader: &str, usual: &Ended, ended: &Ended, file: &str) -> Option<Finding> {
    let folder = file.split('/').next().unwrap_or(file);
    let named = ended.said().contains(file_name(file)) || ended.stderr.contains(folder);
    let other = reader == "compare" && ended.code == Some(0) && ended.stdout != usual.stdout && !named;
    let says_something =
        is_repeatable_of_sweep(file) && !file.starts_with("sweeps/") && !file.contains("weights");
    let trusts = reader == "status" && ended.code == Some(0) && says_something && !named;
    (other || trusts).then(|| {
        let what =
            if trusts { "counts a damaged run as it was" } else { "says something else and names no file" };
        finding(Fault::Wrong, format!("{reader} of the sweep {what}"))
    })
}

/// A signal to the sweep or to one of its runs; then again until done.
pub fn struck(lab: &Lab, name: &str, child: bool, signal: i32, milliseconds: u64) -> io::Result<Outcome> {
    let desk = lab.empty_desk(name)?;
    let arguments = desk.sweep_arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = lab.program.command(&desk.path, &arguments);
    let log = fs::File::create(desk.path.join(".stderr"))?;
    let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
    sleep(Duration::from_millis(milliseconds));
    let target = if child { child_of(process.id()) } else { Some(process.id()) };
    let signal = Signal::from_named_raw(signal).ok_or_else(|| io::Error::other("no such signal"))?;
    target.into_iter().for_each(|id| send(id, signal));
    let mut ended = watch(process)?;
    ended.stderr = fs::read_to_string(desk.path.join(".stderr"))?;
    let mut findings = judge::manners(&ended, "sweep");
    findings.extend(finish_sweep(lab, &desk)?);
    Ok(Outcome { struck: target.is_some(), findings })
}

/// Time in which a sweep must find its runs free: a run of a killed sweep may still be writing its checkpoint.
const LONGEST: Duration = Duration::from_secs(120);

/// Starts the sweep again until it is done.
fn finish_sweep(lab: &Lab, desk: &Desk) -> io::Result<Vec<Finding>> {
    let (mut found, begun) = (Vec::new(), Instant::now());
    loop {
        let ended = run_sweep(lab, desk, &Order::default())?;
        found.extend(judge::manners(&ended, "sweep"));
        match ended.code {
            Some(0) => {
                found.extend(sweep_differences(lab, desk)?.into_iter().map(|d| finding(Fault::Wrong, d)));
                return Ok(found);
            }
            Some(5 | 75) if begun.elapsed() < LONGEST => sleep(Duration::from_millis(200)),
            _ => {
                found.push(finding(Fault::Stuck, judge::first_lines(&ended.said())));
                return Ok(found);
            }
        }
    }
}

/// A process started by `parent`.
fn child_of(parent: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let ids = processes.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let parent_of = |id: &u32| -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    ids.into_iter().find(|id| parent_of(id) == Some(parent))
}
