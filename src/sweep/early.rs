//! Ending arms that will not win before they have used their whole budget.
//!
//! Arms are ended, not runs: to end the unlucky seeds of an arm would flatter it. All arms reach a rung before
//! it is decided, so that a decision depends on numbers alone, never on who was faster. The rules are
//! successive halving (Jamieson and Talwalkar, arXiv 1502.07943; asynchronous it is called ASHA: Li et al.,
//! arXiv 1810.05934) and the median stopping rule (Golovin et al., "Google Vizier", KDD 2017).

use std::cmp::Ordering;

use super::{
    metric::Metric,
    plan::{PlannedRun, one},
};
use crate::config::{ConfigError, ProbeSpec, Span, renamed};

pub(super) const RULES: &[&str] = &["successive_halving", "median"];

/// The rule of early termination that a sweep folder of any version calls `word`.
pub fn rule_of_today(word: &str) -> &str {
    renamed("early_terminate.kind", word).unwrap_or(word)
}

/// The `early_terminate` section.
#[derive(Clone, Debug)]
pub struct EarlyTermination {
    pub(super) rule: Rule,
    /// Epochs before anything is judged.
    pub(super) min_epochs: u64,
    /// What the arms are judged by.
    pub metric: Metric,
    pub(super) span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// One arm in `eta` goes on; rungs lie `eta` times as far apart each time.
    SuccessiveHalving { eta: f64 },
    /// Arms below the median of the others end; a rung every `every` epochs.
    Median { every: u64 },
}

/// How an arm stands at a rung: means over its seeds, one per measurement so far, oldest first.
#[derive(Clone, Debug)]
pub struct ArmSeries {
    /// Name of the arm.
    pub arm: String,
    /// Mean over its sound seeds of the metric, per measurement. Empty: all broken down.
    pub values: Vec<f64>,
    /// Seeds that broke down: fewer are better, whatever the mean of the others.
    pub broken: usize,
    /// Whether it goes on whatever its value: the baseline, with which the others are compared.
    pub kept: bool,
}

/// Seeds of an arm that broke down, and its value.
type Score = (usize, f64);

/// What was decided about one arm at one rung.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Epoch of the rung.
    pub epoch: u64,
    /// `successive_halving` or `median`.
    pub rule: &'static str,
    /// The arm.
    pub arm: String,
    /// What it was judged by; none if it has broken down.
    pub value: Option<f64>,
    /// The value from which on arms go on.
    pub threshold: Option<f64>,
    /// Whether it ends here.
    pub stops: bool,
    /// Why, in words.
    pub reason: String,
}

