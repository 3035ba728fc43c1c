//! What is known of an experiment's data before it runs, and what follows from it. Facts are handed in:
//! nothing here touches a file.

use ijepa_registry::{
    kinds::{Factor, Survey},
    problem::Problem,
};

use super::{
    checks,
    error::{ConfigError, Report},
    experiment::{Experiment, ProbeSpec},
    scarce::LabelCounts,
    span::{Span, join},
};

/// Digits of the content's fingerprint in the name of a run folder.
const DIGITS: usize = 8;

/// What is known of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFacts {
    /// Counts and labels.
    pub survey: Survey,
    /// Fingerprint of images and labels, if it is known without decoding them.
    pub content: Option<String>,
}

impl Experiment {
    /// The same with facts about its data, if nothing speaks against running it on them.
    pub fn with_data(mut self, facts: DataFacts) -> Result<Self, ConfigError> {
        self.check_data(&facts.survey)?;
        self.check_counts(&facts.survey)?;
        self.data = Some(facts);
        Ok(self)
    }

    /// Where its data were named.
    pub(crate) fn place_of_data(&self) -> Span {
        self.places.value("dataset.path")
    }

    /// Counts and labels: those handed in, or what the settings of a data set without files say.
    pub fn survey(&self) -> Option<Survey> {
        let known = self.data.as_ref().map(|facts| facts.survey.clone());
        known.or_else(|| checks::survey(self.dataset.object.as_ref()))
    }

    /// Images that are trained on: without those held out for validation.
    pub fn train_images(&self) -> Option<usize> {
        self.survey().map(|s| s.train.saturating_sub(self.validation))
    }

    /// `{name}-s{seed}-{identity}`: the run folder, but for the content of data that are read from files.
    pub fn stem(&self) -> String {
        format!("{}-s{}-{}", self.name, self.seed, self.identity())
    }

    /// `{name}-s{seed}-{identity}`, with the first digits of the content's fingerprint for data that are
    /// read from files; without them as long as the content is not known.
    pub fn run_folder_name(&self) -> String {
        let content = self.data.as_ref().and_then(|facts| facts.content.as_ref());
        match content.filter(|_| self.dataset.object.reads_files()) {
            Some(content) => format!("{}-{}", self.stem(), content.get(..DIGITS).unwrap_or(content)),
            None => self.stem(),
        }
    }

    /// Probes have images enough of every class, where names say how many there are.
    fn check_counts(&self, survey: &Survey) -> Result<(), ConfigError> {
        let counts = |factor: &Factor| {
            factor.train.clone().map(|train| LabelCounts { name: factor.name.clone(), train })
        };
        let counts: Option<Vec<LabelCounts>> = survey.labels.iter().map(counts).collect();
        let train = survey.labelled().saturating_sub(self.validation);
        counts.map_or(Ok(()), |counts| self.check_probes(train, survey.test.max(self.validation), &counts))
    }

    /// What can only be checked once it is known how many images there are and how they are labelled: the
    /// batch fits, the schedules suit the length of the run, probes have what they ask for.
    pub fn check_data(&self, survey: &Survey) -> Result<(), ConfigError> {
        let mut report = Report::new(&self.places, Vec::new());
        let schedules = [&self.learning_rate, &self.weight_decay, &self.ema];
        if held_out(self.validation, survey, &mut report) {
            let count = survey.train - self.validation;
            checks::length(&self.train, count, schedules.map(Some), &self.regularizers, &mut report);
        }
        probes(&self.probes, self.validation, survey, &mut report);
        report.into_result()
    }
}

/// Something must be left to train on.
pub(super) fn held_out(validation: usize, survey: &Survey, report: &mut Report) -> bool {
    let fits = validation < survey.labelled() || validation == 0;
    report.clean(
        "dataset",
        (!fits).then(|| {
            let labelled = if survey.unlabelled > 0 { " with labels" } else { "" };
            let message =
                format!("is {validation}; there are {} training images{labelled}", survey.labelled());
            Problem::new("validation", message)
                .help(format!("allowed: 0 to {}", survey.labelled().saturating_sub(1)))
        }),
    )
}

/// Probes need images they are not fitted to, and the labels they are fitted to.
pub(super) fn probes(probes: &[ProbeSpec], validation: usize, survey: &Survey, report: &mut Report) {
    for (i, probe) in probes.iter().enumerate() {
        let path = join("probes", &i.to_string());
        if survey.test == 0 && validation == 0 {
            let message = format!("`{}` has nothing to be measured on: there are no test images", probe.name);
            let help = "write `probes: []`, or hold out training images: `dataset.validation=N`";
            report.add(&path, Problem::new("", message).help(help));
        }
        if !probe.component.object.uses_labels() {
            continue;
        }
        let quantities = probe.component.object.uses_quantities();
        let names: Vec<&str> = match quantities {
            true => survey.quantities.iter().map(String::as_str).collect(),
            false => survey.labels.iter().map(|l| l.name.as_str()).collect(),
        };
        let absent = probe.labels.iter().find(|l| !names.contains(&l.as_str()));
        let problem = if quantities { unmeasured } else { unlabelled };
        report.clean(&path, absent.map(|label| problem(&probe.name, label, &names)));
    }
}

fn unlabelled(probe: &str, label: &str, names: &[&str]) -> Problem {
    if names.is_empty() {
        let message = format!("`{probe}` asks for labels `{label}`, but the images have no labels");
        return Problem::new("labels", message)
            .help("write `probes: []`, or a probe without labels such as `rankme`");
    }
    let message = format!("`{probe}` asks for labels `{label}`, but the data set has: {}", names.join(", "));
    Problem::new("labels", message)
}

fn unmeasured(probe: &str, label: &str, names: &[&str]) -> Problem {
    let message = format!("`{probe}` asks for a number `{label}` of every image");
    let help = match names {
        [] => "the data set has none: a number is a quantity of the data set, or a label whose values are all numbers"
            .to_owned(),
        names => format!("the data set has: {}; write `labels: [{}]`", names.join(", "), names[0]),
    };
    Problem::new("labels", message).help(help)
}
