//! Multinomial logistic regression by minibatch SGD, for several heads at once.
//!
//! All heads see the same batches, so one pass over the features trains a whole grid of learning
//! rates and decays (as in the linear evaluation of DINOv2, Oquab et al. 2023).

use rayon::prelude::*;

use super::classifiers::{Classifiers, Samples};
use super::softmax::softmax_slopes;
use crate::kernels::{Packed, Start, product_of_columns};

/// Images of a batch that one task handles.
const ROWS: usize = 64;
/// Features whose weights one task updates.
const DIMS: usize = 32;
/// Multiplications from which a batch is worth sharing between threads.
const WORTH_SHARING: usize = 2_000_000;

/// How the heads are fitted. SGD in PyTorch's form: `v = mu v + g + decay w; w -= rate v`.
pub(crate) struct Recipe<'a> {
    /// Learning rate of every head.
    pub rates: &'a [f64],
    /// Weight decay of every head; not on biases.
    pub decays: &'a [f64],
    /// Momentum `mu`.
    pub momentum: f64,
    /// Images per step; the last batch of an epoch may be shorter.
    pub batch: usize,
    /// Passes over the rows.
    pub epochs: usize,
    /// Cosine decay of the rate to 0 over all steps, instead of a constant rate.
    pub cosine: bool,
}

/// Fits to the rows that `order(epoch)` lists, in that order; `done(epochs)` after each epoch.
pub(crate) fn fit(
    heads: &mut Classifiers,
    data: Samples,
    recipe: &Recipe,
    order: impl Fn(usize) -> Vec<u32>,
    done: impl Fn(usize),
) {
    let mut sgd = Sgd::new(heads, recipe);
    let (mut step, mut total) = (0, 0);
    for epoch in 0..recipe.epochs {
        let rows = order(epoch);
        total = total.max(rows.len().div_ceil(recipe.batch) * recipe.epochs);
        for batch in rows.chunks(recipe.batch) {
            let phase = std::f64::consts::PI * step as f64 / total as f64;
            let factor = if recipe.cosine { 0.5 * (1.0 + phase.cos()) } else { 1.0 };
            sgd.step(heads, data, batch, factor as f32);
            step += 1;
        }
        done(epoch + 1);
    }
}

/// Momentum and scratch space of a fit.
struct Sgd {
    momentum: f32,
    /// Learning rate and decay of every column.
    rates: Vec<f32>,
    decays: Vec<f32>,
    velocity: Vec<f32>,
    bias_velocity: Vec<f32>,
    x: Vec<f32>,
    slopes: Vec<f32>,
    gradient: Vec<f32>,
}

impl Sgd {
    fn new(heads: &Classifiers, recipe: &Recipe) -> Self {
        let per_column = |per_head: &[f64]| {
            per_head.iter().flat_map(|&v| std::iter::repeat_n(v as f32, heads.classes)).collect()
        };
        Sgd {
            momentum: recipe.momentum as f32,
            rates: per_column(recipe.rates),
            decays: per_column(recipe.decays),
            velocity: vec![0.0; heads.weights.len()],
            bias_velocity: vec![0.0; heads.bias.len()],
            x: vec![0.0; recipe.batch * heads.dim],
            slopes: vec![0.0; recipe.batch * heads.bias.len()],
            gradient: vec![0.0; heads.weights.len()],
        }
    }

    /// One step on the rows of `batch`, with all rates times `factor`.
    fn step(&mut self, heads: &mut Classifiers, data: Samples, batch: &[u32], factor: f32) {
        let (dim, cols) = (heads.dim, heads.bias.len());
        // The pieces are the same either way: sharing changes the time, never a number.
        let shared = batch.len() * dim * cols >= WORTH_SHARING;
        let x = &mut self.x[..batch.len() * dim];
        let slopes = &mut self.slopes[..batch.len() * cols];
        let weights = heads.packed();
        let pieces = x.chunks_mut(ROWS * dim).zip(slopes.chunks_mut(ROWS * cols)).zip(batch.chunks(ROWS));
        each(shared, pieces.collect(), |((x, slopes), rows)| {
            data.gather(rows, x);
            heads.logits(&weights, x, slopes);
            let labels = rows.iter().map(|&row| data.labels[row as usize]);
            softmax_slopes(slopes, cols, heads.classes, labels, 1.0 / batch.len() as f32);
        });
        let (x, slopes) = (&*x, Packed::new(slopes, batch.len(), cols));
        let (rates, decays, momentum) = (&self.rates, &self.decays, self.momentum);
        let update = |w: &mut [f32], v: &mut [f32], g: &[f32], decay: f32| {
            let columns = w.iter_mut().zip(v).zip(g).zip(rates).zip(decays);
            for ((((w, v), g), rate), d) in columns {
                *v = momentum * *v + (g + decay * d * *w);
                *w -= factor * rate * *v;
            }
        };
        let size = DIMS * cols;
        let weights = heads.weights.chunks_mut(size).zip(self.velocity.chunks_mut(size));
        let pieces = weights.zip(self.gradient.chunks_mut(size)).enumerate();
        each(shared, pieces.collect(), |(i, ((w, v), g))| {
            product_of_columns(g, Start::Zero, x, i * DIMS..i * DIMS + g.len() / cols, &slopes);
            let rows = w.chunks_exact_mut(cols).zip(v.chunks_exact_mut(cols)).zip(g.chunks_exact(cols));
            rows.for_each(|((w, v), g)| update(w, v, g, 1.0));
        });
        let bias_gradient = self.slopes[..batch.len() * cols].chunks_exact(cols);
        let bias_gradient = bias_gradient.fold(vec![0.0; cols], |mut sum, row| {
            sum.iter_mut().zip(row).for_each(|(s, r)| *s += r);
            sum
        });
        update(&mut heads.bias, &mut self.bias_velocity, &bias_gradient, 0.0);
    }
}

