//! The protocols of the linear probe.

use ijepa_registry::prelude::*;

use super::classifiers::{Classifiers, Samples, best};
use super::design::Design;
use super::logistic_optimum::{self, Fit, Task};
use super::sgd::{Recipe, fit};
use super::softmax::argmax;
use super::{Linear, Protocol};
use crate::components::probes::shared::features::{NOTHING_TO_HOLD_OUT, Standardiser, hold_out};
use crate::components::probes::shared::scores::{Answer, Score, Tally};

const MOMENTUM: f64 = 0.9;

/// How a fitted classifier does, and what else the protocol reports, in the order of its metrics.
pub(crate) struct Measured {
    /// On test.
    pub test: Score,
    /// What it says of every image of test, and how surely.
    pub said: (Vec<u32>, Vec<f32>),
    /// What it says it by.
    pub classifier: LinearClassifier,
    /// On all of train.
    pub train: Score,
    /// What was chosen, and how.
    pub choice: Vec<f64>,
}

/// The optimum of the regularised likelihood.
pub(crate) fn converged(
    settings: &Linear,
    data: &ProbeData,
    context: &ProbeContext,
) -> Result<Measured, ProbeError> {
    let standard = Standardiser::fit(&data.train);
    let (design, labels) = (Design::new(data.train.values, &standard), data.train.labels);
    let (gram, decays) = (design.gram(), settings.decays());
    let all = vec![true; labels.len()];
    let task = Task { design, labels, used: &all, classes: data.classes, gram: &gram };
    let tell = |done| (context.progress)(done as u64, decays.len() as u64 + 1);
    let (pick, held, start) = match &decays[..] {
        [_] => (0, None, Fit::zero(&task)),
        _ => {
            let (_, held) = split(settings, data, context)?;
            let mut used = all.clone();
            held.iter().for_each(|&row| used[row as usize] = false);
            let tried = search(&Task { used: &used, ..task }, &decays, tell);
            let scores: Vec<Score> = tried.iter().map(|(_, score)| *score).collect();
            let pick = best(&scores).ok_or_else(|| ProbeError("no weight decay led to an optimum".into()))?;
            let head = tried[pick].0.clone();
            let logits = design.logits(&head);
            (pick, Some(scores[pick].top1), Fit { head, logits, ..Fit::zero(&task) })
        }
    };
    let fit = logistic_optimum::fit(&task, decays[pick], &start);
    tell(decays.len() + 1);
    let classifier = design.affine(&fit.head).classifier();
    let test = Design::new(data.test.values, &standard).logits(&fit.head);
    let mut choice: Vec<f64> = held.into_iter().collect();
    choice.extend([decays[pick], edge(&decays, pick), fit.objective, fit.gap]);
    let test = tally_of(&test, data.test.labels, data.classes, |_| true);
    Ok(Measured {
        test: test.score(),
        said: test.said(),
        classifier,
        train: tally_of(&fit.logits, labels, data.classes, |_| true).score(),
        choice,
    })
}

/// Head and held-out score of every decay; each is fitted from the next larger one's optimum.
fn search(task: &Task, decays: &[f64], tell: impl Fn(usize)) -> Vec<(Vec<f64>, Score)> {
    let mut order: Vec<usize> = (0..decays.len()).collect();
    order.sort_by(|&a, &b| decays[b].total_cmp(&decays[a]));
    let mut found = vec![None; decays.len()];
    let mut fit = Fit::zero(task);
    for (done, i) in order.into_iter().enumerate() {
        fit = logistic_optimum::fit(task, decays[i], &fit);
        let score = tally_of(&fit.logits, task.labels, task.classes, |row| !task.used[row]).score();
        found[i] = Some((fit.head.clone(), score));
        tell(done + 1);
    }
    found.into_iter().flatten().collect()
}

