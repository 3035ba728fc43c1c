//! What is scheduled in an experiment, step by step: to be drawn before anything is trained.

use ijepa_registry::kinds::{Horizon, Schedule};
use maud::html;

use super::{curves::Chart, figures::charts::charts};
use crate::{
    analysis::Series,
    config::Experiment,
    report::{document, drawing},
};

/// Points of a drawn curve, at most.
const POINTS: u64 = 400;

/// The schedules of an experiment over a run of a known length.
pub struct ScheduleStudy {
    /// What it is called: the experiment's name.
    pub name: String,
    /// Length of the run.
    pub horizon: Horizon,
    charts: Vec<Chart>,
}

/// One schedule: what it schedules, and (step, value) at evenly spaced steps, the first and the last among them.
pub type ScheduleCurve<'a> = (&'a str, &'a [(u64, f64)]);

impl ScheduleStudy {
    /// Of an experiment that trains on `images` images; none if that is not even one step.
    pub fn of(experiment: &Experiment, images: usize) -> Option<Self> {
        let horizon = experiment.horizon(images);
        let chart = |title: String, schedule: &dyn Schedule| Chart {
            title,
            unit: String::new(),
            lines: vec![(String::new(), series(schedule, horizon))],
        };
        let three = [
            ("learning rate", &experiment.learning_rate),
            ("weight decay", &experiment.weight_decay),
            ("EMA momentum", &experiment.ema),
        ];
        let mut charts: Vec<Chart> =
            three.map(|(title, part)| chart(title.into(), part.object.as_ref())).into();
        let weights = experiment.regularizers.iter();
        charts.extend(
            weights.map(|term| chart(format!("weight of {}", term.name), term.weight.object.as_ref())),
        );
        (horizon.steps > 0).then(|| ScheduleStudy { name: experiment.name.clone(), horizon, charts })
    }

    /// Every schedule.
    pub fn curves(&self) -> impl Iterator<Item = ScheduleCurve<'_>> {
        self.charts.iter().map(|chart| (chart.title.as_str(), chart.lines[0].1.as_slice()))
    }
}

fn series(schedule: &dyn Schedule, horizon: Horizon) -> Series {
    let last = horizon.steps.saturating_sub(1);
    let count = horizon.steps.min(POINTS);
    let step = |i: u64| (u128::from(last) * u128::from(i) / u128::from(count.max(2) - 1)) as u64;
    (0..count).map(|i| (step(i), schedule.value(step(i), horizon))).collect()
}

/// A page with the curves of one experiment, or of two in the same charts.
pub fn schedules_page(studies: &[ScheduleStudy]) -> String {
    let names: Vec<&str> = studies.iter().map(|study| study.name.as_str()).collect();
    let title = format!("Schedules of {}", names.join(" and "));
    let runs: Vec<(&str, &[Chart])> =
        studies.iter().map(|s| (s.name.as_str(), s.charts.as_slice())).collect();
    let main = html! {
        header {
            h1 { (title) }
            dl class="facts" {
                @for study in studies {
                    dt { (study.name) }
                    dd {
                        (study.horizon.steps) " steps of " (study.horizon.images_per_step) " images, "
                        (study.horizon.steps_per_epoch) " steps an epoch"
                    }
                }
            }
        }
        @if let Some(figure) = charts("schedules", "Schedules", &runs) { (drawing(&figure)) }
    };
    document(&title, super::page::STYLE, &main)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Steps;
    impl Schedule for Steps {
        fn check(&self, _: Horizon) -> Vec<ijepa_registry::problem::Problem> {
            vec![]
        }
        fn value(&self, step: u64, _: Horizon) -> f64 {
            step as f64
        }
    }

    #[test]
    fn the_first_and_the_last_step_are_drawn() {
        let of = |steps| series(&Steps, Horizon { steps, steps_per_epoch: 1, images_per_step: 1 });
        assert_eq!(of(1), [(0, 0.0)]);
        assert_eq!(of(3), [(0, 0.0), (1, 1.0), (2, 2.0)]);
        let long = of(19_500);
        assert_eq!((long.len(), long[0].0, long[399].0), (400, 0, 19_499));
    }
}