/// Does `work` on every piece, on all threads if `shared`.
fn each<P: Send>(shared: bool, pieces: Vec<P>, work: impl Fn(P) + Sync + Send) {
    if shared { pieces.into_par_iter().for_each(work) } else { pieces.into_iter().for_each(work) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;
    use std::path::Path;

    fn f32s(file: &SafeTensors, name: &str) -> Vec<f32> {
        let data = file.tensor(name).unwrap();
        data.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    fn integers(file: &SafeTensors, name: &str) -> Vec<u32> {
        let data = file.tensor(name).unwrap();
        data.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect()
    }

    fn f64_of(file: &SafeTensors, name: &str) -> f64 {
        f64::from_le_bytes(file.tensor(name).unwrap().data().try_into().unwrap())
    }

    /// Between PyTorch's `(class, dim)` and the `(dim, class)` of one head.
    fn transposed(values: &[f32], cols: usize) -> Vec<f32> {
        (0..values.len())
            .map(|i| values[i % (values.len() / cols) * cols + i / (values.len() / cols)])
            .collect()
    }

    fn assert_close(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
        assert_eq!(ours.len(), theirs.len(), "{what}");
        let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        eprintln!("{what}: largest difference {worst:e}");
        assert!(worst <= tolerance, "{what}: {worst:e}");
    }

    /// Settings in the metadata.
    fn settings(bytes: &[u8]) -> serde_json::Value {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let info: serde_json::Value =
            serde_json::from_str(&header.metadata().as_ref().unwrap()["info"]).unwrap();
        info["config"].clone()
    }

    #[test]
    fn equals_pytorchs_probe() {
        same_probe(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures"));
    }

    #[test]
    #[ignore = "needs IJEPA_FIXTURES, see tests/with_data/README.md"]
    fn equals_the_repositorys_probe() {
        same_probe(Path::new(&std::env::var_os("IJEPA_FIXTURES").expect("IJEPA_FIXTURES is set")));
    }

    /// Trains in the order of the fixture below `folder` and compares heads, logits and accuracies.
    fn same_probe(folder: &Path) {
        let bytes = std::fs::read(folder.join("seed/linear_probe.safetensors")).unwrap();
        let (file, settings) = (SafeTensors::deserialize(&bytes).unwrap(), settings(&bytes));
        let (x, y, order) = (f32s(&file, "train_x"), integers(&file, "train_y"), integers(&file, "order"));
        let [dim, classes, batch, epochs] =
            ["dim", "classes", "bs", "epochs"].map(|key| settings[key].as_u64().unwrap() as usize);
        let n = y.len();
        let mut heads = Classifiers::zeros(dim, classes, 1);
        heads.weights = transposed(&f32s(&file, "w0/weight"), dim);
        heads.bias = f32s(&file, "w0/bias");
        let recipe = Recipe { rates: &[0.1], decays: &[0.0], momentum: 0.9, batch, epochs, cosine: false };
        let train = Samples { x: &x, standard: None, labels: &y };
        fit(&mut heads, train, &recipe, |epoch| order[epoch * n..(epoch + 1) * n].to_vec(), |_| ());
        assert_close("weights", &heads.weights, &transposed(&f32s(&file, "w_final/weight"), dim), 1e-4);
        assert_close("bias", &heads.bias, &f32s(&file, "w_final/bias"), 1e-4);

        let (x, y) = (f32s(&file, "test_x"), integers(&file, "test_y"));
        let mut logits = vec![0.0; y.len() * classes];
        heads.logits(&heads.packed(), &x, &mut logits);
        assert_close("test logits", &logits, &f32s(&file, "test_logits"), 1e-3);
        let all = |n: usize| (0..n as u32).collect::<Vec<_>>();
        let test = Samples { x: &x, standard: None, labels: &y };
        assert_eq!(heads.scores(test, &all(y.len()))[0].top1, f64_of(&file, "test_acc_percent"));
        assert_eq!(heads.scores(train, &all(n))[0].top1, f64_of(&file, "train_acc_percent"));
    }

    #[test]
    fn heads_side_by_side_equal_heads_alone() {
        let x: Vec<f32> = (0..300 * 40).map(|i| (i as f32 * 0.37).sin()).collect();
        let labels: Vec<u32> = (0..300).map(|i| i % 3).collect();
        let data = Samples { x: &x, standard: None, labels: &labels };
        let order = |epoch| (0..300).map(|i| (i * 7 + epoch as u32) % 300).collect();
        let (rates, decays) = ([0.3, 0.01, 0.1], [0.0, 0.1, 0.01]);
        let recipe = |i: std::ops::Range<usize>| Recipe {
            rates: &rates[i.clone()],
            decays: &decays[i],
            momentum: 0.9,
            batch: 70,
            epochs: 4,
            cosine: true,
        };
        let mut wide = Classifiers::zeros(40, 3, 3);
        fit(&mut wide, data, &recipe(0..3), order, |_| ());
        for head in 0..3 {
            let mut alone = Classifiers::zeros(40, 3, 1);
            fit(&mut alone, data, &recipe(head..head + 1), order, |_| ());
            let own = wide.weights.chunks_exact(9).flat_map(|row| row[head * 3..head * 3 + 3].to_vec());
            assert_close("weights", &own.collect::<Vec<_>>(), &alone.weights, 1e-5);
        }
    }
}
