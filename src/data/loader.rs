//! Training batches, prepared ahead of the step that uses them.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use super::{
    batch::{Batch, BatchSource},
    order::{batch_indices, epoch_order, steps_per_epoch},
};

/// What a [`Loader`] produces.
#[derive(Clone, Debug)]
pub struct LoaderPlan {
    /// Images per batch.
    pub batch_size: usize,
    /// First batch, as (epoch, step): where a resumed run goes on.
    pub start: (u64, usize),
    /// Batches end before this epoch.
    pub epochs: u64,
    /// Threads preparing batches; at least one is used.
    pub workers: usize,
    /// Batches each thread may be ahead, at least one: bounds memory.
    pub depth: usize,
    /// Whether the device holds the training images, so that programs are enough.
    pub programs: bool,
}

impl LoaderPlan {
    /// One thread, two batches ahead, from the beginning, in patches.
    pub fn new(batch_size: usize, epochs: u64) -> Self {
        LoaderPlan { batch_size, start: (0, 0), epochs, workers: 1, depth: 2, programs: false }
    }
}

/// An iterator over batches in training order, computed by background threads.
///
/// The threads are its own, not those of the compute pool, so a step never waits for a pool
/// thread that is busy augmenting. Batch `k` is made by thread `k mod workers`, so batches
/// come in order and their content does not depend on the number of threads. Dropping the
/// loader stops and joins them.
pub struct Loader {
    workers: Vec<Worker>,
    next: usize,
}

struct Worker {
    batches: Receiver<Batch>,
    thread: JoinHandle<()>,
}

impl Loader {
    /// Starts the threads. Without a full batch of training images the iterator is empty.
    pub fn start(source: &Arc<BatchSource>, plan: &LoaderPlan) -> Self {
        let count = plan.workers.max(1);
        let spawn = |first: usize| {
            let (source, plan) = (Arc::clone(source), plan.clone());
            let (sender, batches) = sync_channel(plan.depth.max(1));
            let thread = std::thread::spawn(move || produce(&source, &plan, (first, count), &sender));
            Worker { batches, thread }
        };
        Loader { workers: (0..count).map(spawn).collect(), next: 0 }
    }
}

/// Sends batches `first`, `first + stride`, ... counted from the plan's start, until the plan
/// ends or nobody listens.
fn produce(
    source: &BatchSource,
    plan: &LoaderPlan,
    (first, stride): (usize, usize),
    sender: &SyncSender<Batch>,
) {
    let count = source.data.count(&source.data.train);
    let steps = steps_per_epoch(count, plan.batch_size);
    if steps == 0 {
        return;
    }
    let mut order = (u64::MAX, vec![]);
    let mut position = plan.start.0 * steps as u64 + (plan.start.1 + first) as u64;
    while position < plan.epochs * steps as u64 {
        let (epoch, step) = (position / steps as u64, (position % steps as u64) as usize);
        if order.0 != epoch {
            order = (epoch, epoch_order(source.seed, epoch, count));
        }
        let indices = batch_indices(&order.1, plan.batch_size, step);
        let make = if plan.programs { BatchSource::batch_of_programs } else { BatchSource::batch };
        if sender.send(make(source, epoch, step, indices)).is_err() {
            return;
        }
        position += stride as u64;
    }
}

impl Iterator for Loader {
    type Item = Batch;

    /// The next batch; waits for it if need be. A panic of an augmentation surfaces here
    /// instead of looking like the end of training.
    fn next(&mut self) -> Option<Batch> {
        if self.workers.is_empty() {
            return None;
        }
        let turn = self.next % self.workers.len();
        match self.workers[turn].batches.recv() {
            Ok(batch) => {
                self.next += 1;
                Some(batch)
            }
            Err(_) => {
                let worker = self.workers.swap_remove(turn);
                self.stop();
                if let Err(panic) = worker.thread.join() {
                    std::panic::resume_unwind(panic);
                }
                None
            }
        }
    }
}

impl Loader {
    /// Closes every channel before joining: a thread blocked on a full one must wake up.
    fn stop(&mut self) {
        let threads: Vec<_> = self.workers.drain(..).map(|w| w.thread).collect();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{batch::tests::source, pipeline::Pipeline};
    use ijepa_registry::{
        image::{Image, ImageShape},
        kinds::Augmentation,
        problem::Problem,
        rng::Stream,
    };

    fn batches(plan: &LoaderPlan) -> Vec<Batch> {
        Loader::start(&Arc::new(source(10, 5)), plan).collect()
    }

    #[test]
    fn content_is_that_of_the_source_for_any_number_of_threads() {
        let source = source(10, 5);
        let plan = LoaderPlan::new(3, 4);
        let expected: Vec<Batch> = (0..4)
            .flat_map(|epoch| (0..3).map(move |step| (epoch, step)))
            .map(|(epoch, step)| {
                let order = epoch_order(5, epoch, 10);
                source.batch(epoch, step, batch_indices(&order, 3, step))
            })
            .collect();
        for workers in [0, 1, 2, 3, 5] {
            assert_eq!(batches(&LoaderPlan { workers, ..plan.clone() }), expected, "{workers} threads");
        }
    }

    #[test]
    fn a_resumed_loader_goes_on_where_the_first_one_was() {
        let plan = LoaderPlan::new(4, 3);
        let all = batches(&plan);
        assert_eq!(all.len(), 6);
        assert_eq!(batches(&LoaderPlan { start: (1, 1), workers: 2, ..plan.clone() }), all[3..]);
        // A checkpoint after the last step of an epoch may name the step past the end.
        assert_eq!(batches(&LoaderPlan { start: (0, 2), ..plan.clone() }), all[2..]);
        assert_eq!(batches(&LoaderPlan { start: (3, 0), ..plan }), []);
    }

    #[test]
    fn dropping_early_stops_the_threads() {
        let source = Arc::new(source(10, 5));
        let plan = LoaderPlan { workers: 3, ..LoaderPlan::new(2, 1 << 40) };
        let mut loader = Loader::start(&source, &plan);
        assert!(loader.next().is_some());
        drop(loader);
        assert_eq!(Arc::strong_count(&source), 1, "no thread is left holding the data");
    }

    #[test]
    fn too_few_images_give_no_batch() {
        assert!(batches(&LoaderPlan::new(11, 2)).is_empty());
    }

    #[derive(Debug)]
    struct Fails;

    impl Augmentation for Fails {
        fn check(&self, _: ImageShape) -> Vec<Problem> {
            vec![]
        }
        fn apply(&self, _: &mut Image, _: &mut Stream) {
            panic!("augmentation failed")
        }
    }

    #[test]
    #[should_panic(expected = "augmentation failed")]
    fn a_failing_augmentation_is_not_the_end_of_training() {
        let pipeline = Pipeline::new(vec![("fails".into(), Box::new(Fails))]);
        Loader::start(&Arc::new(BatchSource { pipeline, ..source(4, 1) }), &LoaderPlan::new(2, 1)).next();
    }
}
