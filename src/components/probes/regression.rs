//! Probe `regression`: how well a number can be read from features.

use ijepa_registry::prelude::*;

use super::shared::features::{PooledBy, check_split, check_two_tested, is_one};
use super::shared::ridge::{Moments, r_squared};

component! {
    /// Ridge regression of continuous factors, such as position and size of an object, on frozen features.
    ///
    /// `labels` names the numbers: quantities of the data set (`shapes` has `x`, `y` and `radius`), or a label whose values
    /// are all numbers (its `count`). Features are standardised by train; every weight decay is fitted to train without a
    /// held-out part, in closed form, and the one with the least squared error there is fitted again to all of train. R^2
    /// is `1 - sum (y - p)^2 / sum (y - mean y)^2` over test: 1 is perfect, 0 as good as the mean, below 0 worse. This is
    /// the low-level side of a representation, which classes hide (I-JEPA judges it by counting objects and by their
    /// depth on Clevr, arXiv 2301.08243, table 4).
    probe "regression" => Regression, example = "{ weight_decays: [0.0001, 0.01, 1.0] }",
    aliases = ["ridge" => "regression", "linear_regression" => "regression"]
}

/// Settings of `probe: { kind: regression }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Regression {
    /// Weight decays that are tried, in units of the variance of a feature.
    #[schemars(length(min = 1, max = 64), inner(range(min = 1e-8, max = 1e4)))]
    weight_decays: Vec<f64>,
    /// Part of train that the decay is chosen on (fraction).
    #[schemars(range(min = 0.001, max = 0.9))]
    held_out: f64,
    /// Last blocks of the encoder that are looked at, their outputs side by side.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "is_one")]
    layers: usize,
    /// What is made of the tokens of a block.
    #[schemars(extend("x-aliases" = ["pool", "global_pool"]))]
    #[serde(skip_serializing_if = "PooledBy::is_default")]
    pooling: PooledBy,
}

impl Default for Regression {
    fn default() -> Self {
        Regression {
            weight_decays: vec![1e-4, 1e-3, 1e-2, 0.1, 1.0],
            held_out: 0.1,
            layers: 1,
            pooling: PooledBy::Mean,
        }
    }
}

impl Probe for Regression {
    fn check(&self) -> Vec<Problem> {
        let fine = |decay: &f64| *decay > 0.0 && decay.is_finite();
        let wrong = self.weight_decays.is_empty() || !self.weight_decays.iter().all(fine);
        let problem = Problem::new("weight_decays", "must be a list of values above 0");
        wrong.then_some(problem).into_iter().collect()
    }
    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        let images = counts.train_images();
        let few =
            || Problem::new("", format!("train has {images} image(s); a fit and a choice need four or more"));
        (images < 4).then(few).into_iter().chain(check_two_tested(counts)).collect()
    }
    fn memory(&self, sizes: &ProbeSizes) -> Option<u64> {
        Some((8 * 4 * sizes.dim * sizes.dim + 4 * sizes.train * sizes.dim) as u64)
    }
    fn uses_quantities(&self) -> bool {
        true
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        use Direction::{Higher, Lower, Neither};
        let decl = MetricDecl::new;
        vec![
            decl("r2", "1", "share of the variance of the number on test that is predicted", Higher),
            decl("mae", "1", "mean absolute error on test, in the unit of the number", Lower),
            decl("weight_decay", "1", "weight decay chosen on the held-out part", Neither),
            decl(
                "weight_decay_at_edge",
                "1",
                "-1: the smallest value tried, 1: the largest, 0: neither",
                Neither,
            ),
        ]
    }
    fn needs(&self) -> Needs {
        self.pooling.of(self.layers)
    }
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        check_split(&data.train, "train")?;
        check_split(&data.test, "test")?;
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let (train, test) = (wide(data.quantities.train), wide(data.quantities.test));
        if train.len() != data.train.count() || test.len() != data.test.count() {
            return Err(ProbeError("there is not one number for every image".into()));
        }
        if train.len() < 4 {
            return Err(ProbeError(format!("train has {} images; four or more are needed", train.len())));
        }
        let decay = self.choose(data, &train, context);
        let moments = Moments::new(data.train.values, data.train.dim, &train);
        let predicted = moments.fit(decay).predict(data.test.values);
        (context.progress)(2, 2);
        let error = test.iter().zip(&predicted).map(|(y, p)| (y - p).abs()).sum::<f64>() / test.len() as f64;
        Ok(vec![r_squared(&test, &predicted, 1, 0), error, decay, self.edge(decay)].into())
    }
}

