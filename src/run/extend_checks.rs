//! Whether the steps of a short run are the first ones of a longer one, setting by setting.

use ijepa_registry::kinds::{Horizon, Schedule};

use crate::config::Experiment;

/// Everything that sets the steps of `short` apart from the first ones of `long`, which is the same experiment
/// but for its epochs and has the length `after`.
pub fn differences(short: &Experiment, long: &Experiment, after: Horizon) -> Vec<String> {
    let before = Horizon { steps: short.train.epochs * after.steps_per_epoch, ..after };
    let mut found: Vec<String> = schedules(long)
        .into_iter()
        .filter_map(|(name, kind, schedule)| schedule_differs(&name, &kind, schedule, before, after))
        .collect();
    found.extend(masks(long));
    found.extend(logging(short, long));
    found.extend(watched(long, short.train.epochs));
    found
}

type Named<'a> = (String, String, &'a dyn Schedule);

/// Everything that depends on the step.
fn schedules(of: &Experiment) -> Vec<Named<'_>> {
    let sections =
        [("learning_rate", &of.learning_rate), ("weight_decay", &of.weight_decay), ("ema", &of.ema)];
    let named = sections.into_iter().map(|(name, s)| (name.to_owned(), s.kind.clone(), s.object.as_ref()));
    let weights = of.regularizers.iter().map(|term| {
        (
            format!("regularizers: weight of `{}`", term.name),
            term.weight.kind.clone(),
            term.weight.object.as_ref(),
        )
    });
    named.chain(weights).collect()
}

/// The first step that was done with another value than a longer run has.
fn schedule_differs(
    name: &str,
    kind: &str,
    schedule: &dyn Schedule,
    before: Horizon,
    after: Horizon,
) -> Option<String> {
    let values = |step| [schedule.value(step, before), schedule.value(step, after)];
    let differs = |step: &u64| {
        let [was, is] = values(*step);
        was.to_bits() != is.to_bits()
    };
    let step = (0..before.steps).find(differs)?;
    let [was, is] = values(step);
    Some(format!(
        "{name}: `{kind}` depends on the length of the run: step {} was done with {was:.9}, a longer run has {is:.9}",
        step + 1
    ))
}

/// Masks that follow the progress of a run are others in a longer one.
fn masks(long: &Experiment) -> Option<String> {
    let follows = long.masking.object.follows_progress();
    let kind = &long.masking.kind;
    follows.then(|| format!("masking: `{kind}` depends on the length of the run: it moves with the share of the epochs that is over"))
}

/// Rows of `metrics.csv` are those of the longer run only where both have them at the same steps.
fn logging(short: &Experiment, long: &Experiment) -> Option<String> {
    let (was, is) = (short.train.log_every, long.train.log_every);
    (was != is).then(|| format!("train.log_every: was {was}, is {is}: metrics.csv has other rows"))
}

/// A probe is measured at the end whether it is due or not, and a rule has then counted it.
fn watched(long: &Experiment, epochs: u64) -> Option<String> {
    let mut specs = long.probes.iter().filter(|spec| spec.every > 0 && !epochs.is_multiple_of(spec.every));
    let reads = |metrics: Vec<String>| long.collapse.iter().any(|rule| metrics.contains(&rule.metric));
    let spec = specs.find(|spec| reads(spec.encoder_metrics()))?;
    Some(format!(
        "collapse: `{}` was measured at the end, after {epochs} epochs, and a longer run measures it every {}: its rule \
         has counted once more",
        spec.name, spec.every
    ))
}
