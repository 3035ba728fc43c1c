use crate::{
    device::image_op::AsImageOps,
    image::{Image, ImageShape},
    problem::Problem,
    rng::Stream,
};

/// One step of the image pipeline.
///
/// Promises: keeps the shape and finite values; a pure function of the image and the stream.
pub trait Augmentation: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings for images of this shape.
    fn check(&self, shape: ImageShape) -> Vec<Problem>;
    /// Changes the image in place. The stream belongs to this step, image and epoch alone.
    fn apply(&self, image: &mut Image, stream: &mut Stream);
    /// Whether it also applies when features are extracted (normalisation does, random steps do not).
    fn at_evaluation(&self) -> bool {
        false
    }
    /// Whether it works on values 0 to 1 alone, as colours are: it is refused behind a step that leaves them.
    fn needs_unit_range(&self) -> bool {
        false
    }
    /// Whether its values leave 0 to 1.
    fn leaves_unit_range(&self) -> bool {
        false
    }
    /// For a GPU: the same as crops, flips and maps of channels, to the same bits.
    #[doc(hidden)]
    fn as_image_ops(&self) -> Option<&dyn AsImageOps> {
        None
    }
}
