//! The numbers of a run for TensorBoard, while it goes on.

use std::path::Path;

use crate::{
    config::{Experiment, flat_settings},
    events::Event,
    sinks::{Progress, SessionInfo, Sink, TensorBoard},
};

/// Event files of a run, if its experiment asks for them. They are for watching: where they cannot be written, the run
/// says so once and goes on.
pub(super) struct Live(Option<TensorBoard>);

impl Live {
    /// For the run in this folder, from `step` on.
    pub fn open(run: &Path, info: Option<SessionInfo>, step: u64, progress: &mut Progress) -> Self {
        match info.map(|info| TensorBoard::open(run, &info, step)).transpose() {
            Ok(board) => Live(board),
            Err(why) => {
                given_up(&why, progress);
                Live(None)
            }
        }
    }

    /// Takes one event.
    pub fn take(&mut self, event: &Event, progress: &mut Progress) {
        if let Some(Err(why)) = self.0.as_mut().map(|board| board.take(event)) {
            given_up(&why, progress);
            self.0 = None;
        }
    }
}

fn given_up(why: &std::io::Error, progress: &mut Progress) {
    progress.note(&format!("note: nothing more is written for TensorBoard: {why}"));
}

/// What the table of hyperparameters says of an experiment that asks for event files. Runs that differ only in their
/// seed are of one group.
pub(super) fn session_info(experiment: &Experiment) -> Option<SessionInfo> {
    experiment.train.tensorboard.then(|| SessionInfo {
        group: format!("{}-{}", experiment.name, experiment.identity_of_arm()),
        settings: flat_settings(&experiment.resolved()),
    })
}
