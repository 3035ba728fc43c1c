//! Attentive probe: a learned query reads the tokens, a linear classifier reads the query.

use dfdx::prelude::{PutTape, SplitTape};
use ijepa_registry::prelude::*;

use super::shared::features::{Standardiser, check_counts, check_labelled, is_one};
use super::shared::optimizer::adamw;
use super::shared::scores::{Answer, Score, Tally, accuracy_metrics, majority_rate};
use super::shared::softmax::softmax;
use crate::{
    kernels::{Backend, Compose, NONE, TableTerm, from_host, to_host},
    nn::{Init, InitScheme, Linear, Norm, NormKind},
};

component! {
    /// Cross-attention of one learned query over the frozen tokens of an image, then a linear classifier.
    ///
    /// `softmax(q k'/sqrt(d/h)) v` with `k = W_k t`, `v = W_v t` of the standardised tokens `t`, a layer norm and a
    /// linear map to the classes: what averaging the tokens throws away can be found (attentive probing: CAIT's
    /// class attention, arXiv 2103.17239; used to judge V-JEPA, arXiv 2404.08471, section 4). Trained with AdamW, a
    /// learning rate that falls along a cosine, no augmentation; the last epoch counts. Of raw pixels the tokens
    /// are the patches. Takes the tokens of all images into memory.
    probe "attentive" => Attentive, example = "{ epochs: 40, heads: 2, batch_size: 32 }",
    aliases = ["attention" => "attentive", "attention_pooling" => "attentive"]
}

/// Settings of `probe: { kind: attentive }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Attentive {
    /// Passes over train.
    #[schemars(range(min = 1, max = 10_000))]
    epochs: u64,
    /// Images per step.
    #[schemars(range(min = 1, max = 100_000))]
    batch_size: usize,
    /// Learning rate of the first step.
    #[schemars(range(min = 1e-8, max = 10.0))]
    learning_rate: f64,
    /// Weight decay of matrices.
    #[schemars(range(min = 0.0, max = 10.0))]
    weight_decay: f64,
    /// Attention heads; the largest number up to this one that divides the width of a token is taken.
    #[schemars(range(min = 1, max = 64))]
    heads: usize,
    /// Last blocks of the encoder that are looked at, their outputs side by side.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "is_one")]
    layers: usize,
}

impl Default for Attentive {
    fn default() -> Self {
        Attentive {
            epochs: 20,
            batch_size: 256,
            learning_rate: 1e-3,
            weight_decay: 0.01,
            heads: 6,
            layers: 1,
        }
    }
}

impl Probe for Attentive {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }
    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        check_counts(counts).into_iter().collect()
    }
    fn memory(&self, sizes: &ProbeSizes) -> Option<u64> {
        // Tokens, keys, values and their gradients of a batch; three matrices with moments.
        let batch = self.batch_size.min(sizes.train) * sizes.tokens * sizes.dim;
        Some(4 * (8 * batch + 12 * sizes.dim * sizes.dim) as u64)
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        let mut all = accuracy_metrics("accuracy on test").to_vec();
        let nll = "mean negative log likelihood on test";
        all.push(MetricDecl::new("test_nll", "nats", nll, Direction::Lower));
        all
    }
    fn predicts(&self) -> bool {
        true
    }
    fn needs(&self) -> Needs {
        Needs { layers: self.layers, ..Needs::TOKENS }
    }
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        check_labelled(data)?;
        let mut model = Pooling::new(self.heads, data, context.seed);
        self.fit(&mut model, data, context)?;
        let tally = model.tally(&data.test, data.classes, self.batch_size)?;
        let Score { top1, balanced, nll } = tally.score();
        if !nll.is_finite() {
            return Err(ProbeError("the classifier diverged; try a smaller learning rate".into()));
        }
        let values = vec![top1, balanced, majority_rate(data), nll];
        let (predictions, scores) = tally.said();
        Ok(Findings::from(values).predicting(predictions).scoring(scores))
    }
}

