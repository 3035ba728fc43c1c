//! What an engine offers, and what its answers mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    EngineSweep,
    submissions::{self, Submission},
};
use crate::{results::Attempt, run::launcher::Ended};

/// A queue that takes arrays of tasks.
pub trait Engine {
    /// The word for it.
    fn name(&self) -> &'static str;

    /// Tasks in arrays that it takes, each with what is taken from the numbers.
    fn arrays(&self, tasks: &BTreeSet<usize>) -> Vec<(usize, BTreeSet<usize>)>;

    /// Submits an array; returns its name.
    fn submit(
        &self,
        sweep: &EngineSweep,
        script: &Path,
        offset: usize,
        tasks: &BTreeSet<usize>,
    ) -> Result<String, String>;

    /// How the tasks of an array stand, by the numbers that they have in it; an error holds for all of them.
    fn standings(&self, job: &str) -> Result<BTreeMap<usize, Standing>, Standing>;

    /// Takes an array out of the queue, and asks its tasks under way to stop.
    fn cancel(&self, job: &str) -> Result<(), String>;
}

/// How a task stands in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits, or it runs.
    Alive(bool),
    /// The engine says that it is over, and how.
    Gone(String),
    /// It does not say.
    Unknown(String),
}

/// How a run ended that made this attempt and stands like this in the queue; none: it has not.
pub fn end(attempt: Option<&Attempt>, standing: Option<&Standing>) -> Option<Ended> {
    let reason = || attempt.map_or(String::new(), |attempt| attempt.reason.clone());
    match (attempt.and_then(|attempt| attempt.exit), standing) {
        (Some(0 | 3), _) => Some(Ended::Itself),
        (Some(1), _) => Some(Ended::Failed(reason())),
        (Some(2), _) => Some(Ended::Refused(reason())),
        (Some(5), _) => Some(Ended::InUse),
        // It may have been queued again.
        (Some(_), Some(Standing::Gone(_))) => Some(Ended::Stopped),
        // It was done before: the task had nothing to note.
        (None, Some(Standing::Gone(how))) if how == "completed" && attempt.is_none() => Some(Ended::Itself),
        (None, Some(Standing::Gone(how))) => {
            Some(Ended::Failed(format!("its task is over ({how}) and did not say why")))
        }
        _ => None,
    }
}

/// How the task of a run stands in an array. One that a list leaves out is unknown: some lists are cut.
pub fn standing(
    all: &Result<BTreeMap<usize, Standing>, Standing>,
    submission: &Submission,
    run: usize,
) -> Standing {
    let number = (run / submission.pack.max(1)).saturating_sub(submission.offset);
    match all {
        Err(standing) => standing.clone(),
        Ok(all) => all
            .get(&number)
            .cloned()
            .unwrap_or_else(|| Standing::Unknown("the engine does not list its task".into())),
    }
}

/// What was taken out of a queue, each with what stood in the way.
pub type Cancelled<Job> = Vec<(Job, Result<(), String>)>;

/// Takes everything of a sweep out of the queue of its engine. Returns every array with what stood in the way.
pub fn cancel(
    engine_folder: &Path,
    engine_of: &dyn Fn(&str) -> Option<Box<dyn Engine>>,
) -> Result<Cancelled<Submission>, String> {
    let all = submissions::read_all(engine_folder).map_err(|e| e.to_string())?;
    let one = |submission: Submission| {
        let engine = engine_of(&submission.engine);
        let done = match engine {
            None => Err(format!("there is no engine `{}`", submission.engine)),
            Some(engine) => match engine.standings(&submission.job) {
                Err(Standing::Gone(_)) => return None,
                Ok(all) if all.values().all(|s| matches!(s, Standing::Gone(_))) => return None,
                _ => engine.cancel(&submission.job),
            },
        };
        Some((submission, done))
    };
    Ok(all.into_iter().filter_map(one).collect())
}
