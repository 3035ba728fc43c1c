//! What a person reads of a sweep: what would run, and what came out.

use std::path::Path;

use ijepa_registry::params::MatmulPrecision;

use super::{Exit, RunOptions, print::aligned};
use crate::{
    analysis::{At, Earlier, Report, Request, compare, too_few_seeds},
    bench,
    results::{RunOverview, RunState},
    run::{
        device::{self, ComputeDevice},
        sweep::{self, steps_left},
    },
    sinks::human_time,
    sweep::{Plan, PlannedRun},
};

/// Operations below which a measurement takes longer than the training.
const WORTH_MEASURING: f64 = 1e12;

/// Settings that are named where a run is new because they changed.
const FEW: usize = 2;

/// The planned runs with what would be done with each, what it costs, and counts.
pub(crate) fn dry_run(plan: &Plan, standings: &[&RunOverview], options: &RunOptions) -> String {
    let earlier = Earlier::list(&options.output);
    let rows = plan.runs.iter().zip(standings).map(|(run, standing)| {
        let giga = run.flop().map_or("unknown".into(), |f| format!("{:.0}", f / 1e9));
        let parameters = run.cost.map_or("unknown".into(), |c| c.parameters.to_string());
        let memory = run.cost.and_then(|c| c.memory);
        let memory = memory.map_or("unknown".into(), |bytes| format!("{:.0}", bytes / 1048576.0));
        let cells = [run.index.to_string(), run.arm.clone(), run.seed.to_string(), parameters, giga, memory];
        let [index, arm, seed, parameters, giga, memory] = cells;
        [index, arm, seed, parameters, giga, memory, reason(run, standing, &earlier, options)]
    });
    let head = ["run", "arm", "seed", "parameters", "GFLOP", "MiB", "reason"].map(String::from);
    let table = aligned(head, rows.collect());
    let over = |s: &&&RunOverview| s.is_over() && !options.force;
    let finished = standings.iter().filter(over).count();
    let new = standings.iter().filter(|s| s.status.is_none()).count();
    let left = plan.runs.len() - finished;
    let steps_to_do = left_of_all(plan, standings, options);
    let arms = plan.arms();
    let seeds = plan.runs.iter().filter(|run| arms.first() == Some(&run.arm.as_str())).count();
    format!(
        "{table}\n{} runs: {new} new, {} to continue, {finished} finished; {}\n{}{}sweep folder: {}\n",
        plan.runs.len(),
        left - new,
        steps(&steps_to_do),
        hours(plan, &steps_to_do, options).map_or(String::new(), |line| line + "\n"),
        too_few_seeds(arms.len(), seeds).map_or(String::new(), |line| line + "\n"),
        sweep_folder(plan, options)
    )
}

/// Its name depends on the content of the data, which nobody reads for a mere look.
fn sweep_folder(plan: &Plan, options: &RunOptions) -> String {
    let known = |run: &PlannedRun| {
        let content = run.experiment.data.as_ref().and_then(|facts| facts.content.as_ref());
        content.is_some() || !run.experiment.dataset.object.reads_files()
    };
    match plan.runs.iter().all(known) {
        true => sweep::sweep_folder(plan, &options.output).display().to_string(),
        false => {
            format!("named in {} once the images have been read", options.output.join("sweeps").display())
        }
    }
}

