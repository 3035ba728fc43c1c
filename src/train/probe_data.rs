//! Features and labels of all images, put together for a probe.

use ijepa_registry::prelude::*;

use super::Session;
use crate::{events::ProbedSplit, model::BuildDevice};

/// Features of all splits, `(image, token, dim)`.
#[derive(Default)]
pub(super) struct FeatureSet {
    pub dim: usize,
    /// Features of an image: 1 where tokens are averaged.
    pub tokens: usize,
    pub train: Vec<f32>,
    pub test: Vec<f32>,
    pub validation: Vec<f32>,
}

impl FeatureSet {
    /// For a probe that looks at none.
    pub fn none() -> Self {
        FeatureSet { tokens: 1, ..FeatureSet::default() }
    }
}

/// What is known of the images of a split.
struct SplitLabels {
    classes: Vec<u32>,
    /// Empty unless the probe uses quantities.
    quantity: Vec<f32>,
}

/// Labels of all images.
pub(super) struct ProbeLabels {
    train: SplitLabels,
    test: SplitLabels,
    validation: SplitLabels,
    classes: usize,
}

impl ProbeLabels {
    /// What a probe is fitted to and, in the place of the test images, what it is measured on. None if there
    /// are no such images.
    pub fn with<'a>(&'a self, features: &'a FeatureSet, split: ProbedSplit) -> Option<ProbeData<'a>> {
        let (values, of) = match split {
            ProbedSplit::Test => (&features.test, &self.test),
            ProbedSplit::Validation => (&features.validation, &self.validation),
        };
        let FeatureSet { dim, tokens, .. } = *features;
        (!of.classes.is_empty()).then(|| ProbeData {
            train: Features { dim, tokens, values: &features.train, labels: &self.train.classes },
            test: Features { dim, tokens, values, labels: &of.classes },
            classes: self.classes,
            quantities: Quantities { train: &self.train.quantity, test: &of.quantity },
        })
    }
}

impl<D: BuildDevice> Session<D> {
    /// What a probe is told of the images of all splits: the classes of the factor `name`, or the quantity. The
    /// class for a probe without labels; all alike if there are none.
    pub(super) fn probe_labels(&self, probe: &dyn Probe, name: &str) -> Result<ProbeLabels, String> {
        let data = &self.plan.source.data;
        let quantities = probe.uses_quantities();
        let of = |split: &Split| {
            let count = data.labelled(split);
            let quantity = if quantities { quantity(split, name, count)? } else { Vec::new() };
            let classes = if quantities { vec![0; count] } else { classes(split, name, count)? };
            Ok::<_, String>(SplitLabels { classes, quantity })
        };
        let named = data.train.labels.iter().find(|l| name.is_empty() || l.name == name);
        Ok(ProbeLabels {
            train: of(&data.train)?,
            test: of(&data.test)?,
            validation: of(&data.validation)?,
            classes: named.filter(|_| !quantities).map_or(1, |l| l.values.len()),
        })
    }
}

fn classes(split: &Split, name: &str, count: usize) -> Result<Vec<u32>, String> {
    let by_name = split.labels.iter().find(|l| l.name == name);
    let first = name.is_empty().then(|| split.labels.first()).flatten();
    match by_name.or(first) {
        Some(labels) => Ok(labels.labels.clone()),
        None if name.is_empty() || count == 0 => Ok(vec![0; count]),
        None => {
            let names: Vec<&str> = split.labels.iter().map(|l| l.name.as_str()).collect();
            Err(format!("the data set has no labels `{name}`; it has: {}", names.join(", ")))
        }
    }
}

fn quantity(split: &Split, name: &str, count: usize) -> Result<Vec<f32>, String> {
    let found = split.quantity(name).or_else(|| (count == 0).then(Vec::new));
    found.ok_or_else(|| {
        let names = split.quantity_names().join(", ");
        format!("the data set says no number `{name}` of its images; it has: {names}")
    })
}
