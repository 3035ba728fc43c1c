//! The three schedules of a run: values that make sense, and the direction one expects.

use ijepa_registry::{
    kinds::{Horizon, Schedule},
    problem::Problem,
};

use super::{component::Component, error::Report, experiment::RegularizerSpec, sections::TrainSettings};

/// Learning rate, weight decay and momentum, where they could be read.
pub(super) type Schedules<'a> = [Option<&'a Component<dyn Schedule>>; 3];

struct Bounds {
    section: &'static str,
    /// What its values are called.
    noun: &'static str,
    greatest: f64,
    why: &'static str,
}

const BOUNDS: [Bounds; 3] = [
    Bounds {
        section: "learning_rate",
        noun: "learning rate",
        greatest: f64::MAX,
        why: "a negative one would climb the loss",
    },
    Bounds {
        section: "weight_decay",
        noun: "weight decay",
        greatest: 1e6,
        why: "a negative one would let the weights grow",
    },
    Bounds {
        section: "ema",
        noun: "momentum",
        greatest: 1.0,
        why: "1 keeps the teacher as it is, 0 copies the student",
    },
];

/// Points of a schedule that are looked at, besides its ends.
const POINTS: u64 = 64;

/// A run whose images are not counted yet.
pub(super) fn typical(train: &TrainSettings) -> Horizon {
    train.horizon(train.batch_size.saturating_mul(100))
}

/// Asks every schedule whether it suits the length of the run.
pub(super) fn check(schedules: Schedules, horizon: Horizon, report: &mut Report) {
    for (Bounds { section, .. }, schedule) in BOUNDS.iter().zip(schedules) {
        report.clean(section, schedule.into_iter().flat_map(|s| s.object.check(horizon)));
    }
}

/// Checks that the values of every schedule can be what they are used as.
pub(super) fn check_ranges(schedules: Schedules, horizon: Horizon, report: &mut Report) {
    for (bounds, schedule) in BOUNDS.iter().zip(schedules) {
        report.clean(bounds.section, schedule.and_then(|s| out_of_range(s.object.as_ref(), bounds, horizon)));
    }
}

const OF_A_TERM: Bounds = Bounds {
    section: "weight",
    noun: "weight",
    greatest: 1e9,
    why: "a negative one would turn the term round",
};

/// The weight of every term of the loss: suits the length of the run, and is none that turns the term round.
pub(super) fn check_weights(terms: &[RegularizerSpec], horizon: Horizon, report: &mut Report) {
    for (i, term) in terms.iter().enumerate() {
        let path = format!("regularizers.{i}.{}", OF_A_TERM.section);
        if report.clean(&path, term.weight.object.check(horizon)) {
            report.clean(&path, out_of_range(term.weight.object.as_ref(), &OF_A_TERM, horizon));
        }
    }
}

fn out_of_range(schedule: &dyn Schedule, bounds: &Bounds, horizon: Horizon) -> Option<Problem> {
    let Bounds { noun, greatest, why, .. } = bounds;
    let (first, last) = ends(schedule, horizon);
    let between = (1..POINTS).map(|i| {
        let step = (u128::from(horizon.steps) * u128::from(i) / u128::from(POINTS)) as u64;
        schedule.value(step, horizon)
    });
    let outside = [first, last].into_iter().chain(between).find(|v| !(0.0..=*greatest).contains(v))?;
    let allowed = if *greatest == f64::MAX { "below 0".into() } else { format!("outside 0 to {greatest}") };
    let message = format!("the {noun} goes from {first} to {last}; {outside} is {allowed}");
    Some(Problem::new("", message).help(*why))
}

fn ends(schedule: &dyn Schedule, horizon: Horizon) -> (f64, f64) {
    let (first, last) = schedule.end_points(horizon);
    let last_step = horizon.steps.saturating_sub(1);
    (
        first.unwrap_or_else(|| schedule.value(0, horizon)),
        last.unwrap_or_else(|| schedule.value(last_step, horizon)),
    )
}

/// What is allowed and seldom meant: a momentum that falls, a learning rate that only rises.
pub(super) fn advice(schedules: Schedules, horizon: Horizon, report: &Report) -> Vec<String> {
    let [rate, _, ema] = schedules;
    let mut notes = Vec::new();
    let mut note = |section: &str, sentence: String| {
        notes.push(format!("{}: {section}: {sentence}", report.span(section)));
    };
    if let Some((first, last)) = ema.map(|s| ends(s.object.as_ref(), horizon)).filter(|(a, b)| a > b) {
        let usual = "published recipes let it rise, so that the teacher settles";
        note("ema", format!("the momentum falls from {first} to {last}; {usual}"));
    }
    let is_rising = |s: &Component<dyn Schedule>| {
        let (first, last) = ends(s.object.as_ref(), horizon);
        let middle = s.object.value(horizon.steps / 2, horizon);
        (first < middle && middle < last).then_some((first, last))
    };
    if let Some((first, last)) = rate.and_then(is_rising) {
        note("learning_rate", format!("it rises to its last step, from {first} to {last}; usually it falls"));
    }
    notes
}
