//! Which images runs are judged on: a difference between other images says nothing about arms.

use super::runs::Run;

/// Fingerprints of the data of a run or an arm; empty where unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// Of everything: what was trained on, and what is judged on.
    pub all: String,
    /// Of the test images alone; version 0.1.0 did not know it, and data without test images have none.
    pub test: String,
}

impl Images {
    /// What the runs of an arm share.
    pub(super) fn of(runs: &[Run]) -> Self {
        let first = |of: fn(&Images) -> &String| {
            runs.iter()
                .map(|run| of(&run.images))
                .find(|print| !print.is_empty())
                .cloned()
                .unwrap_or_default()
        };
        Images { all: first(|images| &images.all), test: first(|images| &images.test) }
    }

    /// Those that values of `metric` are measured on: a loss and what is measured on held-out images come from
    /// the training images, and only everything together tells whether these are equal.
    pub(super) fn judging(self, metric: &str) -> Self {
        if Run::is_judged_on_test(metric) { self } else { Images { test: String::new(), ..self } }
    }

    /// Whether these are known to be other images than `other`: by the test images where both know them,
    /// else by everything.
    pub fn differ(&self, other: &Images) -> bool {
        let known = |a: &str, b: &str| !a.is_empty() && !b.is_empty();
        match known(&self.test, &other.test) {
            true => self.test != other.test,
            false => known(&self.all, &other.all) && self.all != other.all,
        }
    }

    /// The start of the fingerprint that tells; empty where none is known.
    pub(super) fn short(&self) -> &str {
        short(if self.test.is_empty() { &self.all } else { &self.test })
    }
}

/// As many characters as a person compares.
pub(super) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(all: &str, test: &str) -> Images {
        Images { all: all.into(), test: test.into() }
    }

    #[test]
    fn the_test_images_tell_where_both_know_them() {
        assert!(!images("a", "t").differ(&images("b", "t")));
        assert!(images("a", "t").differ(&images("b", "u")));
        // Version 0.1.0, or no test images.
        assert!(images("a", "").differ(&images("b", "t")) && !images("a", "").differ(&images("a", "t")));
        assert!(!images("", "").differ(&images("b", "t")) && !images("", "").differ(&images("", "")));
    }

    #[test]
    fn training_images_judge_losses_and_what_is_measured_on_them() {
        let of = |metric: &str| images("a", "t").judging(metric).test;
        for metric in ["loss", "metrics/loss", "epochs/loss", "knn/target/class/top1@validation"] {
            assert_eq!(of(metric), "", "{metric}");
        }
        for metric in ["knn/target/class/top1", "rankme/target/rankme"] {
            assert_eq!(of(metric), "t", "{metric}");
        }
    }
}
