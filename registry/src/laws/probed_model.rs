//! A model of eight weights for probes that ask for one: it multiplies the values of an image.

use crate::prelude::*;

/// Values of an image.
pub(super) const DIM: usize = 8;
/// Clusters of images.
pub(super) const CLASSES: usize = 2;

/// Values of some images, and their classes.
pub(super) type Labelled = (Vec<f32>, Vec<u32>);

/// Features are `w x` of images `x` of [`DIM`] values.
pub(super) struct Toy {
    train: Vec<f32>,
    test: Vec<f32>,
}

/// Weights of an encoder.
fn gains(of: Whose) -> Vec<f32> {
    let far = match of {
        Whose::Probed => 0.5,
        Whose::Context => 0.6,
        Whose::Initial => 0.0,
    };
    (0..DIM).map(|j| 1.0 + far * (j % 3) as f32).collect()
}

fn encoded(weights: &[f32], images: &[f32]) -> Vec<f32> {
    images.chunks_exact(DIM).flat_map(|x| x.iter().zip(weights).map(|(x, w)| x * w)).collect()
}

fn picked(all: &[f32], images: &[u32]) -> Vec<f32> {
    images.iter().flat_map(|&i| &all[i as usize * DIM..][..DIM]).copied().collect()
}

impl Toy {
    /// Of images with these labels.
    pub fn new(train: &[u32], test: &[u32]) -> Self {
        let of = |purpose, labels: &[u32]| points(purpose, labels.len(), DIM).0;
        Toy { train: of("laws/train", train), test: of("laws/test", test) }
    }
}

impl ProbedModel for Toy {
    fn dim(&self) -> usize {
        DIM
    }
    fn weights(&self, of: Whose) -> Result<Vec<(String, Vec<f32>)>, ModelError> {
        Ok(vec![("gains".into(), gains(of))])
    }
    fn features(&self, of: Whose) -> Result<Vec<f32>, ModelError> {
        Ok(encoded(&gains(of), &self.test))
    }
    fn masked_features(&self, images: usize, views: usize) -> Result<Vec<f32>, ModelError> {
        let features = encoded(&gains(Whose::Probed), &self.test);
        let mut stream = Stream::new(0, "laws/views", 0, 0);
        let rows = features.chunks_exact(DIM).take(images).flat_map(|row| vec![row; views]);
        Ok(rows.flatten().map(|v| v + 0.3 * stream.normal() as f32).collect())
    }
    fn copy(&self, _: &dyn OptimizerSettings) -> Result<Box<dyn EncoderCopy + '_>, ModelError> {
        Ok(Box::new(ToyCopy { of: self, gains: gains(Whose::Probed) }))
    }
}

/// Trained by plain gradient descent.
struct ToyCopy<'a> {
    of: &'a Toy,
    gains: Vec<f32>,
}

impl EncoderCopy for ToyCopy<'_> {
    fn step(
        &mut self,
        batch: &TuningBatch,
        gradient: &mut FeatureGradient,
        rates: Rates,
    ) -> Result<(), ModelError> {
        let x = picked(&self.of.train, batch.images);
        let slopes = gradient(&encoded(&self.gains, &x))?;
        for (x, slope) in x.chunks_exact(DIM).zip(slopes.chunks_exact(DIM)) {
            for ((w, x), s) in self.gains.iter_mut().zip(x).zip(slope) {
                *w -= rates.learning_rate as f32 * x * s;
            }
        }
        Ok(())
    }
    fn features(&self, images: &[u32]) -> Result<Vec<f32>, ModelError> {
        Ok(encoded(&self.gains, &picked(&self.of.test, images)))
    }
}

/// Unit Gaussians, three away from the origin along the diagonal on either side; `width` values of every image.
pub(super) fn points(purpose: &str, count: usize, width: usize) -> Labelled {
    let mut stream = Stream::new(0, purpose, 0, 0);
    let labels: Vec<u32> = (0..count).map(|i| (i % CLASSES) as u32).collect();
    let centre = |label: u32| if label == 0 { -3.0 } else { 3.0 };
    let values =
        labels.iter().flat_map(|&l| vec![centre(l); width]).map(|c| (c + stream.normal()) as f32).collect();
    (values, labels)
}