impl Attentive {
    fn fit(&self, model: &mut Pooling, data: &ProbeData, context: &ProbeContext) -> Result<(), ModelError> {
        let mut optimizer = adamw(&serde_json::json!({}))?.cpu();
        let images = data.train.count();
        let size = self.batch_size.min(images);
        let steps = self.epochs * (images / size) as u64;
        let mut step = 0;
        for epoch in 0..self.epochs {
            let mut order: Vec<u32> = (0..images as u32).collect();
            Stream::new(context.seed, "probe/attentive/order", epoch, 0).shuffle(&mut order);
            for batch in order.chunks_exact(size) {
                let mut gradients = model.gradients(&data.train, batch)?;
                // lr (1 + cos(pi t / T)) / 2
                let falling = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
                let rates =
                    Rates { learning_rate: self.learning_rate * falling, weight_decay: self.weight_decay };
                optimizer.step(&mut model.named(), &mut gradients, rates)?;
                step += 1;
                (context.progress)(step, steps);
            }
        }
        Ok(())
    }
}

/// The learned part: query, keys, values, norm, classifier.
struct Pooling {
    standard: Standardiser,
    heads: usize,
    classes: usize,
    /// `[1, 1, dim]`
    query: Param<Cpu>,
    keys: Linear<Cpu>,
    values: Linear<Cpu>,
    norm: Norm<Cpu>,
    classifier: Linear<Cpu>,
}

impl Pooling {
    fn new(heads: usize, data: &ProbeData, seed: u64) -> Self {
        let dim = data.train.dim;
        let device = Cpu::default();
        let init = Init::new(&device, seed, "probe/attentive", InitScheme::Trunc);
        Pooling {
            standard: Standardiser::fit(&data.train),
            heads: (1..=heads).rev().find(|h| dim.is_multiple_of(*h)).unwrap_or(1),
            classes: data.classes,
            query: init.tokens("query", &[1, 1, dim]),
            keys: Linear::new(&init, "keys", &[dim, dim]),
            values: Linear::new(&init, "values", &[dim, dim]),
            norm: Norm::new(&init, "norm", dim, 1e-6, NormKind::LayerNorm),
            classifier: Linear::new(&init, "classifier", &[data.classes, dim]),
        }
    }

    /// Logits `(image, class)` of some images.
    fn logits<T: Tape<f32, Cpu> + dfdx::prelude::Merge<T>>(
        &self,
        split: &Features,
        images: &[u32],
        tape: T,
    ) -> Result<Rows<Cpu, T>, ModelError> {
        let (count, tokens, dim) = (images.len(), split.tokens, split.dim);
        let mut standardised = vec![0.0; count * tokens * dim];
        let given = images.iter().flat_map(|&i| split.row(i as usize).chunks_exact(dim));
        standardised.chunks_exact_mut(dim).zip(given).for_each(|(out, row)| self.standard.row(row, out));
        let device = Cpu::default();
        let input: Rows<Cpu> = from_host(&device, standardised, count * tokens, dim)?;
        let nothing: Rows<Cpu> = from_host(&device, vec![0.0; dim], 1, dim)?;
        // One query per image: the learned one, added to no row.
        let first = vec![0; count];
        let learned = TableTerm { table: &self.query.data, index: &first, trained: true };
        let query = Cpu::gather_sum(nothing.put_tape(tape), &vec![NONE; count], &[learned])?;
        let keys = self.keys.forward_input(&input, T::default())?;
        let values = self.values.forward_input(&input, T::default())?;
        let (one, all) =
            (Segments::from_lengths(vec![1; count]), Segments::from_lengths(vec![tokens; count]));
        let pooled = Cpu::attention(query, keys, values, self.heads, &one, &all)?;
        self.classifier.forward(self.norm.forward(pooled)?)
    }