/// Of `logits` `(image, class)` on some of the images.
fn tally_of(logits: &[f64], labels: &[u32], classes: usize, counts: impl Fn(usize) -> bool) -> Tally {
    let mut tally = Tally::new(classes);
    for (row, (z, &label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
        if counts(row) {
            let best = argmax(z);
            let sum: f64 = z.iter().map(|l| (l - z[best]).exp()).sum();
            let answer = Answer { class: best, score: sum.recip() };
            tally.take(label, answer, sum.ln() - (z[label as usize] - z[best]));
        }
    }
    tally
}

/// SGD with the best of a grid of learning rates and weight decays.
pub(crate) fn tuned(
    settings: &Linear,
    data: &ProbeData,
    context: &ProbeContext,
) -> Result<Measured, ProbeError> {
    let standard = Standardiser::fit(&data.train);
    let (rest, held) = split(settings, data, context)?;
    let samples = Samples { x: data.train.values, standard: Some(&standard), labels: data.train.labels };
    let (decays, epochs) = (settings.decays(), settings.epochs());
    let pairs = settings.learning_rates.iter().flat_map(|&r| decays.iter().map(move |&d| (r, d)));
    let (rates, grid): (Vec<f64>, Vec<f64>) = pairs.unzip();
    let progress = |done: usize| (context.progress)(done as u64, 2 * epochs as u64);

    let mut heads = Classifiers::zeros(data.train.dim, data.classes, rates.len());
    let order = |epoch| shuffled(&rest, context.seed, epoch, 0);
    fit(&mut heads, samples, &recipe(settings, &rates, &grid), order, progress);
    let scores = heads.scores(samples, &held);
    let pick = best(&scores).ok_or_else(|| {
        ProbeError("every learning rate of the grid diverged; try smaller `learning_rates`".into())
    })?;

    let mut head = Classifiers::zeros(data.train.dim, data.classes, 1);
    let all = rows(data.train.count());
    let order = |epoch| shuffled(&all, context.seed, epoch, 1);
    let best = recipe(settings, &rates[pick..=pick], &grid[pick..=pick]);
    fit(&mut head, samples, &best, order, |done| progress(epochs + done));
    let test = Samples { x: data.test.values, labels: data.test.labels, ..samples };
    let (rate, decay) = (pick / decays.len(), pick % decays.len());
    let edges = [edge(&settings.learning_rates, rate), edge(&decays, decay)];
    let (test, tally) = head.judged(test, &rows(test.labels.len()));
    Ok(Measured {
        test,
        said: tally.said(),
        classifier: head.on_features(Some(&standard)),
        train: head.scores(samples, &all)[0],
        choice: vec![scores[pick].top1, rates[pick], edges[0], grid[pick], edges[1]],
    })
}

/// The protocol of `sombersomni/ijepa-homemade@fea7df9`.
pub(crate) fn reference(settings: &Linear, data: &ProbeData, context: &ProbeContext) -> Measured {
    let init = Stream::new(context.seed, "probe/linear/init", 0, 0);
    let mut head = Classifiers::uniform(data.train.dim, data.classes, init);
    let (rate, all) = ([settings.learning_rate], rows(data.train.count()));
    let samples = Samples { x: data.train.values, standard: None, labels: data.train.labels };
    let total = settings.epochs() as u64;
    let order = |epoch| shuffled(&all, context.seed, epoch, 1);
    let progress = |done| (context.progress)(done as u64, total);
    fit(&mut head, samples, &recipe(settings, &rate, &[0.0]), order, progress);
    let test = Samples { x: data.test.values, labels: data.test.labels, ..samples };
    let (test, tally) = head.judged(test, &rows(test.labels.len()));
    Measured {
        test,
        said: tally.said(),
        classifier: head.on_features(None),
        train: head.scores(samples, &all)[0],
        choice: vec![],
    }
}

fn recipe<'a>(settings: &Linear, rates: &'a [f64], decays: &'a [f64]) -> Recipe<'a> {
    let (batch, epochs) = (settings.batch_size, settings.epochs());
    Recipe { rates, decays, momentum: MOMENTUM, batch, epochs, cosine: settings.protocol == Protocol::Tuned }
}

/// The rows of train to search with, and those of the stratified part to choose with.
fn split(
    settings: &Linear,
    data: &ProbeData,
    context: &ProbeContext,
) -> Result<(Vec<u32>, Vec<u32>), ProbeError> {
    let stream = Stream::new(context.seed, "probe/linear/split", 0, 0);
    let (rest, held) = hold_out(data.train.labels, data.classes, settings.held_out, stream);
    if held.is_empty() {
        return Err(ProbeError(NOTHING_TO_HOLD_OUT.into()));
    }
    Ok((rest, held))
}

/// Whether a value is the smallest (-1) or the largest (1) of several. Nothing lies beyond 0.
fn edge(tried: &[f64], pick: usize) -> f64 {
    let value = tried[pick];
    let (smallest, largest) = (tried.iter().all(|&v| v >= value), tried.iter().all(|&v| v <= value));
    match (smallest && value > 0.0, largest) {
        (true, false) => -1.0,
        (false, true) => 1.0,
        _ => 0.0,
    }
}

fn rows(n: usize) -> Vec<u32> {
    (0..n as u32).collect()
}

/// The order of one epoch; `pass` 0 searches, 1 fits the reported classifier.
fn shuffled(rows: &[u32], seed: u64, epoch: usize, pass: u64) -> Vec<u32> {
    let mut order = rows.to_vec();
    Stream::new(seed, "probe/linear/order", epoch as u64, pass).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_those_of_the_values_not_of_the_list() {
        let tried = [0.1, 0.01, 1.0];
        assert_eq!([0, 1, 2].map(|i| edge(&tried, i)), [0.0, -1.0, 1.0]);
        assert_eq!((edge(&[0.0, 1.0], 0), edge(&[0.5], 0)), (0.0, 0.0));
    }
}
