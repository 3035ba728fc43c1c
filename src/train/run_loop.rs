//! The training loop, read from top to bottom.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Session, StepMeasure, StepNumbers, TrainError};
use crate::{
    data::{Batch, Loader, LoaderPlan},
    events::{EpochRow, Event, MetricsRow, Outcome, Started, Tick},
    model::BuildDevice,
};

/// Receives every event; an error ends the run.
pub type Emit<'a> = dyn FnMut(Event) -> std::io::Result<()> + Send + 'a;

/// When to leave before the last step.
#[derive(Clone, Copy)]
pub struct Until<'a> {
    /// As soon as this is set: the step under way is finished.
    pub stop: &'a AtomicBool,
    /// When this epoch is over.
    pub epoch: Option<u64>,
}

/// Steps whose numbers are read together, at most: a progress display should not stand still.
const MOST_UNREAD: usize = 64;

/// Trains from where the session stands to its end, or until it is to leave, with a checkpoint.
pub fn run<D: BuildDevice>(
    session: &mut Session<D>,
    emit: &mut Emit,
    until: Until,
) -> Result<Outcome, TrainError> {
    emit(Event::Started(started(session)))?;
    let outcome = match train(session, emit, until) {
        Err(TrainError::Diverged(reason)) => Outcome::Diverged { reason },
        other => other?,
    };
    emit(Event::Ended(outcome.clone()))?;
    Ok(outcome)
}

fn train<D: BuildDevice>(
    session: &mut Session<D>,
    emit: &mut Emit,
    until: Until,
) -> Result<Outcome, TrainError> {
    let last = until.epoch.map(|epoch| epoch.saturating_mul(session.plan.horizon.steps_per_epoch));
    let stop = until.stop;
    let steps = session.plan.horizon.steps;
    let mut batches = loader(session);
    loop {
        if epoch_is_open(session) && !close_epoch(session, emit, stop)? {
            return pause(session, emit);
        }
        if let Some(reason) = session.collapsed() {
            return Ok(Outcome::Collapsed { reason });
        }
        if session.progress.step == steps {
            return Ok(Outcome::Done);
        }
        if stop.load(Ordering::Relaxed) || last.is_some_and(|last| session.progress.step >= last) {
            return pause(session, emit);
        }
        let batch = batches.next().expect("the loader makes a batch for every step of the run");
        advance(session, &batch, emit)?;
    }
}

/// One step and its rows.
fn advance<D: BuildDevice>(
    session: &mut Session<D>,
    batch: &Batch,
    emit: &mut Emit,
) -> Result<(), TrainError> {
    let step = session.progress.step + 1;
    let last = step == session.plan.horizon.steps;
    let logged = last || step.is_multiple_of(session.plan.log_every);
    let watched = !session.plan.collapse.is_empty();
    let closes = step.is_multiple_of(session.plan.horizon.steps_per_epoch);
    let result = session.step(batch, logged || watched && closes)?;
    let progress = &mut session.progress;
    (progress.step, progress.epoch_closed) = (step, false);
    progress.mask_redraws += result.redraws;
    session.unread.push(result.numbers);
    if D::READING_WAITS && !logged && !closes && session.unread.len() < MOST_UNREAD {
        return Ok(());
    }
    let Some(StepMeasure { loss, gradient_norm }) = settle(session, emit)? else { return Ok(()) };
    let Some(row) = result.details.map(|row| MetricsRow { loss, gradient_norm, ..row }) else {
        return Ok(());
    };
    if closes {
        session.watch_step(&row);
    }
    if logged {
        let row = metrics_row(session, row);
        emit(Event::Metrics(row))?;
    }
    Ok(())
}

/// Reads the numbers of the steps since the last call; those of the last step. Nothing may be written
/// down before: an unread loss may not be finite.
fn settle<D: BuildDevice>(
    session: &mut Session<D>,
    emit: &mut Emit,
) -> Result<Option<StepMeasure>, TrainError> {
    let measures = StepNumbers::read(&std::mem::take(&mut session.unread))?;
    let progress = &mut session.progress;
    let first = progress.step + 1 - measures.len() as u64;
    for (step, measure) in (first..).zip(&measures) {
        if let Some(reason) = measure.problem(step) {
            return Err(TrainError::Diverged(reason));
        }
        progress.interval.add(measure.loss);
        progress.epoch.add(measure.loss);
    }
    let latest = measures.last().copied();
    if let Some(StepMeasure { loss, .. }) = latest {
        emit(Event::Tick(Tick { step: progress.step, loss }))?;
    }
    Ok(latest)
}

fn metrics_row<D: BuildDevice>(session: &mut Session<D>, row: MetricsRow) -> MetricsRow {
    let plan = &session.plan;
    let progress = &mut session.progress;
    // The last row of a run that ends within an interval: a longer run goes on with it.
    let is_whole = progress.step.is_multiple_of(plan.log_every);
    let loss = if is_whole { progress.interval.take() } else { progress.interval.value() };
    MetricsRow {
        step: progress.step,
        epoch: progress.step.div_ceil(plan.horizon.steps_per_epoch),
        images: progress.step * plan.batch_size as u64,
        loss,
        mask_redraws: progress.mask_redraws,
        ..row
    }
}

