//! Probe `fine_tune`: a copy of the encoder is trained further, with a linear classifier on top.

use dfdx::prelude::PutTape;
use ijepa_registry::prelude::*;

use super::shared::features::{check_classes, check_counts};
use super::shared::optimizer::adamw;
use super::shared::scores::{Answer, Score, Tally, accuracy_metrics, majority_rate};
use super::shared::softmax::softmax;
use crate::{
    kernels::{Compose, from_host, to_host},
    nn::{Init, InitScheme, Linear},
};

component! {
    /// Accuracy after training a copy of the encoder further, with a linear classifier on its mean tokens.
    ///
    /// The other end of `linear`: there nothing of the encoder moves, here all of it does (fine-tuning, as MAE,
    /// arXiv 2111.06377, appendix A.1, and data2vec are judged; I-JEPA with 1 % of ImageNet, arXiv 2301.08243, table 2). AdamW
    /// with the learning rate of a layer falling by `layer_decay` with every block above it (BEiT, arXiv 2106.08254), a
    /// linear warm-up over the first tenth of the steps and a cosine to 0, cross-entropy with smoothed labels; the last
    /// epoch counts. Images are as features are extracted from them, unless `augment` is on: then labels that an
    /// augmentation changes (a mirrored position) are wrong. The run's own weights do not move. It costs about as much as
    /// `epochs` epochs of training without masks, and holds a batch of whole images with what backward needs. Not for
    /// pixels; `controls: [random_init]` is training from scratch on the same budget.
    probe "fine_tune" => FineTune, example = "{ epochs: 3, batch_size: 32, learning_rate: 0.02 }",
    aliases = ["finetune" => "fine_tune", "fine_tuning" => "fine_tune", "finetuning" => "fine_tune"]
}

/// Settings of `probe: { kind: fine_tune }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FineTune {
    /// Passes over train.
    #[schemars(range(min = 1, max = 10_000))]
    epochs: u64,
    /// Images per step.
    #[schemars(range(min = 1, max = 100_000))]
    batch_size: usize,
    /// Largest learning rate, of the classifier and of what has no block above it.
    #[schemars(range(min = 1e-8, max = 10.0))]
    learning_rate: f64,
    /// Weight decay of matrices.
    #[schemars(range(min = 0.0, max = 10.0))]
    weight_decay: f64,
    /// Factor of the learning rate for every block above a parameter; 1 trains all alike.
    #[schemars(range(min = 0.01, max = 1.0))]
    layer_decay: f64,
    /// Share of a label that is spread evenly over all classes.
    #[schemars(range(min = 0.0, max = 0.9))]
    label_smoothing: f64,
    /// Whether the experiment's augmentation changes the images.
    augment: bool,
}

impl Default for FineTune {
    fn default() -> Self {
        FineTune {
            epochs: 10,
            batch_size: 128,
            learning_rate: 1e-3,
            weight_decay: 0.05,
            layer_decay: 0.75,
            label_smoothing: 0.1,
            augment: false,
        }
    }
}

/// Test images of one pass.
const JUDGED: usize = 1024;

impl Probe for FineTune {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }
    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        check_counts(counts).into_iter().collect()
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        let mut all = accuracy_metrics("accuracy on test").to_vec();
        let nll = "mean negative log likelihood on test";
        all.push(MetricDecl::new("test_nll", "nats", nll, Direction::Lower));
        all.push(MetricDecl::new("train_loss", "nats", "mean loss over the last epoch", Direction::Neither));
        all
    }
    fn predicts(&self) -> bool {
        true
    }
    fn uses_model(&self) -> bool {
        true
    }
    fn needs(&self) -> Needs {
        Needs::NONE
    }
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        check_classes(data)?;
        let model = context.model.ok_or_else(|| ProbeError("there is no encoder to train".into()))?;
        let optimizer = self.adamw()?;
        let mut encoder = model.copy(optimizer.as_ref())?;
        let mut head = Head::new(optimizer.as_ref(), model.dim(), data.classes, context.seed);
        let train_loss = self.fit(encoder.as_mut(), &mut head, data, context)?;
        let tally = head.tally(encoder.as_ref(), data)?;
        let Score { top1, balanced, nll } = tally.score();
        if !nll.is_finite() || !train_loss.is_finite() {
            return Err(ProbeError("training diverged; try a smaller learning rate".into()));
        }
        let (predictions, scores) = tally.said();
        let values = vec![top1, balanced, majority_rate(data), nll, train_loss];
        Ok(Findings::from(values).predicting(predictions).scoring(scores))
    }
}

