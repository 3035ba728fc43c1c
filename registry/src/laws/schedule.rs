//! Laws of schedules.

use super::{Broken, KindLaws};
use crate::prelude::*;

/// One step; one epoch; a short and two long runs, the last one with a broken epoch.
const RUNS: [(u64, u64); 5] = [(1, 1), (7, 7), (21, 7), (19_500, 195), (1003, 10)];

impl KindLaws for dyn Schedule {
    fn check(schedule: &Self, broken: &mut Broken) {
        let runs =
            RUNS.map(|(steps, steps_per_epoch)| Horizon { steps, steps_per_epoch, images_per_step: 256 });
        let fit: Vec<Horizon> = runs.into_iter().filter(|&r| schedule.check(r).is_empty()).collect();
        broken.unless(!fit.is_empty(), || {
            format!("its example is refused for every run: {:?}", schedule.check(runs[3]))
        });
        for run in fit {
            // The step after the last one too: a resumed run may ask for it.
            let wild = (0..=run.steps).find(|&i| !schedule.value(i, run).is_finite());
            broken.unless(wild.is_none(), || format!("not finite in step {wild:?} of {}", run.steps));
            let (first, last) = schedule.end_points(run);
            for (step, promised) in [(0, first), (run.steps - 1, last)] {
                let value = schedule.value(step, run);
                let kept = promised.is_none_or(|p| (value - p).abs() <= 1e-12 * p.abs().max(1.0));
                broken.unless(kept, || {
                    format!("{value} in step {step} of {}, promised is {promised:?}", run.steps)
                });
            }
        }
    }
}