impl Regression {
    /// The decay with the least squared error on the held-out images (of equals the larger).
    fn choose(&self, data: &ProbeData, targets: &[f64], context: &ProbeContext) -> f64 {
        if let [only] = self.weight_decays[..] {
            return only;
        }
        let count = data.train.count();
        let mut order: Vec<usize> = (0..count).collect();
        Stream::new(context.seed, "probe/regression/held_out", 0, 0).shuffle(&mut order);
        let held = ((count as f64 * self.held_out).round() as usize).clamp(1, count - 2);
        let pick = |images: &[usize]| {
            let mut images = images.to_vec();
            images.sort_unstable();
            let values: Vec<f32> = images.iter().flat_map(|&i| data.train.row(i)).copied().collect();
            (values, images.into_iter().map(|i| targets[i]).collect::<Vec<f64>>())
        };
        let ((held, expected), (rest, fitted)) = (pick(&order[..held]), pick(&order[held..]));
        let moments = Moments::new(&rest, data.train.dim, &fitted);
        let error = |decay: f64| {
            let predicted = moments.fit(decay).predict(&held);
            predicted.iter().zip(&expected).map(|(p, y)| (p - y) * (p - y)).sum::<f64>()
        };
        let tried = self.weight_decays.iter().map(|&decay| (decay, error(decay)));
        let best = tried.fold((f64::NAN, f64::INFINITY), |best: (f64, f64), (decay, error)| {
            let better = error < best.1 || error == best.1 && decay > best.0;
            if better { (decay, error) } else { best }
        });
        (context.progress)(1, 2);
        best.0
    }

    fn edge(&self, decay: f64) -> f64 {
        let of =
            |fold: fn(f64, f64) -> f64| self.weight_decays.iter().copied().fold(self.weight_decays[0], fold);
        let (least, most) = (of(f64::min), of(f64::max));
        if least == most {
            0.0
        } else {
            f64::from(u8::from(decay == most)) - f64::from(u8::from(decay == least))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features of noise and a number that is a linear map of them, plus `noise`.
    fn measured(probe: &Regression, noise: f64, train: usize) -> Vec<f64> {
        let of = |count: usize, part: u64| {
            let mut stream = Stream::new(5, "test/numbers", part, 0);
            let x: Vec<f32> = (0..count * 5).map(|_| stream.normal() as f32).collect();
            let y: Vec<f32> = x
                .chunks_exact(5)
                .map(|x| 7.0 + 2.0 * x[0] - x[3] + (noise * stream.normal()) as f32)
                .collect();
            (x, y, vec![0; count])
        };
        let (train, test) = (of(train, 0), of(500, 1));
        let features = |of: &'static (Vec<f32>, Vec<f32>, Vec<u32>)| Features {
            dim: 5,
            tokens: 1,
            values: &of.0,
            labels: &of.2,
        };
        let kept = |of| -> &'static (Vec<f32>, Vec<f32>, Vec<u32>) { Box::leak(Box::new(of)) };
        let (train, test) = (kept(train), kept(test));
        let quantities = Quantities { train: &train.1, test: &test.1 };
        let data = ProbeData { quantities, ..ProbeData::new(features(train), features(test), 1) };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| probe.measure(&data, &ProbeContext::silent(1))).unwrap().values
        };
        let found = run(1);
        assert_eq!(found, run(3), "results depend on the number of threads");
        found
    }

    #[test]
    fn r2_is_the_share_of_the_variance_that_is_no_noise() {
        let exact = measured(&Regression::default(), 0.0, 400);
        assert!((exact[0] - 1.0).abs() < 1e-6 && exact[1] < 1e-2 && exact[3] == -1.0, "{exact:?}");
        // 5 of 5 + 5 is signal; the mean absolute error of a normal is sqrt(2 / pi) of its deviation.
        let noisy = measured(&Regression::default(), 5f64.sqrt(), 4000);
        assert!((noisy[0] - 0.5).abs() < 0.05, "{noisy:?}");
        assert!((noisy[1] - (10.0 / std::f64::consts::PI).sqrt()).abs() < 0.1, "{noisy:?}");
    }

    #[test]
    fn a_single_decay_is_taken_as_it_is() {
        let one = Regression { weight_decays: vec![0.5], ..Regression::default() };
        let found = measured(&one, 0.0, 400);
        assert!(found[2] == 0.5 && found[3] == 0.0 && found[0] < 0.95, "{found:?}");
        assert_eq!(Regression { weight_decays: vec![0.0], ..one }.check()[0].path, "weight_decays");
    }
}