    /// Gradients of the mean cross-entropy: those of the sum of `g * logits` with the constant
    /// `g = (softmax(logits) - onehot) / images`.
    fn gradients(&self, split: &Features, images: &[u32]) -> Result<Gradients<f32, Cpu>, ModelError> {
        let (logits, tape) = self.logits(split, images, OwnedTape::default())?.split_tape();
        let mut slopes = to_host(&logits)?;
        for (row, &i) in slopes.chunks_exact_mut(self.classes).zip(images) {
            softmax(row);
            row[split.labels[i as usize] as usize] -= 1.0;
            row.iter_mut().for_each(|p| *p /= images.len() as f32);
        }
        let slopes: Rows<Cpu> = from_host(&Cpu::default(), slopes, images.len(), self.classes)?;
        let loss = Cpu::sum(Cpu::multiply(logits.put_tape(tape), slopes)?)?;
        loss.try_backward().map_err(ModelError::from_debug)
    }

    fn tally(&self, split: &Features, classes: usize, batch: usize) -> Result<Tally, ModelError> {
        let all: Vec<u32> = (0..split.count() as u32).collect();
        let mut tally = Tally::new(classes);
        for images in all.chunks(batch) {
            let mut logits = to_host(&self.logits(split, images, NoneTape)?)?;
            for (row, &i) in logits.chunks_exact_mut(classes).zip(images) {
                let label = split.labels[i as usize];
                let best = (0..classes).fold(0, |best, c| if row[c] > row[best] { c } else { best });
                softmax(row);
                let answer = Answer { class: best, score: f64::from(row[best]) };
                tally.take(label, answer, -f64::from(row[label as usize].max(f32::MIN_POSITIVE)).ln());
            }
        }
        Ok(tally)
    }

    fn named(&mut self) -> Vec<(String, &mut Param<Cpu>)> {
        let Pooling { query, keys, values, norm, classifier, .. } = self;
        let linear = [keys, values, classifier].into_iter().flat_map(|layer| &mut layer.params);
        let params = std::iter::once(query).chain(linear).chain(norm.params_mut());
        params.map(|param| (param.name.clone(), param)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four tokens of noise in an image; one of them, at a random place, tells the class by its sign.
    fn needles(count: usize, part: u64) -> (Vec<f32>, Vec<u32>) {
        let mut stream = Stream::new(7, "test/needles", part, 0);
        let mut values = Vec::new();
        let labels: Vec<u32> = (0..count as u32).map(|i| i % 2).collect();
        for label in &labels {
            let place = stream.below(4);
            for token in 0..4 {
                let sign = if *label == 0 { -1.0 } else { 1.0 };
                let mark = if token == place { [6.0, 3.0 * sign] } else { [0.0, 0.0] };
                values.extend(mark);
                // Opposite marks elsewhere hide the sign from a mean.
                values.extend((0..6).map(|_| stream.normal() as f32));
                if token != place {
                    let at = values.len() - 7;
                    values[at] = -sign + stream.normal() as f32;
                }
            }
        }
        (values.into_iter().collect(), labels)
    }

    #[test]
    fn a_token_that_tells_the_class_is_found() {
        let (train, test) = (needles(400, 0), needles(200, 1));
        let split =
            |(values, labels): &'static (Vec<f32>, Vec<u32>)| Features { dim: 8, tokens: 4, values, labels };
        let leak = |set: (Vec<f32>, Vec<u32>)| -> &'static (Vec<f32>, Vec<u32>) { Box::leak(Box::new(set)) };
        let data = ProbeData::new(split(leak(train)), split(leak(test)), 2);
        let probe =
            Attentive { epochs: 30, batch_size: 50, heads: 2, learning_rate: 1e-2, ..Attentive::default() };
        let found = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| probe.measure(&data, &ProbeContext::silent(1))).unwrap().values
        };
        let values = found(1);
        assert!(values[0] > 90.0, "{values:?}");
        assert_eq!(values, found(3), "results depend on the number of threads");
    }
}
