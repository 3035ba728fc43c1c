//! What probes cannot be fitted to, as soon as it is known how many images of which classes there are.

use ijepa_registry::kinds::ProbeCounts;

use super::{
    error::{ConfigError, Report},
    experiment::{Experiment, ProbeSpec},
    span::join,
};

/// Training images of every class, for one way of labelling them.
pub struct LabelCounts {
    /// `class`, or the factor's name.
    pub name: String,
    /// Training images of every value.
    pub train: Vec<usize>,
}

impl Experiment {
    /// Every probe has the labels it asks for, and images enough of them: asked before training.
    pub fn check_probes(&self, train: usize, test: usize, labels: &[LabelCounts]) -> Result<(), ConfigError> {
        let mut report = Report::new(&self.places, Vec::new());
        for (i, spec) in self.probes.iter().enumerate() {
            let path = join("probes", &i.to_string());
            let probe = &spec.component.object;
            if !probe.uses_labels() || probe.uses_quantities() {
                report.clean(&path, spec.problems(&ProbeCounts { train: &[train], test }));
                continue;
            }
            for label in &spec.labels {
                let counts = labels.iter().find(|l| l.name == *label).map(|l| &l.train[..]);
                report.clean(&path, spec.problems(&ProbeCounts { train: counts.unwrap_or(&[]), test }));
            }
        }
        report.into_result()
    }
}

impl ProbeSpec {
    /// What the probe says about such data.
    fn problems(&self, counts: &ProbeCounts) -> Vec<ijepa_registry::problem::Problem> {
        self.component.object.check_data(counts)
    }
}
