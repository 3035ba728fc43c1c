//! From blocks to masks that keep their promises: redraw, then a fallback, never a hang.

use ijepa_registry::prelude::*;

use super::blocks::{Block, Size, SizeDistribution, describe};

/// Draws after which the last one is repaired instead. Settings that just pass
/// [`Constraint::check_feasible`] get there for about one image in 3000.
const MOST_REDRAWS: u64 = 256;
/// Trial draws of a check, and how many of them must succeed.
const TRIALS: u64 = 256;
const FEWEST_GOOD: usize = 8;

/// The blocks of one image, before targets are taken out of the contexts.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub targets: Vec<Block>,
    pub contexts: Vec<Block>,
}

/// The masks of one image: every context is to predict every target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crossed {
    pub contexts: Vec<Vec<u32>>,
    pub targets: Vec<Vec<u32>>,
}

impl Crossed {
    /// A view for every context.
    pub fn plan(self) -> MaskPlan {
        MaskPlan::crossed(self.contexts, self.targets)
    }
}

/// What every context must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constraint {
    pub grid: Grid,
    /// Fewest patches.
    pub min_context: usize,
    /// Whether targets stay in the contexts.
    pub overlap: bool,
}

impl Constraint {
    /// The masks of the first draft that keeps the promise, and how many did not.
    pub fn sample(self, mut draw: impl FnMut() -> Draft) -> (Crossed, u64) {
        let mut draft = draw();
        for redraws in 0..MOST_REDRAWS {
            let plan = self.plan(&draft);
            if self.smallest(&plan) >= self.min_context {
                return (plan, redraws);
            }
            draft = draw();
        }
        (self.repair(draft), MOST_REDRAWS)
    }

    fn plan(self, draft: &Draft) -> Crossed {
        let taken = self.taken(&draft.targets);
        let keep = |b: &Block| b.patches(self.grid).into_iter().filter(|&p| !taken[p as usize]).collect();
        Crossed {
            contexts: draft.contexts.iter().map(keep).collect(),
            targets: draft.targets.iter().map(|b| b.patches(self.grid)).collect(),
        }
    }

    /// For every patch, whether no context may hold it.
    fn taken(self, targets: &[Block]) -> Vec<bool> {
        let mut taken = vec![false; self.grid.len()];
        let targets = if self.overlap { &[] } else { targets };
        targets.iter().flat_map(|b| b.patches(self.grid)).for_each(|p| taken[p as usize] = true);
        taken
    }

    fn smallest(self, plan: &Crossed) -> usize {
        plan.contexts.iter().map(Vec::len).min().unwrap_or(0)
    }

    /// Keeps the promise with as much of the draft as possible:
    ///
    /// 1. every context becomes all that is not a target;
    /// 2. targets, the last one first, are laid onto the first one;
    /// 3. that block loses its last row, at the end its last column, again and again.
    fn repair(self, draft: Draft) -> Crossed {
        let Draft { mut targets, contexts } = draft;
        let mut apart = targets.len();
        let free = |targets: &[Block]| self.taken(targets).into_iter().filter(|t| !t).count();
        while free(&targets) < self.min_context {
            let first = targets[0];
            match (apart, first.size) {
                (2.., _) => {
                    apart -= 1;
                    targets[apart] = first;
                }
                (_, Size { height: 1, width: 1 }) => break,
                (_, Size { height: 1, width }) => {
                    targets.fill(Block { size: Size { height: 1, width: width - 1 }, ..first });
                }
                (_, Size { height, width }) => {
                    targets.fill(Block { size: Size { height: height - 1, width }, ..first });
                }
            }
        }
        let everything =
            Block { top: 0, left: 0, size: Size { height: self.grid.rows, width: self.grid.cols } };
        self.plan(&Draft { targets, contexts: vec![everything; contexts.len()] })
    }

    /// The problem of settings whose draws hardly ever keep the promise, found by trial draws of
    /// `draw`; `laws` are the sizes of targets and contexts, for the explanation.
    pub fn check_feasible(
        self,
        laws: [&SizeDistribution; 2],
        draw: impl Fn(&mut Stream) -> Draft,
    ) -> Option<Problem> {
        let trial = |i| self.smallest(&self.plan(&draw(&mut Stream::new(0, "mask/check", 0, i))));
        let kept: Vec<usize> = (0..TRIALS).map(trial).collect();
        let good = kept.iter().filter(|&&n| n >= self.min_context).count();
        let best = kept.iter().max().copied().unwrap_or(0);
        (good < FEWEST_GOOD).then(|| {
            let [targets, contexts] = laws.map(|law| describe(&law.reachable()));
            let Grid { rows, cols } = self.grid;
            Problem::new(
                "",
                format!(
                    "on {rows}x{cols} patches only {good} of {TRIALS} trial draws leave the context {} patches or \
                     more, the best one {best}; at least {FEWEST_GOOD} have to",
                    self.min_context
                ),
            )
            .help(format!(
                "use fewer or smaller targets, or larger contexts; reachable blocks (height x width) are: \
                 targets {targets}; contexts {contexts}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 4, cols: 4 };

    fn block(top: usize, left: usize, height: usize, width: usize) -> Block {
        Block { top, left, size: Size { height, width } }
    }

    fn constraint(min_context: usize) -> Constraint {
        Constraint { grid: GRID, min_context, overlap: false }
    }

    #[test]
    fn bad_drafts_are_counted() {
        let full = Draft { targets: vec![block(0, 0, 4, 4)], contexts: vec![block(0, 0, 4, 4)] };
        let good = Draft { targets: vec![block(0, 0, 2, 2)], ..full.clone() };
        let mut drafts = [full.clone(), full, good.clone(), good].into_iter();
        let (plan, redraws) = constraint(12).sample(|| drafts.next().unwrap());
        assert_eq!((plan.contexts[0].len(), redraws), (12, 2));
    }

    #[test]
    fn the_fallback_keeps_the_promise_for_every_minimum() {
        let targets = vec![block(0, 0, 3, 3), block(1, 1, 3, 3), block(0, 1, 3, 3)];
        let hopeless = Draft { targets, contexts: vec![block(0, 0, 1, 1)] };
        for least in 1..GRID.len() {
            let (plan, redraws) = constraint(least).sample(|| hopeless.clone());
            assert_eq!((redraws, plan.targets.len()), (MOST_REDRAWS, 3));
            assert!(plan.contexts[0].len() >= least, "{least}: {plan:?}");
            assert!(plan.targets.iter().all(|t| !t.is_empty()));
        }
    }
}
