//! All edits of one image in the one form that a device carries out in a single pass.

use crate::{
    edit::{ChannelMap, Crop, Edit},
    image::ImageShape,
};

/// What happens to the values of an image before or after its crop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stage {
    /// Whether columns are mirrored.
    pub flip: bool,
    /// How values are mapped.
    pub channels: Option<ChannelMap>,
}

/// An image of a split and how it becomes a view: edits, in order, that are flips and at most one channel
/// map, then at most one crop, then flips and at most one channel map. Mirroring commutes with maps of
/// channels, to the bit, so that of several flips their parity is left.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Which image of its split.
    pub image: u32,
    /// On the image as it is stored.
    pub before: Stage,
    /// The part that is enlarged to the size of the image.
    pub crop: Option<Crop>,
    /// On that part.
    pub after: Stage,
}

impl Recipe {
    /// Of the edits of an image of this shape, if they have the form and fit the shape.
    pub fn new(image: u32, shape: ImageShape, edits: impl IntoIterator<Item = Edit>) -> Option<Self> {
        let mut recipe = Recipe { image, before: Stage::default(), crop: None, after: Stage::default() };
        edits.into_iter().all(|edit| recipe.add(edit, shape)).then_some(recipe)
    }

    /// Whether the form has room for one more edit, which it then holds. That does not depend on where a
    /// crop lies: one of the whole image takes the place of any other.
    fn add(&mut self, edit: Edit, shape: ImageShape) -> bool {
        let stage = if self.crop.is_some() { &mut self.after } else { &mut self.before };
        match edit {
            Edit::Flip => stage.flip = !stage.flip,
            Edit::Channels(map) => {
                let fits = map.mean.len() == shape.channels && map.scale.len() == shape.channels;
                return fits && stage.channels.replace(map).is_none();
            }
            Edit::Crop(crop) => return crop.fits(shape) && self.crop.replace(crop).is_none(),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{image::Image, rng::Stream};

    const SHAPE: ImageShape = ImageShape { channels: 2, height: 5, width: 4 };

    fn map(stream: &mut Stream) -> Edit {
        let mut numbers = || (0..2).map(|_| stream.uniform_in(-1.0, 2.0) as f32).collect();
        Edit::Channels(ChannelMap { mean: numbers(), scale: numbers() })
    }

    fn crop(stream: &mut Stream) -> Edit {
        let (height, width) = (1 + stream.below(5), 1 + stream.below(4));
        let (top, left) = (stream.below(6 - height), stream.below(5 - width));
        Edit::Crop(Crop { top, left, height, width })
    }

    /// The edits of a recipe, one after another.
    fn edits(recipe: &Recipe) -> Vec<Edit> {
        let of = |stage: &Stage| {
            let map = stage.channels.clone().map(Edit::Channels);
            map.into_iter().chain(stage.flip.then_some(Edit::Flip)).collect::<Vec<_>>()
        };
        [of(&recipe.before), recipe.crop.map(Edit::Crop).into_iter().collect(), of(&recipe.after)].concat()
    }

    fn image(edits: &[Edit]) -> Vec<u32> {
        let data = (0..SHAPE.len()).map(|v| (v * 37 % 256) as f32 / 255.0).collect();
        let mut image = Image { shape: SHAPE, data };
        edits.iter().for_each(|edit| edit.apply(&mut image));
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
                _ => Edit::Flip,
            };
            let all: Vec<Edit> = (0..stream.below(7)).map(|_| one(&mut stream)).collect();
            let is_map = |e: &Edit| matches!(e, Edit::Channels(_));
            let mut parts = all.split(|e| matches!(e, Edit::Crop(_)));
            let form =
                parts.clone().count() <= 2 && parts.all(|p| p.iter().filter(|e| is_map(e)).count() <= 1);
            let recipe = Recipe::new(7, SHAPE, all.clone());
            assert_eq!(recipe.is_some(), form, "{all:?}");
            match recipe {
                Some(recipe) => {
                    taken += 1;
                    assert_eq!(image(&edits(&recipe)), image(&all), "{all:?}");
                }
                None => refused += 1,
            }
        }
        assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
    }

    #[test]
    fn edits_that_do_not_fit_the_shape_are_refused() {
        let beyond = Edit::Crop(Crop { top: 1, left: 0, height: 5, width: 4 });
        let short = Edit::Channels(ChannelMap { mean: vec![0.0], scale: vec![1.0, 1.0] });
        for edit in [beyond, short] {
            assert_eq!(Recipe::new(0, SHAPE, [edit]), None);
        }
    }
}