impl EarlyTermination {
    /// Name of the rule.
    pub fn rule(&self) -> &'static str {
        match self.rule {
            Rule::SuccessiveHalving { .. } => RULES[0],
            Rule::Median { .. } => RULES[1],
        }
    }

    /// Epochs at which arms are judged in a run of `epochs`.
    pub fn rungs(&self, epochs: u64) -> Vec<u64> {
        let next = |rung: &u64| match self.rule {
            // At least one further, however small eta is.
            Rule::SuccessiveHalving { eta } => Some(((*rung as f64 * eta).round() as u64).max(rung + 1)),
            Rule::Median { every } => Some(rung + every),
        };
        std::iter::successors(Some(self.min_epochs), next).take_while(|rung| *rung < epochs).collect()
    }

    /// Judges the arms that are still in the race at the rung of `epoch`.
    pub fn decide(&self, epoch: u64, arms: &[ArmSeries]) -> Vec<Decision> {
        match self.rule {
            Rule::SuccessiveHalving { eta } => self.halve(epoch, arms, eta),
            Rule::Median { .. } => self.below_median(epoch, arms),
        }
    }

    /// The best of `arms.len() / eta` arms go on, at least one.
    fn halve(&self, epoch: u64, arms: &[ArmSeries], eta: f64) -> Vec<Decision> {
        let kept = ((arms.len() as f64 / eta).floor() as usize).max(1);
        let last = |a: &ArmSeries| a.values.last().map(|value| (a.broken, *value));
        let mut ranked: Vec<Score> = arms.iter().filter_map(last).collect();
        ranked.sort_by(|a, b| self.order(*a, *b));
        let threshold = ranked.get(kept - 1).or(ranked.last()).copied();
        arms.iter()
            .map(|arm| {
                let score = last(arm);
                let rank = score.map(|v| 1 + ranked.iter().filter(|r| self.order(**r, v).is_lt()).count());
                let words = rank.map(|rank| format!("rank {rank} of {}, {kept} go on", arms.len()));
                self.decision(epoch, arm, score, threshold, words)
            })
            .collect()
    }

    /// The best value so far must not be worse than the median of the other arms' running means.
    fn below_median(&self, epoch: u64, arms: &[ArmSeries]) -> Vec<Decision> {
        let mean = |a: &ArmSeries| a.values.iter().sum::<f64>() / a.values.len() as f64;
        let of_others = |arm: &ArmSeries| {
            let others = arms.iter().filter(|a| a.arm != arm.arm && !a.values.is_empty());
            self.median(others.map(|a| (a.broken, mean(a))).collect())
        };
        arms.iter()
            .map(|arm| {
                let value = arm.values.iter().copied().min_by(|a, b| self.metric.goal.better_first(*a, *b));
                let threshold = of_others(arm);
                let words = threshold.map(|_| "its best, against the median of the others' means".to_owned());
                self.decision(epoch, arm, value.map(|v| (arm.broken, v)), threshold, words)
            })
            .collect()
    }

    fn decision(
        &self,
        epoch: u64,
        arm: &ArmSeries,
        score: Option<Score>,
        threshold: Option<Score>,
        words: Option<String>,
    ) -> Decision {
        let worse = score.zip(threshold).is_some_and(|(s, t)| self.order(t, s).is_lt());
        let words = if score.is_some() { words.unwrap_or_default() } else { "no run has a value".into() };
        let broken = match arm.broken {
            0 => String::new(),
            1 => "; 1 seed broke down".into(),
            n => format!("; {n} seeds broke down"),
        };
        let stops = worse && !arm.kept;
        let goes_on = if worse && arm.kept { "; the baseline goes on" } else { "" };
        let reason = format!("{words}{broken}{goes_on}");
        let (rule, arm) = (self.rule(), arm.arm.clone());
        let (value, threshold) = (score.map(|s| s.1), threshold.map(|t| t.1));
        Decision { epoch, rule, arm, value, threshold, stops, reason }
    }

    /// From good to bad: first by the number of seeds that broke down, then by value. The mean of the
    /// survivors alone would favour arms whose unlucky seeds break.
    fn order(&self, a: Score, b: Score) -> Ordering {
        a.0.cmp(&b.0).then_with(|| self.metric.goal.better_first(a.1, b.1))
    }

    /// The middle score; between two of equal breakdowns their mean, else the worse one.
    fn median(&self, mut scores: Vec<Score>) -> Option<Score> {
        scores.sort_by(|a, b| self.order(*a, *b));
        let middle = scores.len() / 2;
        match scores.len() {
            0 => None,
            n if n % 2 == 1 || scores[middle - 1].0 != scores[middle].0 => Some(scores[middle]),
            _ => Some((scores[middle].0, (scores[middle - 1].1 + scores[middle].1) / 2.0)),
        }
    }

    /// Every run must be as long as the others and measure the metric at every rung.
    pub(super) fn check(&self, runs: &[PlannedRun]) -> Result<(), ConfigError> {
        let wrong = |key: &str, message: String, help: &str| {
            Err(one(&self.span, &format!("early_terminate{key}"), message, Some(help.into())))
        };
        let Some(first) = runs.first() else { return Ok(()) };
        let epochs = first.experiment.train.epochs;
        if let Some(other) = runs.iter().find(|r| r.experiment.train.epochs != epochs) {
            let message = format!(
                "runs of `{}` take {epochs} epochs, those of `{}` {}",
                first.arm, other.arm, other.experiment.train.epochs
            );
            return wrong("", message, "arms are judged at the same epochs: give all the same length");
        }
        let rungs = self.rungs(epochs);
        if rungs.is_empty() {
            let message =
                format!("is {}, and the runs have {epochs} epochs: nothing is ever judged", self.min_epochs);
            return wrong(".min_epochs", message, "judge earlier, or leave the section out");
        }
        for run in runs {
            let measures = |p: &&ProbeSpec| p.encoder_metrics().contains(&self.metric.name);
            let every = run.experiment.probes.iter().find(measures).map_or(0, |p| p.every);
            if let Some(rung) = rungs.iter().find(|rung| every == 0 || !rung.is_multiple_of(every)) {
                let when =
                    if every == 0 { "at the end only".into() } else { format!("every {every} epochs") };
                let message = format!(
                    "arms are judged at the epochs {}, but `{}` is measured {when} in the arm `{}`",
                    join(&rungs),
                    self.metric.name,
                    run.arm
                );
                let help = format!("choose rungs and `every` of the probe so that {rung} is a multiple");
                return wrong("", message, &help);
            }
        }
        Ok(())
    }
}