/// The same of a single experiment, line by line.
pub(crate) fn dry_run_of_one(plan: &Plan, options: &RunOptions) -> String {
    let standings = sweep::overviews(plan, &options.output);
    let standings: Vec<&RunOverview> = standings.iter().collect();
    let [run] = plan.runs.as_slice() else { return String::new() };
    let experiment = &run.experiment;
    let mut lines = vec![
        ("run", sweep::run_folder(run, &options.output).display().to_string()),
        ("state", reason(run, standings[0], &Earlier::list(&options.output), options)),
    ];
    lines.extend(experiment.survey().map(|survey| ("images", survey.sentence())));
    lines.push(("length", length(run)));
    let steps_to_do = left_of_all(plan, &standings, options);
    lines.push(("work", steps(&steps_to_do)));
    lines.extend(run.flop().map(|flop| ("", format!("{:.0} GFLOP for the whole run", flop / 1e9))));
    lines.extend(hours(plan, &steps_to_do, options).map(|line| ("", line)));
    lines.extend(run.cost.map(|c| ("model", format!("{} trained parameters", c.parameters))));
    let memory = run.cost.and_then(|c| c.memory);
    lines.extend(memory.map(|bytes| ("memory", format!("about {:.0} MiB", bytes / 1_048_576.0))));
    let components = [
        ("dataset", &experiment.dataset.kind),
        ("encoder", &experiment.encoder.kind),
        ("predictor", &experiment.predictor.kind),
        ("masking", &experiment.masking.kind),
        ("loss", &experiment.loss.kind),
        ("optimizer", &experiment.optimizer.kind),
    ];
    lines.extend(components.map(|(name, kind)| (name, kind.clone())));
    let probes: Vec<&str> = experiment.probes.iter().map(|p| p.name.as_str()).collect();
    lines.extend(experiment.init.iter().map(|init| ("start", init.text())));
    lines.push(("probes", if probes.is_empty() { "none".into() } else { probes.join(", ") }));
    lines.push(("device", experiment.device.to_string()));
    lines.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}

fn length(run: &PlannedRun) -> String {
    let train = &run.experiment.train;
    match run.experiment.train_images().zip(run.steps()) {
        Some((images, steps)) => {
            format!("{} epochs of {images} images, {steps} steps of {}", train.epochs, train.batch_size)
        }
        None => format!("{} epochs, steps of {} images", train.epochs, train.batch_size),
    }
}

/// How long the training takes on this machine that is left of every run. None if its operations cannot be counted,
/// or are too few to wait for a measurement.
pub(crate) fn hours(plan: &Plan, steps_left: &[Option<u64>], options: &RunOptions) -> Option<String> {
    let flop_left = |(run, left): (&PlannedRun, &Option<u64>)| {
        let (flop, steps) = (run.flop()?, run.steps()?.max(1));
        Some(flop * (*left)? as f64 / steps as f64)
    };
    let flop: Option<f64> = plan.runs.iter().zip(steps_left).map(flop_left).sum();
    let flop = flop.filter(|flop| *flop > WORTH_MEASURING)?;
    let first = plan.runs.first()?;
    match device::choose(first.experiment.device).ok()? {
        ComputeDevice::Cpu => {}
        #[cfg(feature = "cuda-base")]
        ComputeDevice::Cuda(_, name) => {
            let giga = flop / 1e9;
            return Some(format!(
                "{giga:.0} GFLOP of training on {name}: `ijepa-run bench` measures how fast it is"
            ));
        }
    }
    let threads = options.threads.map(|t| usize::from(t) * options.jobs());
    let rounding = |run: &PlannedRun| run.experiment.train.matmul;
    let first = rounding(first);
    // Runs that round differently are taken to be as slow as those that do not round.
    let common = if plan.runs.iter().all(|r| rounding(r) == first) { first } else { MatmulPrecision::F32 };
    let speed = bench::attainable_speed(threads, common)?;
    Some(format!(
        "training takes about {} here: {:.0} GFLOP at {:.0} GFLOP/s, {:.0} % of this machine's matrix product; probes come on top",
        human_time(flop / speed),
        flop / 1e9,
        speed / 1e9,
        100.0 * bench::SHARE_OF_PRODUCT
    ))
}

/// Steps that are left to do in every run.
fn left_of_all(plan: &Plan, standings: &[&RunOverview], options: &RunOptions) -> Vec<Option<u64>> {
    plan.runs.iter().zip(standings).map(|(run, s)| steps_left(run, s, options.force)).collect()
}

/// Steps that are left in all runs.
fn steps(left: &[Option<u64>]) -> String {
    let all: Option<u64> = left.iter().copied().sum();
    all.map_or("the number of steps depends on the data".into(), |steps| format!("{steps} steps to do"))
}