/// Whether an epoch has just ended and its row, probes and checkpoint are still due.
fn epoch_is_open<D: BuildDevice>(session: &Session<D>) -> bool {
    let progress = &session.progress;
    progress.step > 0
        && progress.step.is_multiple_of(session.plan.horizon.steps_per_epoch)
        && !progress.epoch_closed
}

/// Probes, the epoch's row, a checkpoint. Returns false if asked to stop while probing: a resume does it
/// all again. A checkpoint before the probes keeps the training of the epoch whatever becomes of them.
fn close_epoch<D: BuildDevice>(
    session: &mut Session<D>,
    emit: &mut Emit,
    stop: &AtomicBool,
) -> Result<bool, TrainError> {
    let step = session.progress.step;
    let epoch = step / session.plan.horizon.steps_per_epoch;
    let last = step == session.plan.horizon.steps;
    if session.probes_are_due(epoch, last) {
        emit(Event::Checkpoint(Box::new(session.snapshot())))?;
    }
    let Some(rows) = session.probe(epoch, last, emit, stop)? else { return Ok(false) };
    let loss = session.progress.epoch.take();
    session.progress.epoch_closed = true;
    session.watch_probes(&rows);
    let images = step * session.plan.batch_size as u64;
    emit(Event::Epoch(EpochRow { epoch, step, images, loss }))?;
    for row in rows {
        emit(Event::Probe(row))?;
    }
    if session.plan.keeps(epoch) {
        emit(Event::Keep(epoch, Box::new(session.snapshot())))?;
    }
    if last || epoch.is_multiple_of(session.plan.checkpoint_every) || session.collapsed().is_some() {
        emit(Event::Checkpoint(Box::new(session.snapshot())))?;
    }
    Ok(true)
}

fn pause<D: BuildDevice>(session: &mut Session<D>, emit: &mut Emit) -> Result<Outcome, TrainError> {
    settle(session, emit)?;
    emit(Event::Checkpoint(Box::new(session.snapshot())))?;
    Ok(Outcome::Stopped)
}

fn started<D: BuildDevice>(session: &Session<D>) -> Started {
    Started {
        first_step: session.progress.step,
        steps: session.plan.horizon.steps,
        steps_per_epoch: session.plan.horizon.steps_per_epoch,
        batch_size: session.plan.batch_size as u64,
        flop_per_step: session.typical_flop(),
    }
}

fn loader<D: BuildDevice>(session: &Session<D>) -> Loader {
    let plan = &session.plan;
    let per_epoch = plan.horizon.steps_per_epoch.max(1);
    let step = session.progress.step;
    let start = (step / per_epoch, (step % per_epoch) as usize);
    Loader::start(&plan.source, &LoaderPlan { start, ..session.loader_plan(plan.epochs) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ijepa_registry::{kinds::LoadContext, tensor::Cpu};

    use super::*;
    use crate::{config, events::Snapshot, train::RunPlan};

    /// Two epochs of four steps with a probe after each.
    fn session() -> Session<Cpu> {
        let text = include_str!("../../experiments/quickstart.yaml");
        let changes = [
            "dataset={ kind: shapes, image_size: 16, train: 64, test: 16 }",
            "encoder={ kind: vit, dim: 8, depth: 1, heads: 2 }",
            "predictor={ kind: vit, dim: 4, depth: 1, heads: 2 }",
            "masking=random",
            "learning_rate={ kind: constant, value: 1.0e-3 }",
            "train={ epochs: 2, batch_size: 16, log_every: 3, checkpoint_every: 2 }",
            "probes=[{ kind: knn, k: 3, every: 1 }]",
            "collapse=[]",
        ];
        let changes = changes.map(String::from);
        let experiment = config::load("quickstart", text, &changes, &|_| Err("extends nothing".into()));
        let experiment = experiment.unwrap();
        let data = experiment.dataset.object.load(&LoadContext::silent()).unwrap();
        let (plan, builder) = RunPlan::new(experiment, Arc::new(data));
        Session::new(plan, builder, &Cpu::default()).unwrap()
    }

    /// Rows in order, as text, and the snapshots with the number of rows before them.
    fn run_all(session: &mut Session<Cpu>) -> (Vec<String>, Vec<(usize, Snapshot)>) {
        let (mut rows, mut snapshots) = (Vec::new(), Vec::new());
        let mut emit = |event| {
            match event {
                Event::Metrics(row) => rows.push(format!("{row:?}")),
                Event::Epoch(row) => rows.push(format!("{row:?}")),
                Event::Probe(row) => rows.push(format!("{row:?}")),
                Event::Checkpoint(snapshot) => snapshots.push((rows.len(), *snapshot)),
                _ => {}
            }
            Ok(())
        };
        let stop = AtomicBool::new(false);
        assert_eq!(run(session, &mut emit, Until { stop: &stop, epoch: None }).unwrap(), Outcome::Done);
        (rows, snapshots)
    }

    #[test]
    fn a_checkpoint_before_the_probes_continues_to_the_same_rows() {
        let (rows, snapshots) = run_all(&mut session());
        let open: Vec<_> = snapshots.iter().filter(|(_, s)| !s.progress.epoch_closed).collect();
        assert_eq!(open.iter().map(|(_, s)| s.progress.step).collect::<Vec<_>>(), [4, 8]);
        for (before, snapshot) in open {
            let mut session = session();
            session.restore(snapshot.clone()).unwrap();
            assert_eq!(run_all(&mut session).0, rows[*before..], "step {}", snapshot.progress.step);
        }
    }
}
