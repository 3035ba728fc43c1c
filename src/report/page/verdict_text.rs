//! The result in sentences.

use maud::{Markup, html};

use crate::report::{
    data::Material,
    plot::numbers::{interval, plain, signed},
};
use crate::{
    analysis::{At, Piece, Report, headline},
    results::RunState,
};

/// The verdict, in the first sentence of a report.
pub(crate) fn verdict(report: &Report) -> Markup {
    html! { @for piece in headline(report) { (set(&piece)) } }
}

fn set(piece: &Piece) -> Markup {
    match piece {
        Piece::Words(words) => html! { (words) },
        Piece::Arm(arm) => html! { code { (arm.called()) } },
        Piece::Value(x) => html! { span class="number" { (plain(*x)) } },
        Piece::Difference(x) => html! { span class="number" { (signed(*x)) } },
        Piece::Interval(low, high) => html! { span class="number" { (interval(*low, *high)) } },
    }
}

/// How many runs stand how.
pub(crate) fn counts(material: &Material) -> [(RunState, usize); RunState::ALL.len()] {
    let states: Vec<RunState> = material.table.runs.iter().map(|run| material.state(run)).collect();
    RunState::ALL.map(|state| (state, states.iter().filter(|s| **s == state).count()))
}

/// Which measurement of a run counts.
pub(crate) fn measurement(at: At) -> String {
    match at {
        At::Last => "last measurement".into(),
        At::Best => "best measurement, chosen with hindsight".into(),
        At::Step(step) => format!("measurement at step {step}"),
    }
}
