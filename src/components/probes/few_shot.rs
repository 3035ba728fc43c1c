//! Probe `few_shot`: a linear classifier on a few images of every class, drawn several times.

use ijepa_registry::{catalogue, prelude::*};

use super::shared::features::{PooledBy, check_counts, check_labelled, is_one};
use super::shared::scores::majority_rate;

component! {
    /// Accuracy of a linear classifier that is fitted to a few training images of every class.
    ///
    /// `shots` images of every class are drawn `draws` times; each draw is fitted by the probe `linear`, multinomial
    /// logistic regression at the optimum of its regularised likelihood, on features standardised by the images drawn,
    /// with a single weight decay, since there are too few images to choose one by. Every draw is judged on all test
    /// images; mean and standard deviation (n - 1) over the draws are reported (the protocol of few-shot linear probes,
    /// Radford et al. 2021, arXiv 2103.00020, section 3.1.2; I-JEPA reports 1 % of ImageNet, arXiv 2301.08243, table 2).
    /// The draws depend on the seed of the run alone, so that runs of one seed are fitted to the same images.
    probe "few_shot" => FewShot, example = "{ shots: 5, draws: 3 }",
    aliases = ["low_shot" => "few_shot", "fewshot" => "few_shot"]
}

/// Settings of `probe: { kind: few_shot }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FewShot {
    /// Training images of every class.
    #[schemars(range(min = 1, max = 100_000), extend("x-aliases" = ["n", "per_class", "n_per_class"]))]
    shots: usize,
    /// Independent draws.
    #[schemars(range(min = 2, max = 1000))]
    draws: usize,
    /// Weight decay (L2, not on the bias) of the mean negative log likelihood.
    #[schemars(range(min = 1e-8, max = 10.0))]
    weight_decay: f64,
    /// Last blocks of the encoder that are looked at, their outputs side by side.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "is_one")]
    layers: usize,
    /// What is made of the tokens of a block.
    #[schemars(extend("x-aliases" = ["pool", "global_pool"]))]
    #[serde(skip_serializing_if = "PooledBy::is_default")]
    pooling: PooledBy,
}

impl Default for FewShot {
    fn default() -> Self {
        FewShot { shots: 5, draws: 5, weight_decay: 0.01, layers: 1, pooling: PooledBy::Mean }
    }
}

impl Probe for FewShot {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }
    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        let scarce = || {
            let (class, images) = counts.train.iter().enumerate().find(|(_, n)| **n < self.shots)?;
            let message = format!("is {}; class {class} has {images} training image(s)", self.shots);
            let least = counts.train.iter().min()?;
            Some(Problem::new("shots", message).help(format!("at most {least} here")))
        };
        check_counts(counts).or_else(scarce).into_iter().collect()
    }
    fn memory(&self, sizes: &ProbeSizes) -> Option<u64> {
        let train = self.shots * sizes.classes;
        let linear = self.classifier().ok()?.memory(&ProbeSizes { train, ..*sizes })?;
        Some(linear + 4 * (train * sizes.dim) as u64)
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        use Direction::{Higher, Neither};
        let decl = |name, meaning, direction| MetricDecl::new(name, "%", meaning, direction);
        vec![
            decl("top1", "accuracy on test, mean over the draws", Higher),
            decl("top1_std", "standard deviation (n - 1) of that accuracy over the draws", Neither),
            decl(
                "balanced_accuracy",
                "mean over the classes of test of the accuracy on each, mean over the draws",
                Higher,
            ),
            decl(
                "majority_rate",
                "accuracy on test of always answering the most frequent class of train",
                Neither,
            ),
        ]
    }
    fn needs(&self) -> Needs {
        self.pooling.of(self.layers)
    }
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        check_labelled(data)?;
        let classifier = self.classifier()?;
        let silent = ProbeContext { progress: &|_, _| (), ..*context };
        let (mut top1, mut balanced) = (Vec::new(), Vec::new());
        for draw in 0..self.draws as u64 {
            let (values, labels) = self.draw(data, context.seed, draw);
            let train = Features { values: &values, labels: &labels, ..data.train };
            let found = classifier.measure(&ProbeData { train, ..*data }, &silent)?;
            top1.push(found.values[0]);
            balanced.push(found.values[1]);
            (context.progress)(draw + 1, self.draws as u64);
        }
        let centre = mean(&top1);
        let spread = top1.iter().map(|v| (v - centre) * (v - centre)).sum::<f64>();
        let std = (spread / (top1.len() as f64 - 1.0).max(1.0)).sqrt();
        Ok(vec![centre, std, mean(&balanced), majority_rate(data)].into())
    }
}