impl FineTune {
    fn adamw(&self) -> Result<Box<dyn OptimizerSettings>, ModelError> {
        adamw(&serde_json::json!({ "layer_decay": self.layer_decay }))
    }

    /// Trains encoder and head; the mean loss of the last epoch.
    fn fit(
        &self,
        encoder: &mut dyn EncoderCopy,
        head: &mut Head,
        data: &ProbeData,
        context: &ProbeContext,
    ) -> Result<f64, ModelError> {
        let images = data.train.count();
        let size = self.batch_size.min(images);
        let steps = self.epochs * (images / size) as u64;
        let (mut step, mut mean) = (0, 0.0);
        for epoch in 0..self.epochs {
            let mut order: Vec<u32> = (0..images as u32).collect();
            Stream::new(context.seed, "probe/fine_tune/order", epoch, 0).shuffle(&mut order);
            let mut sum = 0.0;
            for batch in order.chunks_exact(size) {
                let learning_rate = self.learning_rate * share_of_rate(step, steps);
                let rates = Rates { learning_rate, weight_decay: self.weight_decay };
                let labels: Vec<u32> = batch.iter().map(|&i| data.train.labels[i as usize]).collect();
                let batch = TuningBatch { images: batch, epoch, augmented: self.augment };
                let mut gradient = |features: &[f32]| {
                    let (loss, gradient) = head.step(features, &labels, self.label_smoothing, rates)?;
                    sum += loss;
                    Ok(gradient)
                };
                encoder.step(&batch, &mut gradient, rates)?;
                step += 1;
                (context.progress)(step, steps);
            }
            mean = sum / (images / size) as f64;
        }
        Ok(mean)
    }
}

/// Rises linearly over the first tenth, then `(1 + cos(pi t)) / 2`.
fn share_of_rate(step: u64, steps: u64) -> f64 {
    let warm = steps.div_ceil(10);
    if step < warm {
        return (step + 1) as f64 / warm as f64;
    }
    let t = (step - warm) as f64 / (steps - warm).max(1) as f64;
    0.5 * (1.0 + (std::f64::consts::PI * t).cos())
}

/// The classifier.
struct Head {
    linear: Linear<Cpu>,
    optimizer: Box<dyn Optimizer<Cpu>>,
    dim: usize,
    classes: usize,
}

impl Head {
    fn new(optimizer: &dyn OptimizerSettings, dim: usize, classes: usize, seed: u64) -> Self {
        let device = Cpu::default();
        let init = Init::new(&device, seed, "probe/fine_tune", InitScheme::Trunc);
        let linear = Linear::new(&init, "classifier", &[classes, dim]);
        Head { linear, optimizer: optimizer.cpu(), dim, classes }
    }

