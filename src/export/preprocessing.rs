//! What is done to an image before the encoder sees it, as image processors describe it.

use crate::config::Experiment;

/// Steps of evaluation: the largest centred square, resized with the triangle filter, values 0 to 1, normalised.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Preprocessing {
    /// Side of the square, in pixels.
    pub size: usize,
    /// Mean and standard deviation of every channel; none: values stay within 0 and 1.
    pub normalize: Option<[Vec<f64>; 2]>,
}

impl Preprocessing {
    /// Of an experiment, or every reason why no image processor does the same.
    pub fn of(experiment: &Experiment) -> Result<Self, Vec<String>> {
        let shape = experiment.dataset.object.shape();
        let mut problems = Vec::new();
        if shape.channels != 3 || shape.height != shape.width {
            problems.push(format!(
                "dataset: the images are {} x {} x {} (channels, rows, columns); image processors take square RGB images",
                shape.channels, shape.height, shape.width
            ));
        }
        let mut steps = experiment.augmentation.iter().filter(|step| step.object.at_evaluation());
        let normalize = steps.next();
        let others = normalize.filter(|step| step.kind != "normalize").into_iter().chain(steps);
        problems.extend(others.map(|step| {
            format!(
                "augmentation: `{}` is applied at evaluation too, which an image processor cannot do; at most one \
                 `normalize` can be written",
                step.kind
            )
        }));
        let values = |of: &serde_json::Value| -> Vec<f64> {
            of.as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect()
        };
        let normalize = normalize.map(|step| [values(&step.settings["mean"]), values(&step.settings["std"])]);
        if problems.is_empty() { Ok(Preprocessing { size: shape.height, normalize }) } else { Err(problems) }
    }
}
