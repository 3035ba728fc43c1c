//! All edits of one image in the one form that a device carries out in a single pass.

use crate::{
    device::image_op::{ChannelMap, Crop, ImageOp},
    image::ImageShape,
};

/// What happens to the values of an image before or after its crop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PointOps {
    /// Whether columns are mirrored.
    pub flip: bool,
    /// How values are mapped.
    pub channels: Option<ChannelMap>,
}

/// An image of a split and how it becomes a view: edits, in order, that are flips and at most one channel
/// map, then at most one crop, then flips and at most one channel map. Mirroring commutes with maps of
/// channels, to the bit, so that of several flips their parity is left.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformProgram {
    /// Which image of its split.
    pub image: u32,
    /// On the image as it is stored.
    pub before: PointOps,
    /// The part that is enlarged to the size of the image.
    pub crop: Option<Crop>,
    /// On that part.
    pub after: PointOps,
}

impl TransformProgram {
    /// Of the edits of an image of this shape, if they have the form and fit the shape.
    pub fn new(image: u32, shape: ImageShape, image_ops: impl IntoIterator<Item = ImageOp>) -> Option<Self> {
        let mut program =
            TransformProgram { image, before: PointOps::default(), crop: None, after: PointOps::default() };
        image_ops.into_iter().all(|op| program.add(op, shape)).then_some(program)
    }

    /// Whether the form has room for one more edit, which it then holds. That does not depend on where a
    /// crop lies: one of the whole image takes the place of any other.
    fn add(&mut self, op: ImageOp, shape: ImageShape) -> bool {
        let ops = if self.crop.is_some() { &mut self.after } else { &mut self.before };
        match op {
            ImageOp::Flip => ops.flip = !ops.flip,
            ImageOp::Channels(map) => {
                let fits = map.mean.len() == shape.channels && map.scale.len() == shape.channels;
                return fits && ops.channels.replace(map).is_none();
            }
            ImageOp::Crop(crop) => return crop.fits(shape) && self.crop.replace(crop).is_none(),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{image::Image, rng::Stream};

    const SHAPE: ImageShape = ImageShape { channels: 2, height: 5, width: 4 };

    fn map(stream: &mut Stream) -> ImageOp {
        let mut numbers = || (0..2).map(|_| stream.uniform_in(-1.0, 2.0) as f32).collect();
        ImageOp::Channels(ChannelMap { mean: numbers(), scale: numbers() })
    }

    fn crop(stream: &mut Stream) -> ImageOp {
        let (height, width) = (1 + stream.below(5), 1 + stream.below(4));
        let (top, left) = (stream.below(6 - height), stream.below(5 - width));
        ImageOp::Crop(Crop { top, left, height, width })
    }

    /// The operations of a program, one after another.
    fn image_ops(program: &TransformProgram) -> Vec<ImageOp> {
        let of = |ops: &PointOps| {
            let map = ops.channels.clone().map(ImageOp::Channels);
            map.into_iter().chain(ops.flip.then_some(ImageOp::Flip)).collect::<Vec<_>>()
        };
        [of(&program.before), program.crop.map(ImageOp::Crop).into_iter().collect(), of(&program.after)]
            .concat()
    }

    fn image(image_ops: &[ImageOp]) -> Vec<u32> {
        let data = (0..SHAPE.len()).map(|v| (v * 37 % 256) as f32 / 255.0).collect();
        let mut image = Image { shape: SHAPE, data };
        image_ops.iter().for_each(|op| op.apply(&mut image));
        image.data.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn edits_that_have_the_form_keep_their_meaning_and_others_are_refused() {
        let (mut taken, mut refused) = (0, 0);
        for key in 0..4000 {
            let mut stream = Stream::new(key, "test/recipe", 0, 0);
            let one = |stream: &mut Stream| match stream.below(4) {
                0 => map(stream),
                1 => crop(stream),
                _ => ImageOp::Flip,
            };
            let all: Vec<ImageOp> = (0..stream.below(7)).map(|_| one(&mut stream)).collect();
            let is_map = |e: &ImageOp| matches!(e, ImageOp::Channels(_));
            let mut parts = all.split(|e| matches!(e, ImageOp::Crop(_)));
            let form =
                parts.clone().count() <= 2 && parts.all(|p| p.iter().filter(|e| is_map(e)).count() <= 1);
            let program = TransformProgram::new(7, SHAPE, all.clone());
            assert_eq!(program.is_some(), form, "{all:?}");
            match program {
                Some(program) => {
                    taken += 1;
                    assert_eq!(image(&image_ops(&program)), image(&all), "{all:?}");
                }
                None => refused += 1,
            }
        }
        assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
    }

    #[test]
    fn edits_that_do_not_fit_the_shape_are_refused() {
        let beyond = ImageOp::Crop(Crop { top: 1, left: 0, height: 5, width: 4 });
        let short = ImageOp::Channels(ChannelMap { mean: vec![0.0], scale: vec![1.0, 1.0] });
        for op in [beyond, short] {
            assert_eq!(TransformProgram::new(0, SHAPE, [op]), None);
        }
    }
}