    /// Mean cross-entropy of features `(image, dim)` with smoothed labels `(1 - s) onehot + s / classes`, and its
    /// gradient with respect to them; the classifier takes a step along its own.
    fn step(
        &mut self,
        features: &[f32],
        labels: &[u32],
        smoothing: f64,
        rates: Rates,
    ) -> Result<(f64, Vec<f32>), ModelError> {
        let (count, Head { linear, optimizer, dim, classes }) = (labels.len(), self);
        let (dim, classes) = (*dim, *classes);
        let device = Cpu::default();
        let input: Rows<Cpu> = from_host(&device, features, count, dim)?;
        let mut slopes = to_host(&linear.forward(input.clone())?)?;
        let mut loss = 0.0;
        for (row, &label) in slopes.chunks_exact_mut(classes).zip(labels) {
            softmax(row);
            for (class, p) in row.iter_mut().enumerate() {
                let hit = if class == label as usize { 1.0 - smoothing } else { 0.0 };
                let wanted = hit + smoothing / classes as f64;
                loss -= wanted * f64::from(p.max(f32::MIN_POSITIVE)).ln() / count as f64;
                *p = ((f64::from(*p) - wanted) / count as f64) as f32;
            }
        }
        // The gradient of sum(g * logits), with g held constant, is that of the loss.
        let slopes: Rows<Cpu> = from_host(&device, slopes, count, classes)?;
        let logits = linear.forward(input.clone().put_tape(OwnedTape::default()))?;
        let total = Cpu::sum(Cpu::multiply(logits, slopes)?)?;
        let mut gradients = total.try_backward().map_err(ModelError::from_debug)?;
        let of_features = gradients.get(&input).as_vec();
        let params = linear.params.iter_mut();
        let mut named: Vec<_> = params.map(|param| (param.name.clone(), param)).collect();
        optimizer.step(&mut named, &mut gradients, rates)?;
        Ok((loss, of_features))
    }

    fn tally(&self, encoder: &dyn EncoderCopy, data: &ProbeData) -> Result<Tally, ModelError> {
        let all: Vec<u32> = (0..data.test.count() as u32).collect();
        let mut tally = Tally::new(data.classes);
        for images in all.chunks(JUDGED) {
            let features = encoder.features(images)?;
            let input: Rows<Cpu> = from_host(&Cpu::default(), features, images.len(), self.dim)?;
            let mut logits = to_host(&self.linear.forward(input)?)?;
            for (row, &i) in logits.chunks_exact_mut(data.classes).zip(images) {
                let label = data.test.labels[i as usize];
                let best = (0..data.classes).fold(0, |best, c| if row[c] > row[best] { c } else { best });
                softmax(row);
                let answer = Answer { class: best, score: f64::from(row[best]) };
                tally.take(label, answer, -f64::from(row[label as usize].max(f32::MIN_POSITIVE)).ln());
            }
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_of_the_features_is_that_of_the_loss_and_the_rate_rises_and_falls() {
        let mut stream = Stream::new(10, "test/head", 0, 0);
        let features: Vec<f32> = (0..6 * 4).map(|_| stream.normal() as f32).collect();
        let labels = [0, 1, 2, 2, 1, 0];
        // Steps of a rate of 0 leave the classifier as it is.
        let rates = Rates { learning_rate: 0.0, weight_decay: 0.0 };
        let adamw = FineTune::default().adamw().unwrap();
        let mut head = Head::new(adamw.as_ref(), 4, 3, 1);
        head.linear.params[0].data.copy_from(&(0..12).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>());
        let mut at = |x: &[f32]| head.step(x, &labels, 0.1, rates).unwrap();
        let (loss, gradient) = at(&features);
        for i in 0..features.len() {
            let mut moved = features.clone();
            moved[i] += 1e-2;
            let above = at(&moved).0;
            moved[i] -= 2e-2;
            let slope = (above - at(&moved).0) / 2e-2;
            assert!((slope - f64::from(gradient[i])).abs() < 1e-4, "{i}: {slope} {}", gradient[i]);
        }
        assert!(loss > 0.0);
        let shares: Vec<f64> = (0..20).map(|step| share_of_rate(step, 20)).collect();
        assert_eq!(shares[..3], [0.5, 1.0, 1.0]);
        assert!(shares[2..].windows(2).all(|pair| pair[1] < pair[0]) && shares[19] < 0.02);
    }
}
