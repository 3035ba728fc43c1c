//! The command line: a campaign's workers, its counts and its table.

use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use clap::{Parser, Subcommand};

use super::{
    case::Case,
    cases, fuzz,
    judge::{Finding, finding},
    lab::Lab,
    plan::{self, LONG, SHORT, Size},
    pretender,
    process::Program,
    rows::{Filter, Row, is_clean, print, row_of},
};

/// Kills, refuses, signals and damages a tiny run in every way, and compares it with one that was left alone.
#[derive(Parser, Debug)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Program under test; by default the `ijepa-run` beside this one.
    #[arg(long, global = true, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where and when chance strikes.
    #[arg(long, global = true, default_value_t = 0)]
    seed: u64,
    /// Cases at a time.
    #[arg(long, global = true, default_value_t = 2)]
    workers: usize,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// What runs with every change: at most two minutes on two cores.
    Short(Filter),
    /// Everything: about an hour.
    Long(Filter),
    /// Repeat one case alone, as a campaign printed it.
    Case {
        /// Such as call:fresh:57:torn.
        case: Case,
    },
    /// Programs that are known to be wrong: each must be noticed.
    Check,
}

/// Runs the campaign with the arguments of the process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match carry_out(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn carry_out(arguments: &Arguments) -> io::Result<bool> {
    let program = program(arguments)?;
    match &arguments.command {
        Command::Short(filter) => whole(arguments, program, filter, &SHORT, &fuzz::SHORT),
        Command::Long(filter) => whole(arguments, program, filter, &LONG, &fuzz::LONG),
        Command::Case { case } => {
            let lab = Lab::new(program)?;
            let outcome = cases::carry_out(&lab, "case", case)?;
            outcome.findings.iter().for_each(|f| println!("{f}"));
            println!(
                "{case}: {}, {} findings",
                if outcome.struck { "struck" } else { "not struck" },
                outcome.findings.len()
            );
            Ok(outcome.findings.is_empty())
        }
        Command::Check => check(&mut Lab::new(program)?),
    }
}

/// Where the program and the shim are: beside this program, as one build leaves them.
fn program(arguments: &Arguments) -> io::Result<Program> {
    let own = env::current_exe()?;
    let folder = own.parent().unwrap_or(Path::new("."));
    let folders = [folder.to_path_buf(), folder.join("deps"), folder.join("..")];
    let find = |name: &str| {
        let found = folders.iter().map(|f| f.join(name)).find(|p| p.is_file());
        let missing = || {
            io::Error::other(format!(
                "there is no {name} beside {}: cargo build --release --workspace",
                own.display()
            ))
        };
        found.and_then(|p| p.canonicalize().ok()).ok_or_else(missing)
    };
    let binary = match &arguments.program {
        Some(path) => path.canonicalize()?,
        None => find("ijepa-run")?,
    };
    Ok(Program { binary, shim: find("libijepa_fault_shim.so")?, pretends: None })
}

fn whole(
    arguments: &Arguments,
    program: Program,
    filter: &Filter,
    size: &Size,
    amounts: &[fuzz::Amount],
) -> io::Result<bool> {
    let (begun, seed) = (Instant::now(), arguments.seed);
    let mut rows = BTreeMap::new();
    // Inputs need no runs, which take a while to make.
    if filter.only.as_ref().is_none_or(|text| !text.starts_with("fuzz")) {
        let lab = Lab::new(program)?;
        let all = filter.of(plan::cases(&lab, size, seed));
        rows = work(&lab, &all, arguments)?;
    }
    for amount in amounts.iter().filter(|a| filter.wants(a.row)) {
        let outcome = fuzz::run(amount, seed, arguments.workers)?;
        let row = Row { tried: outcome.tried, missed: 0, faults: outcome.faults };
        rows.insert(amount.row, row);
    }
    print(&rows);
    println!("\n{} s", begun.elapsed().as_secs());
    Ok(is_clean(&rows))
}

/// Carries out all cases on some threads; every finding is printed with the command that repeats it.
fn work(lab: &Lab, all: &[Case], arguments: &Arguments) -> io::Result<BTreeMap<&'static str, Row>> {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<_, Row>::new()));
    let begun = Instant::now();
    let failed = Mutex::new(None);
    let worker = |id: usize| {
        loop {
            let at = next.fetch_add(1, Ordering::SeqCst);
            let Some(case) = all.get(at) else { return };
            if at.is_multiple_of(200) {
                eprintln!("{at} of {} cases, {} s", all.len(), begun.elapsed().as_secs());
            }
            match cases::carry_out(lab, &format!("worker-{id}"), case) {
                Ok(outcome) => {
                    tell(case, &outcome.findings, arguments);
                    rows.lock().expect("no worker panics").entry(row_of(case)).or_default().add(&outcome);
                }
                Err(error) => *failed.lock().expect("no worker panics") = Some(format!("{case}: {error}")),
            }
        }
    };
    thread::scope(|scope| (0..arguments.workers.max(1)).for_each(|id| drop(scope.spawn(move || worker(id)))));
    match failed.into_inner().expect("no worker panics") {
        Some(error) => Err(io::Error::other(error)),
        None => Ok(rows.into_inner().expect("no worker panics")),
    }
}

fn tell(case: &Case, findings: &[Finding], arguments: &Arguments) {
    if findings.is_empty() {
        return;
    }
    let program = arguments.program.as_ref().map_or(String::new(), |p| format!(" --program {}", p.display()));
    let lines: String = findings.iter().take(4).map(|f| format!("  {f}\n")).collect();
    println!("FAULT {case}\n{lines}  again: ijepa-faults case {case}{program}");
}

/// Every known-bad program must be noticed, in the way that it is bad; the good one must not.
fn check(lab: &mut Lab) -> io::Result<bool> {
    let mut all = true;
    for bad in &pretender::ALL {
        let case: Case = bad.case.parse().map_err(io::Error::other)?;
        let honest = cases::carry_out(lab, "check", &case)?;
        lab.pretend(Some(bad.name));
        let outcome = cases::carry_out(lab, "check", &case)?;
        lab.pretend(None);
        let noticed = outcome.findings.iter().any(|f| f.fault == bad.fault);
        let clean = !honest.findings.iter().any(|f| f.fault == bad.fault);
        println!("{}: {}", bad.name, if noticed { "noticed" } else { "NOT NOTICED" });
        if !clean {
            println!("{}: the program itself does that: {}", bad.name, finding(bad.fault, bad.case));
        }
        all &= noticed && clean;
    }
    Ok(all)
}
