//! Probe `ema_lag`: how far the weights of an encoder are from others.

use ijepa_registry::prelude::*;

component! {
    /// How far the target encoder lags behind the context encoder, and how far it has come; no labels, no features.
    ///
    /// Distances of all trained parameters of the encoder that is probed: `|t - c| / |c|` from those `c` of the context
    /// encoder, and `|t - i| / |i|` from those `i` that training began with. On `target` the first is the lag of the moving
    /// average (with momentum `m` it holds about the last `1 / (1 - m)` steps of training): 0 means that the targets are the
    /// student's own tokens, and a lag that keeps growing that the teacher is left behind. On `context` it is 0. With
    /// `every: 1` it is a curve over training, at the cost of no pass over the images.
    probe "ema_lag" => EmaLag, example = "{}",
    aliases = ["lag" => "ema_lag", "ema" => "ema_lag"]
}

/// Settings of `probe: { kind: ema_lag }`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct EmaLag {}

impl Probe for EmaLag {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }
    fn uses_labels(&self) -> bool {
        false
    }
    fn uses_model(&self) -> bool {
        true
    }
    fn needs(&self) -> Needs {
        Needs::NONE
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        let decl = |name, meaning| MetricDecl::new(name, "1", meaning, Direction::Neither);
        vec![
            decl(
                "lag",
                "distance of the weights from those of the context encoder, as a share of their length",
            ),
            decl("from_start", "distance of the weights from the initial ones, as a share of their length"),
        ]
    }
    fn measure(&self, _: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        let model = context.expect_model()?;
        let own = model.weights(Whose::Probed)?;
        let distances = [Whose::Context, Whose::Initial].map(|of| distance(&own, &model.weights(of)?));
        Ok(distances.into_iter().collect::<Result<Vec<f64>, _>>()?.into())
    }
}

type Named = (String, Vec<f32>);

/// `|a - b| / |b|`, added up parameter by parameter; 0 where both are 0.
fn distance(a: &[Named], b: &[Named]) -> Result<f64, ProbeError> {
    let same = |(a, b): (&Named, &Named)| a.0 == b.0 && a.1.len() == b.1.len();
    if a.len() != b.len() || !a.iter().zip(b).all(same) {
        return Err(ProbeError("the encoders have other parameters, so that there is no distance".into()));
    }
    let (mut far, mut length) = (0.0, 0.0);
    for ((_, x), (_, y)) in a.iter().zip(b) {
        far += x.iter().zip(y).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum::<f64>();
        length += y.iter().map(|y| f64::from(*y).powi(2)).sum::<f64>();
    }
    Ok(if far == 0.0 { 0.0 } else { (far / length.max(f64::MIN_POSITIVE)).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_that_of_all_weights_together() {
        let named = |values: [&[f32]; 2]| values.map(|v| ("w".to_owned(), v.to_vec()));
        let (a, b) = (named([&[3.0, 0.0], &[4.0]]), named([&[0.0, 0.0], &[8.0]]));
        // sqrt(9 + 16) / sqrt(64)
        assert_eq!(distance(&a, &b).unwrap(), 5.0 / 8.0);
        assert_eq!(distance(&a, &a).unwrap(), 0.0);
        assert!(distance(&a, &b[..1]).is_err());
    }
}