impl FewShot {
    /// The probe that is fitted to a draw: its first two metrics are accuracy and balanced accuracy.
    fn classifier(&self) -> Result<Box<dyn Probe>, ProbeError> {
        let missing = || ProbeError("there is no probe `linear`".into());
        let entry = catalogue::find::<dyn Probe>("linear").ok_or_else(missing)?;
        let settings = serde_json::json!({ "weight_decays": [self.weight_decay], "layers": self.layers });
        (entry.build)(&settings).map(|(_, probe)| probe).map_err(|e| ProbeError(format!("{e:?}")))
    }

    /// Features and labels of the images of a draw, in the order of train.
    fn draw(&self, data: &ProbeData, seed: u64, draw: u64) -> (Vec<f32>, Vec<u32>) {
        let mut members = vec![Vec::new(); data.classes];
        data.train.labels.iter().enumerate().for_each(|(i, &y)| members[y as usize].push(i));
        let mut chosen = Vec::new();
        for (class, mut images) in members.into_iter().enumerate() {
            Stream::new(seed, "probe/few_shot", draw, class as u64).shuffle(&mut images);
            chosen.extend(images.into_iter().take(self.shots));
        }
        chosen.sort_unstable();
        let values = chosen.iter().flat_map(|&i| data.train.row(i)).copied().collect();
        (values, chosen.iter().map(|&i| data.train.labels[i]).collect())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::shared::features::tests::{assert_same_in_any_pool, blobs, error_of};
    use super::*;

    #[test]
    fn every_draw_is_balanced_and_another_one() {
        let (values, labels) = blobs(90, 3, 4, 1.0, 0);
        let split = Features { dim: 3, tokens: 1, values: &values, labels: &labels };
        let data = ProbeData::new(split, split, 4);
        let probe = FewShot { shots: 6, ..FewShot::default() };
        let draws: Vec<_> = (0..3).map(|draw| probe.draw(&data, 1, draw)).collect();
        for (values, labels) in &draws {
            assert_eq!(
                (0..4).map(|c| labels.iter().filter(|l| **l == c).count()).collect::<Vec<_>>(),
                [6; 4]
            );
            assert_eq!(values.len(), 24 * 3);
        }
        assert!(draws[0].0 != draws[1].0 && draws[1].0 != draws[2].0);
        assert_eq!(probe.draw(&data, 1, 2), draws[2]);
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_linear_probe_on_each_draw() {
        let (train, test) = (blobs(200, 10, 4, 2.0, 0), blobs(100, 10, 4, 2.0, 1));
        let split =
            |(values, labels): &'static (Vec<f32>, Vec<u32>)| Features { dim: 10, tokens: 1, values, labels };
        let kept = |set| -> &'static (Vec<f32>, Vec<u32>) { Box::leak(Box::new(set)) };
        let data = ProbeData::new(split(kept(train)), split(kept(test)), 4);
        let probe = FewShot { shots: 4, draws: 3, ..FewShot::default() };
        let context = ProbeContext::silent(2);
        let each: Vec<f64> = (0..3)
            .map(|draw| {
                let (values, labels) = probe.draw(&data, 2, draw);
                let train = Features { values: &values, labels: &labels, ..data.train };
                probe.classifier().unwrap().measure(&ProbeData { train, ..data }, &context).unwrap().values[0]
            })
            .collect();
        let found = probe.measure(&data, &context).unwrap().values;
        let middle = (each[0] + each[1] + each[2]) / 3.0;
        let variance = each.iter().map(|v| (v - middle).powi(2)).sum::<f64>() / 2.0;
        assert!(
            (found[0] - middle).abs() < 1e-12 && (found[1] - variance.sqrt()).abs() < 1e-12,
            "{found:?} {each:?}"
        );
    }

    #[test]
    fn more_shots_are_better_in_any_pool() {
        let few = assert_same_in_any_pool(&FewShot { shots: 1, ..FewShot::default() }, 400, 20);
        let many = assert_same_in_any_pool(&FewShot { shots: 50, ..FewShot::default() }, 400, 20);
        assert!(few[0] + 10.0 < many[0] && many[1] < few[1], "{few:?} {many:?}");
    }

    #[test]
    fn a_class_with_too_few_images_is_refused_beforehand() {
        let problems = FewShot::default().check_data(&ProbeCounts { train: &[9, 4], test: 3 });
        assert_eq!(problems[0].message, "is 5; class 1 has 4 training image(s)");
        assert!(error_of(&FewShot::default(), &[1.0; 4], &[1, 1], 2).contains("1 class"));
    }
}
