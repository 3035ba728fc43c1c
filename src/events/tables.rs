//! The rows of a run's deterministic tables.

use super::{Cell, meaning, row};
use crate::config::{VALIDATION, metric_name};

/// Images that a probe is measured on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbedSplit {
    /// The test images.
    #[default]
    Test,
    /// Training images that were held out to choose by.
    Validation,
}

impl ProbedSplit {
    /// The name of a metric that is measured on these images.
    pub fn of(self, metric: String) -> String {
        match self {
            ProbedSplit::Test => metric,
            ProbedSplit::Validation => metric + VALIDATION,
        }
    }
}

impl Cell for ProbedSplit {
    const WANTED: &'static str = "`test` or `validation`";
    fn text(&self) -> String {
        match self {
            ProbedSplit::Test => "test".into(),
            ProbedSplit::Validation => "validation".into(),
        }
    }
    fn read(text: &str) -> Option<Self> {
        [ProbedSplit::Test, ProbedSplit::Validation].into_iter().find(|split| split.text() == text)
    }
    fn as_number(&self) -> Option<f64> {
        None
    }
}

row! {
    /// One row of `metrics.csv`.
    #[derive(Clone, Debug, Default, PartialEq)]
    MetricsRow {
        step: u64, "steps", meaning!(step);
        epoch: u64, "epochs", meaning!(epoch);
        images: u64, "images", meaning!(images);
        learning_rate: f64, "1", "learning rate of this step";
        weight_decay: f64, "1", "weight decay of this step";
        ema_momentum: f64, "1", "share of the old target encoder kept in this step";
        loss: f64, "loss units", "training loss, mean over the steps since the last row", good Lower;
        gradient_norm: f64, "1", "Euclidean norm of all gradients of this step, before clipping";
        explained_variance: f64, "1",
            "1 - squared error / variance of the targets, of this step: 1 is perfect, 0 is the mean",
            good Higher;
        explained_variance_constant: f64, "1",
            "the same for a constant prediction (mean of the batch's other targets): about 0";
        explained_variance_position: f64, "1",
            "the same for the mean target at the same position, adjusted for the few of a batch: what knowing only *where* explains";
        target_std: f64, "1",
            "standard deviation of the targets over the batch, mean over features: 0 is collapse";
        prediction_std: f64, "1",
            "standard deviation of the predictions over the batch, mean over features";
        context_patches: f64, "patches", "patches per context, mean over the batch";
        target_patches: f64, "patches", "patches per target block, mean over the batch";
        target_coverage: f64, "patches", "distinct target patches per image, mean over the batch";
        mask_redraws: u64, "draws", "mask draws thrown away since the start of the run";
        @further terms: "loss.",
            "where an experiment has `regularizers`: the distance alone (`loss.prediction`) and every term by its name, of this step, before weighting";
    }
}

row! {
    /// One row of `epochs.csv`.
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    EpochRow {
        epoch: u64, "epochs", meaning!(epoch);
        step: u64, "steps", meaning!(step);
        images: u64, "images", meaning!(images);
        loss: f64, "loss units", "training loss, mean over the epoch", good Lower;
    }
}

row! {
    /// One row of `probes.csv`.
    #[derive(Clone, Debug, PartialEq)]
    ProbeRow {
        epoch: u64, "epochs", meaning!(epoch);
        step: u64, "steps", meaning!(step);
        probe: String, "", "name of the probe in the experiment file";
        encoder: String, "",
            "whose features: `target`, `context`, or a control (`random_init`: the encoder before training, `pixels`: no encoder, `pca`: principal components of patches)";
        labels: String, "",
            "what is predicted: `class`, another factor of the data set, or empty if the probe uses no labels";
        split: ProbedSplit, "",
            "what it was measured on: `test`, or `validation` (training images held out by `dataset.validation`)",
            absent ProbedSplit::Test;
        metric: String, "", "metric of the probe (`ijepa-run components probe NAME` describes it)";
        unit: String, "", "unit of the value";
        value: f64, "see unit", "the measured value";
        protocol: String, "",
            "hash of the probe's settings that decide its values: rows of different protocols are not compared", absent String::new();
    }
}

row! {
    /// One row of the predictions of a probe.
    #[derive(Clone, Debug, PartialEq)]
    PredictionRow {
        image: u64, "", "number of the image among the test images, or of a held-out one among the training images, from 0";
        label: String, "", "what it is";
        prediction: String, "", "what the probe says it is";
        score: Option<f64>, "1", "the probability that the probe gives to its prediction; empty where it gives none";
    }
}

impl ProbeRow {
    /// `probe/encoder/labels/metric`, with `@validation` at the end for images held out to choose by.
    pub fn name(&self) -> String {
        let parts = [&self.probe, &self.encoder, &self.labels, &self.metric].map(String::as_str);
        self.split.of(metric_name(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::WATCHED_COLUMNS, events::Row};

    #[test]
    fn every_watched_column_is_a_number() {
        assert!(WATCHED_COLUMNS.iter().all(|column| MetricsRow::default().number(column).is_some()));
    }
}
