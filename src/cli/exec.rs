//! `ijepa-run exec PLAN --index N`

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{Exit, print, resolve, signals, time_limit};
use crate::{
    results::{EngineTask, StoredPlan, host, index_variables},
    run::{
        exec::{Task, TaskEnd, TaskEvent, exec_task},
        launcher::{LocalLauncher, cores, parse_time, requeue},
    },
};

const EXAMPLES: &str = "\
Examples:
  ijepa-run exec mask-count --index 7            run 7 of the plan of a sweep; done before: says so, exits with 0
  ijepa-run exec mask-count --index 2 --count 4  the third four of its runs: 8 to 11, one after the other
  ijepa-run exec results/sweeps/mask-count-50b96436e11e
                                                 in a task of a job array: the engine's variable says which run
  ijepa-run experiments/sweeps/mask-count.yaml --engine emit
                                                 writes the scripts that call this

Exit codes:
   0  done, now or before
   1  a run failed, at the second attempt too
   2  usage or configuration error
   3  a run diverged or collapsed
   5  a run is in use by another process
  75  stopped with a checkpoint: the same command continues";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExecArgs {
    /// Folder of a sweep, or its name: its plan.csv says what the runs are.
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Number of the task, from 0; left out: what the engine that started this says (SLURM_ARRAY_TASK_ID, HQ_TASK_ID,
    /// JOB_COMPLETION_INDEX, SGE_TASK_ID, PBS_ARRAY_INDEX, LSB_JOBINDEX, PARALLEL_SEQ).
    #[arg(short, long, value_name = "N")]
    index: Option<usize>,
    /// Added to the number of the task: engines limit the numbers of an array.
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: usize,
    /// Runs of a task: task N carries out the runs from N * COUNT on.
    #[arg(short, long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Runs at a time.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Threads of each run; the processors of this task, shared by the runs at a time, if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Stop with a checkpoint before this much time is over, such as 4h or 30m; what Slurm says if left out.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    time_limit: Option<Duration>,
    /// Queue this task of Slurm again when it stops ahead of its time limit.
    #[arg(long, hide = true)]
    requeue: bool,
    /// Stop with a checkpoint when this epoch is over: how a sweep judges runs on the way.
    #[arg(long, hide = true, value_name = "EPOCH")]
    until_epoch: Option<u64>,
    /// Take over runs from processes of other machines that are gone: watches their heartbeats for 10 minutes first.
    #[arg(long)]
    steal: bool,
    /// Folder in which sweeps are looked up by name.
    #[arg(long, alias = "output", value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
}

/// Carries out the runs of a task.
pub(crate) fn exec(args: &ExecArgs) -> Exit {
    let stop = signals::stop_flag();
    let variable = |name: &str| std::env::var(name).ok();
    let engine = EngineTask::from_environment(&variable);
    let task = match task(args, engine) {
        Ok(task) => task,
        Err(message) => {
            print::stderr(&message);
            return Exit::Config;
        }
    };
    if let Some(left) = args.time_limit.or_else(|| time_limit::of_engine(&variable)) {
        signals::stop_after(time_limit::ahead_of(left));
    }
    let mut launcher = LocalLauncher::new(vec![None; args.jobs.into()]);
    let ends =
        match exec_task(&task, &mut launcher, stop, &mut |event| print::stderr(&sentence(&task, event))) {
            Ok(ends) => ends,
            Err(error) => {
                print::stderr(&format!("error: {error}"));
                return Exit::Failed;
            }
        };
    let exit = Exit::of_code(TaskEnd::of_all(&ends));
    if exit == Exit::Requeue && args.requeue && !signals::was_told_to_leave() {
        print::stderr(&match requeue(&variable) {
            Ok(task) => format!("queued again: {task}"),
            Err(reason) => format!("note: not queued again ({reason}); submit the sweep once more"),
        });
    }
    exit
}

/// The task that is meant.
fn task(args: &ExecArgs, engine: Option<EngineTask>) -> Result<Task, String> {
    let folder = resolve::plan(&args.plan, &args.results)?;
    let plan = StoredPlan::read(&folder).map_err(|e| e.to_string())?;
    let number = args.index.or(engine.as_ref().map(|task| task.index)).ok_or_else(|| {
        let help = format!("write --index N, or set one of {}", index_variables().join(", "));
        format!("exec: no engine says which run of {} is meant\n  help: {help}", folder.display())
    })?;
    let (number, count, runs) = (number + args.offset, args.count as usize, plan.runs.len());
    let first = number.saturating_mul(count);
    if first >= runs {
        let tasks = runs.div_ceil(count);
        let message = format!("exec: there is no task {number}: {} holds {runs} runs", folder.display());
        return Err(format!("{message}\n  help: tasks are numbered 0 to {}", tasks.saturating_sub(1)));
    }
    let share = || (time_limit::processors_of_engine().unwrap_or_else(cores) / usize::from(args.jobs)).max(1);
    Ok(Task {
        indices: (first..(first + count).min(runs)).collect(),
        plan,
        threads: args.threads.map_or_else(share, usize::from),
        until_epoch: args.until_epoch,
        steal: args.steal,
        program: std::env::current_exe().map_err(|e| format!("error: {e}"))?,
        engine,
        host: host(),
        now: || jiff::Timestamp::now().to_string(),
    })
}

/// One line per event.
fn sentence(task: &Task, event: &TaskEvent) -> String {
    let name = |index: usize| {
        let run = &task.plan.runs[index];
        format!("run {index} ({}, seed {})", run.arm, run.seed)
    };
    let folder = |index: usize| task.plan.run_folder(&task.plan.runs[index]);
    match event {
        TaskEvent::Began { index, attempt, step: 0 } => {
            format!("attempt {attempt} on {}: {}", task.host, name(*index))
        }
        TaskEvent::Began { index, attempt, step } => {
            format!("attempt {attempt} on {}, resumes at step {step}: {}", task.host, name(*index))
        }
        TaskEvent::TriedAgain { index, reason, threads } => {
            format!("failed: {reason}; once more with {threads} threads: {}", name(*index))
        }
        TaskEvent::Ended { index, end } => {
            let word = match end {
                TaskEnd::Done(true) => "already done".to_owned(),
                TaskEnd::Done(false) => "done".to_owned(),
                TaskEnd::Broken(state) => state.name().to_owned(),
                TaskEnd::InUse => "in use by another process".to_owned(),
                TaskEnd::Refused(reason) => format!("refused: {reason}"),
                TaskEnd::Failed(reason) => format!("failed: {reason}"),
                TaskEnd::Stopped => "stopped, the same command continues".to_owned(),
            };
            format!("{word}: {}: {}", name(*index), folder(*index).display())
        }
    }
}
