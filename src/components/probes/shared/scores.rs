//! How well predictions fit labels.

use ijepa_registry::prelude::*;

/// Correct answers per class, the negative log likelihood, and what is predicted of some images.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    seen: Vec<u64>,
    correct: Vec<u64>,
    nll: f64,
    predicted: Vec<u32>,
    sureness: Vec<f32>,
}

/// What is said of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The class.
    pub class: usize,
    /// The probability that it is given.
    pub score: f64,
}

/// How a classifier does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    /// Accuracy, %.
    pub top1: f64,
    /// Mean over the classes that occur of the accuracy on each, %.
    pub balanced: f64,
    /// Mean negative log likelihood, nats; NaN for a classifier that diverged.
    pub nll: f64,
}

impl Tally {
    /// Of no image yet.
    pub fn new(classes: usize) -> Self {
        Tally {
            seen: vec![0; classes],
            correct: vec![0; classes],
            nll: 0.0,
            predicted: Vec::new(),
            sureness: Vec::new(),
        }
    }

    /// One more image.
    pub fn take(&mut self, label: u32, answer: Answer, nll: f64) {
        let label = label as usize;
        self.seen[label] += 1;
        self.correct[label] += u64::from(answer.class == label);
        self.nll += nll;
        self.predicted.push(answer.class as u32);
        self.sureness.push(answer.score as f32);
    }

    /// With those of another.
    pub fn and(mut self, other: &Tally) -> Self {
        self.seen.iter_mut().zip(&other.seen).for_each(|(a, b)| *a += b);
        self.correct.iter_mut().zip(&other.correct).for_each(|(a, b)| *a += b);
        self.nll += other.nll;
        self.predicted.extend(&other.predicted);
        self.sureness.extend(&other.sureness);
        self
    }

    /// What was predicted of every image, in the order in which they were taken, and how surely.
    pub fn said(self) -> (Vec<u32>, Vec<f32>) {
        (self.predicted, self.sureness)
    }

    /// What it comes to.
    pub fn score(&self) -> Score {
        let percent = |correct: u64, seen: u64| 100.0 * correct as f64 / seen as f64;
        let images: u64 = self.seen.iter().sum();
        let classes = self.correct.iter().zip(&self.seen).filter(|(_, seen)| **seen > 0);
        let recalls: Vec<f64> = classes.map(|(&correct, &seen)| percent(correct, seen)).collect();
        Score {
            top1: percent(self.correct.iter().sum(), images),
            balanced: recalls.iter().sum::<f64>() / recalls.len() as f64,
            nll: self.nll / images as f64,
        }
    }
}

/// Accuracy on test of always answering the most frequent class of train (the lowest of equals), %.
pub(crate) fn majority_rate(data: &ProbeData) -> f64 {
    let mut counts = vec![0usize; data.classes];
    data.train.labels.iter().for_each(|&y| counts[y as usize] += 1);
    let most = (0..data.classes).fold(0, |best, c| if counts[c] > counts[best] { c } else { best });
    let right = data.test.labels.iter().filter(|&&y| y as usize == most).count();
    100.0 * right as f64 / data.test.count() as f64
}

/// What every classifier reports first: accuracy, and what it has to be compared with where classes are
/// of unequal size.
pub(crate) fn accuracy_metrics(top1: &'static str) -> [MetricDecl; 3] {
    let balanced = "mean over the classes of test of the accuracy on each";
    let majority = "accuracy on test of always answering the most frequent class of train";
    [
        MetricDecl::new("top1", "%", top1, Direction::Higher).share_of(100.0),
        MetricDecl::new("balanced_accuracy", "%", balanced, Direction::Higher),
        MetricDecl::new("majority_rate", "%", majority, Direction::Neither),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur() {
        // 8 of 9 of class 0, 1 of 2 of class 2, none of class 1: scikit-learn's balanced_accuracy_score.
        let mut tally = Tally::new(3);
        let answer = |class| Answer { class, score: 1.0 };
        (0..9).for_each(|i| tally.take(0, answer(usize::from(i == 8)), 0.1));
        let mut more = Tally::new(3);
        (0..2).for_each(|i| more.take(2, answer(2 * i), 0.1));
        let score = tally.and(&more).score();
        assert!((score.top1 - 100.0 * 9.0 / 11.0).abs() < 1e-12 && (score.nll - 0.1).abs() < 1e-12);
        assert!((score.balanced - 50.0 * (8.0 / 9.0 + 0.5)).abs() < 1e-12);
    }

    #[test]
    fn the_majority_is_that_of_train() {
        let train = Features { dim: 1, tokens: 1, values: &[0.0; 5], labels: &[1, 1, 0, 2, 2] };
        let test = Features { dim: 1, tokens: 1, values: &[0.0; 4], labels: &[0, 0, 1, 2] };
        assert_eq!(majority_rate(&ProbeData::new(train, test, 3)), 25.0);
    }
}
