//! One run that something happens to: struck, then continued until it is done, then compared.

use std::io;

use super::{
    case::Stage,
    judge::{self, Fault, Finding, finding},
    lab::{Desk, Lab},
    process::{Ended, Order},
    run_folder::{self, Files},
};

/// Starts that a run may need after one strike.
const MOST_STARTS: usize = 3;

/// What a case left behind.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Whether anything happened to the program: a case that strikes nothing shows nothing.
    pub struck: bool,
    pub findings: Vec<Finding>,
}

/// The run is started under `order`, then continued.
pub fn struck_run(lab: &Lab, desk: &Desk, order: &Order) -> io::Result<(Ended, Vec<Finding>)> {
    let (ended, mut found) = start(lab, desk, order)?;
    found.extend(judge::names_a_place(&ended, &lab.folder));
    found.extend(unsaved(&ended, &desk.files()?, order));
    if !matches!(ended.code, None | Some(0 | 1 | 2 | 75 | 130)) {
        found.push(finding(Fault::Wrong, format!("{}: {}", ended.how(), judge::first_lines(&ended.stderr))));
    }
    found.extend(finish(lab, desk)?);
    Ok((ended, found))
}

/// A warning that ended the process although it was training. KILL warns nobody, and a second signal may
/// leave at once.
fn unsaved(ended: &Ended, files: &Files, order: &Order) -> Option<Finding> {
    let signals = order.signals.as_ref()?;
    let warned = ended.signal.filter(|s| *s != 9 && !signals.contains(','))?;
    let trained = run_folder::state(files).is_some_and(|state| state == "running");
    trained.then(|| finding(Fault::Unsaved, format!("signal {warned} ended a run that trained")))
}

/// One start, and what it did to the files that it found.
pub fn start(lab: &Lab, desk: &Desk, order: &Order) -> io::Result<(Ended, Vec<Finding>)> {
    let before = desk.files()?;
    let ended = desk.run(&lab.program, order)?;
    let after = desk.files()?;
    let mut found = judge::manners(&ended, "run");
    found.extend(judge::losses(&before, &after));
    found.extend(restart(&before, &after));
    Ok((ended, found))
}

/// Whether a start went back behind the checkpoint that it found.
fn restart(before: &Files, after: &Files) -> Option<Finding> {
    let step = run_folder::checkpoint(before)?.step;
    let first = first_step(before, after)?;
    (first < step)
        .then(|| finding(Fault::Restart, format!("from step {first}, with a checkpoint of step {step}")))
}

/// The step that the latest process started from, if it got as far as saying so.
pub fn first_step(before: &Files, after: &Files) -> Option<u64> {
    let (old, new) = (run_folder::cards(before).unwrap_or_default(), run_folder::cards(after)?);
    let grew = new.len() > old.len();
    grew.then(|| new.last()?["first_step"].as_u64())?
}

/// Starts again, undisturbed, until the run is done; then nothing may set it apart.
pub fn finish(lab: &Lab, desk: &Desk) -> io::Result<Vec<Finding>> {
    let mut found = Vec::new();
    for _ in 0..MOST_STARTS {
        let (ended, more) = start(lab, desk, &Order::default())?;
        found.extend(more);
        if ended.code == Some(0) {
            found.extend(compare(lab, desk)?);
            return Ok(found);
        }
        if ended.code != Some(75) {
            let what = format!("{}: {}", ended.how(), judge::first_lines(&ended.stderr));
            found.push(finding(Fault::Stuck, what));
            return Ok(found);
        }
    }
    found.push(finding(Fault::Stuck, "stopped again and again"));
    Ok(found)
}

/// A finished run beside the one that nothing happened to.
fn compare(lab: &Lab, desk: &Desk) -> io::Result<Vec<Finding>> {
    let files = desk.files()?;
    let mut found = judge::leftovers(&files);
    found.extend(judge::differences(&lab.expected, &files).into_iter().map(|d| finding(Fault::Wrong, d)));
    Ok(found)
}

/// A case of calls or signals.
pub fn call(lab: &Lab, name: &str, stage: Stage, order: Order) -> io::Result<Outcome> {
    let desk = lab.desk_at(name, stage)?;
    let order = Order { below: order.strike.is_some().then(|| desk.output()), ..order };
    let (ended, findings) = struck_run(lab, &desk, &order)?;
    Ok(Outcome { struck: order.signals.is_some() || ended.struck > 0, findings })
}