/// What would be done with a run, and why.
fn reason(run: &PlannedRun, standing: &RunOverview, earlier: &Earlier, options: &RunOptions) -> String {
    let status = standing.status.as_ref();
    let at = status.map_or(String::new(), |s| format!(": continues at step {} of {}", s.step, s.steps));
    match standing.state() {
        _ if options.force => "starts over (--force), earlier files are kept".into(),
        _ if standing.ended_early.is_some() => format!("ended early: {}", standing.reason()),
        RunState::Pending => new(run, earlier),
        RunState::Done => "done: reused".into(),
        state @ (RunState::Diverged | RunState::Collapsed) => {
            format!("{state}: kept ({})", standing.reason())
        }
        state @ (RunState::Stopped | RunState::Interrupted) => format!("{state}{at}"),
        RunState::Running => "running in another process".into(),
        RunState::Failed => format!("failed ({}){at}", standing.reason()),
        RunState::Unreadable => format!("unreadable: {}", standing.reason()),
    }
}

/// New, and what sets the run apart from an earlier one if it is not much.
fn new(run: &PlannedRun, earlier: &Earlier) -> String {
    let Some(neighbour) = earlier.nearest(&run.experiment.run_folder_name(), &run.experiment) else {
        return "new".into();
    };
    let changed: Vec<String> =
        neighbour.decisive().map(|d| format!("{} {} -> {}", d.path, d.values[0], d.values[1])).collect();
    match changed.len() {
        1..=FEW => format!("new: differs from {} in {}", neighbour.run_id, changed.join(", ")),
        _ => "new".into(),
    }
}

/// One line per arm of the sweep in `folder`: how many runs, and the mean and spread over seeds of what
/// `compare` judges the sweep by.
pub(crate) fn arms(folder: &Path, standings: &[&RunOverview]) -> String {
    let Some(report) = compared(folder, standings) else { return String::new() };
    let rows =
        report.arms.iter().map(|arm| [arm.label.clone(), arm.count(), short(arm.mean), short(arm.std)]);
    let head = ["arm", "n", "mean", "std"].map(String::from);
    let at = match report.at {
        At::Last => String::new(),
        At::Best if report.unjudged.is_empty() => " (best of the run, chosen on held-out images)".into(),
        At::Best => " (best of the run, chosen with hindsight)".into(),
        At::Step(step) => format!(" (step {step})"),
    };
    format!("{}{at}\n{}", report.metric, aligned(head, rows.collect()))
}

/// What `compare` says of the sweep. Where it finds no metric to judge by, the first that is measured on the
/// target encoder is shown, else the first.
fn compared(folder: &Path, standings: &[&RunOverview]) -> Option<Report> {
    let names = || standings.iter().flat_map(|s| &s.metrics).map(|(name, _)| name);
    let first = || names().find(|n| n.contains("/target/")).or_else(|| names().next());
    let by = |metric: Option<String>| {
        compare(&Request { inputs: vec![folder.into()], metric, ..Request::default() })
    };
    by(None).or_else(|_| by(first().cloned())).ok()
}

fn short(value: f64) -> String {
    if value.is_nan() { "-".into() } else { format!("{value:.3}") }
}

/// How a sweep ended, in a few words.
pub(crate) fn outcome(exit: Exit, standings: &[&RunOverview]) -> String {
    let again = if exit == Exit::Requeue { "; run again to continue" } else { "" };
    format!("{}{again}", states(standings))
}

/// How many runs are in which state: `3 done, 1 failed`.
pub(crate) fn states(standings: &[&RunOverview]) -> String {
    let count = |state: RunState| standings.iter().filter(|s| s.state() == state).count();
    let counts = RunState::ALL.map(|state| (state, count(state))).into_iter().filter(|(_, n)| *n > 0);
    counts.map(|(state, n)| format!("{n} {state}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_a_dash() {
        assert_eq!([f64::NAN, 1.0].map(short), ["-", "1.000"]);
    }
}