fn join(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use ijepa_registry::metric::Direction;

    use super::*;
    use crate::sweep::At;

    #[test]
    fn old_names_of_rules_lead_to_rules_that_are_known() {
        assert!(RULES.contains(&rule_of_today("asha")) && !RULES.contains(&"asha"));
        assert_eq!([rule_of_today("median"), rule_of_today("other")], ["median", "other"]);
        assert_eq!(renamed("method", "asha"), None, "only where it stood");
    }

    fn rule(rule: Rule, min_epochs: u64) -> EarlyTermination {
        let metric = Metric { name: "m".into(), goal: Direction::Higher, at: At::Last };
        EarlyTermination { rule, min_epochs, metric, span: Span::Override("".into()) }
    }

    fn arms(values: &[&[f64]]) -> Vec<ArmSeries> {
        let arm = |(i, v): (usize, &&[f64])| ArmSeries {
            arm: i.to_string(),
            values: v.to_vec(),
            broken: 0,
            kept: i == 0,
        };
        values.iter().enumerate().map(arm).collect()
    }

    fn stopped(decisions: &[Decision]) -> Vec<&str> {
        decisions.iter().filter(|d| d.stops).map(|d| d.arm.as_str()).collect()
    }

    #[test]
    fn rungs_grow_by_eta_and_end_before_the_last_epoch() {
        assert_eq!(rule(Rule::SuccessiveHalving { eta: 3.0 }, 2).rungs(54), [2, 6, 18]);
        assert_eq!(rule(Rule::SuccessiveHalving { eta: 1.1 }, 1).rungs(4), [1, 2, 3]);
        assert_eq!(rule(Rule::Median { every: 5 }, 10).rungs(21), [10, 15, 20]);
    }

    #[test]
    fn halving_keeps_the_best_third_and_the_baseline() {
        let values: [&[f64]; 6] = [&[1.0], &[5.0], &[9.0, 2.0], &[4.0], &[], &[5.0]];
        let decisions = rule(Rule::SuccessiveHalving { eta: 3.0 }, 2).decide(2, &arms(&values));
        // The last value counts; the two with 5 are the third that goes on; an arm without a value
        // has ended by itself.
        assert_eq!(stopped(&decisions), ["2", "3"]);
        assert_eq!(decisions[3].reason, "rank 3 of 6, 2 go on");
        assert_eq!(decisions[0].reason, "rank 5 of 6, 2 go on; the baseline goes on");
        assert_eq!((decisions[4].value, decisions[4].stops), (None, false));
    }

    #[test]
    fn the_median_rule_compares_the_best_with_the_others_means() {
        // Means 2, 3, 1; the medians of the others are 2, 1.5, 2.5.
        let values: [&[f64]; 3] = [&[1.0, 3.0], &[2.0, 4.0], &[0.0, 2.0]];
        let decisions = rule(Rule::Median { every: 1 }, 2).decide(2, &arms(&values));
        assert_eq!(stopped(&decisions), ["2"]);
        assert_eq!((decisions[2].value, decisions[2].threshold), (Some(2.0), Some(2.5)));
        // Alone, nothing is worse than anything.
        assert!(stopped(&rule(Rule::Median { every: 1 }, 2).decide(2, &arms(&values[2..]))).is_empty());
    }

    #[test]
    fn less_can_be_better() {
        let mut early = rule(Rule::SuccessiveHalving { eta: 2.0 }, 1);
        early.metric.goal = Direction::Lower;
        let values: [&[f64]; 4] = [&[4.0], &[3.0], &[2.0], &[1.0]];
        assert_eq!(stopped(&early.decide(1, &arms(&values))), ["1"]);
    }

    /// The survivors of an arm that breaks have good means: it is ended all the same.
    #[test]
    fn arms_are_sorted_by_broken_seeds_first() {
        let values: [&[f64]; 4] = [&[1.0], &[2.0], &[3.0], &[9.0]];
        let mut all = arms(&values);
        all[3].broken = 2;
        let decisions = rule(Rule::SuccessiveHalving { eta: 2.0 }, 1).decide(1, &all);
        assert_eq!(stopped(&decisions), ["3"], "{decisions:?}");
        assert_eq!(decisions[3].reason, "rank 4 of 4, 2 go on; 2 seeds broke down");
        let decisions = rule(Rule::Median { every: 1 }, 1).decide(1, &all);
        assert!(stopped(&decisions).contains(&"3"), "{decisions:?}");
        all.iter_mut().for_each(|arm| arm.broken = 2);
        assert_eq!(stopped(&rule(Rule::SuccessiveHalving { eta: 2.0 }, 1).decide(1, &all)), ["1"]);
    }
}
