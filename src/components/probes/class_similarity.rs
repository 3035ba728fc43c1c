//! Probe `class_similarity`: how far classes lie apart, as numbers and as a picture.

use ijepa_registry::prelude::*;

use super::shared::features::{check_counts, check_labelled};

component! {
    /// Cosines between the mean features of the classes, and between images and the means.
    ///
    /// Features of train are centred by their mean over all images; `c_a` is the mean of class `a`, scaled to length
    /// 1. Reported on test: the mean cosine of an image with the mean of its own class, with those of the other
    /// classes, and the difference of the two (a centroid form of the silhouette, Rousseeuw 1987). Leaves
    /// the table of `c_a . c_b` as a picture, classes in the order of the data set.
    probe "class_similarity" => ClassSimilarity, example = "{}",
    aliases = ["silhouette" => "class_similarity", "confusion" => "class_similarity"]
}

/// Settings of `probe: { kind: class_similarity }`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ClassSimilarity {}

/// More classes than this make no picture that anybody could read.
const MOST_CLASSES: usize = 200;

impl Probe for ClassSimilarity {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }
    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        check_counts(counts).into_iter().collect()
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        use Direction::{Higher, Neither};
        let decl = |name, meaning, direction| MetricDecl::new(name, "1", meaning, direction);
        vec![
            decl("own", "mean cosine of a test image with the mean of its class", Neither),
            decl("other", "mean cosine of a test image with the means of the other classes", Neither),
            decl("margin", "the first less the second: how far classes lie apart", Higher),
        ]
    }
    fn measure(&self, data: &ProbeData, _: &ProbeContext) -> Result<Findings, ProbeError> {
        check_labelled(data)?;
        let mean = mean(data.train.values, data.train.dim);
        let centres = centres(data, &mean);
        let (mut own, mut other) = (0.0, 0.0);
        for (i, &label) in data.test.labels.iter().enumerate() {
            let image = unit(data.test.row(i).iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect());
            let cosines: Vec<f64> = centres.iter().map(|centre| dot(centre, &image)).collect();
            let mine = cosines[label as usize];
            own += mine;
            other += (cosines.iter().sum::<f64>() - mine) / (data.classes - 1) as f64;
        }
        let images = data.test.count() as f64;
        let values = vec![own / images, other / images, (own - other) / images];
        let picture =
            (data.classes <= MOST_CLASSES).then(|| ("svg".to_owned(), picture(&centres).into_bytes()));
        Ok(Findings { files: picture.into_iter().collect(), ..values.into() })
    }
}

fn mean(values: &[f32], dim: usize) -> Vec<f64> {
    let mut sum = vec![0.0; dim];
    for row in values.chunks_exact(dim) {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
    }
    let count = (values.len() / dim) as f64;
    sum.into_iter().map(|s| s / count).collect()
}

/// Means of the classes around the mean of all, of length 1.
fn centres(data: &ProbeData, mean: &[f64]) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; data.train.dim]; data.classes];
    for (i, &label) in data.train.labels.iter().enumerate() {
        let row = data.train.row(i).iter().zip(mean);
        sums[label as usize].iter_mut().zip(row).for_each(|(s, (v, m))| *s += f64::from(*v) - m);
    }
    sums.into_iter().map(unit).collect()
}

/// A vector of zeros stays.
fn unit(mut vector: Vec<f64>) -> Vec<f64> {
    let length = dot(&vector, &vector).sqrt().max(f64::MIN_POSITIVE);
    vector.iter_mut().for_each(|v| *v /= length);
    vector
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Cosines between classes as a grid of squares: red where positive, blue where negative, white at 0.
fn picture(centres: &[Vec<f64>]) -> String {
    const SIDE: usize = 16;
    let size = SIDE * centres.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" width=\"{size}\" height=\"{size}\" \
         role=\"img\" aria-label=\"Cosines between the mean features of {} classes\">\n",
        centres.len()
    );
    for (row, a) in centres.iter().enumerate() {
        for (column, b) in centres.iter().enumerate() {
            let cosine = dot(a, b).clamp(-1.0, 1.0);
            let pale = (255.0 * (1.0 - cosine.abs())).round() as u8;
            let [red, green, blue] = if cosine >= 0.0 { [255, pale, pale] } else { [pale, pale, 255] };
            let (x, y) = (SIDE * column, SIDE * row);
            svg += &format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"rgb({red},{green},{blue})\">\
                 <title>classes {row} and {column}: {cosine:.3}</title></rect>\n"
            );
        }
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposite_classes_are_two_apart_and_the_picture_shows_it() {
        let (values, labels) = ([1.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0], [0, 0, 1, 1]);
        let split = Features { dim: 2, tokens: 1, values: &values, labels: &labels };
        let data = ProbeData::new(split, split, 2);
        let context = ProbeContext::silent(0);
        let found = ClassSimilarity {}.measure(&data, &context).unwrap();
        assert_eq!(found.values, [1.0, -1.0, 2.0]);
        let svg = String::from_utf8(found.files[0].1.clone()).unwrap();
        assert!(svg.contains("<title>classes 0 and 1: -1.000</title>") && svg.matches("<rect").count() == 4);
    }
}
