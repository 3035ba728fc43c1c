//! Shifts: a border added, the size cut out of it again.

use ijepa_registry::prelude::*;

/// Settings of `pad_crop`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PadCrop {
    /// Pixels added on every side; an image is shifted by at most as many.
    #[schemars(range(min = 0, max = 10_000))]
    padding: usize,
    /// What the added pixels hold.
    fill: Fill,
}

/// What the added pixels hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Fill {
    /// 0: black, or the mean of the data set behind `normalize`.
    #[default]
    Zero,
    /// The image mirrored at its outermost pixels, which are not repeated.
    Reflect,
    /// The outermost pixel.
    Edge,
}

impl Default for PadCrop {
    fn default() -> Self {
        PadCrop { padding: 4, fill: Fill::Zero }
    }
}

component! {
    /// Adds a border and cuts the size of the image out of it at a random place: a random shift.
    ///
    /// torchvision's `RandomCrop(size, padding, padding_mode)`, the usual light augmentation of CIFAR-10 (He et al.
    /// 2016, section 4.2). All `(2 padding + 1)^2` places are equally likely.
    augmentation "pad_crop" => PadCrop, example = "{ padding: 4, fill: reflect }",
    aliases = ["random_shift" => "pad_crop", "translate" => "pad_crop", "shift" => "pad_crop"]
}

impl Augmentation for PadCrop {
    fn check(&self, shape: ImageShape) -> Vec<Problem> {
        let most = match self.fill {
            Fill::Reflect => shape.height.min(shape.width).saturating_sub(1),
            Fill::Zero | Fill::Edge => shape.height.min(shape.width),
        };
        let message = || {
            format!(
                "is {}; images of {} x {} pixels allow 0 to {most}",
                self.padding, shape.height, shape.width
            )
        };
        (self.padding > most).then(|| Problem::new("padding", message())).into_iter().collect()
    }

    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        let places = 2 * self.padding + 1;
        let (top, left) = (stream.below(places), stream.below(places));
        let (rows, columns) = (self.sources(top, image.shape.height), self.sources(left, image.shape.width));
        let width = image.shape.width;
        let shifted = image.data.chunks_exact(image.shape.height * width).flat_map(|plane| {
            let pixel = move |place: (Option<usize>, Option<usize>)| match place {
                (Some(row), Some(column)) => plane[row * width + column],
                _ => 0.0,
            };
            let places = rows.iter().flat_map(|&row| columns.iter().map(move |&column| (row, column)));
            places.map(pixel)
        });
        image.data = shifted.collect();
    }
}

impl PadCrop {
    /// For each pixel of a side of `length`, cut out from place `start` of the padded side, the pixel it was; none in
    /// a border of zeros.
    fn sources(&self, start: usize, length: usize) -> Vec<Option<usize>> {
        let last = length.saturating_sub(1);
        let source = |i: usize| {
            let at = (start + i) as isize - self.padding as isize;
            match self.fill {
                _ if (0..length as isize).contains(&at) => Some(at as usize),
                Fill::Zero => None,
                Fill::Edge => Some(if at < 0 { 0 } else { last }),
                Fill::Reflect => Some(if at < 0 { -at } else { 2 * last as isize - at } as usize),
            }
        };
        (0..length).map(source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 3, width: 3 };

    /// Row 1, 2, 3 shifted by two pixels to the right, then to the left.
    fn rows(fill: Fill) -> [Vec<Option<usize>>; 2] {
        let settings = PadCrop { padding: 2, fill };
        [settings.sources(0, 3), settings.sources(4, 3)]
    }

    #[test]
    fn the_border_holds_what_was_asked() {
        let some = |row: [usize; 3]| row.map(Some).to_vec();
        assert_eq!(rows(Fill::Zero), [vec![None, None, Some(0)], vec![Some(2), None, None]]);
        assert_eq!(rows(Fill::Edge), [some([0, 0, 0]), some([2, 2, 2])]);
        // torch.nn.functional.pad([1, 2, 3], (2, 2), mode="reflect") is [3, 2, 1, 2, 3, 2, 1].
        assert_eq!(rows(Fill::Reflect), [some([2, 1, 0]), some([2, 1, 0])]);
    }

    #[test]
    fn every_shift_occurs_and_pixels_keep_their_order() {
        let settings = PadCrop { padding: 1, fill: Fill::Zero };
        let mut seen = std::collections::BTreeSet::new();
        for key in 0..200 {
            let mut image = Image { shape: SHAPE, data: (1..10).map(|v| v as f32).collect() };
            settings.apply(&mut image, &mut Stream::new(0, "test", 0, key));
            // The centre pixel tells the shift.
            seen.insert(image.data[4] as u32);
        }
        assert_eq!(seen.len(), 9);
    }

    #[test]
    fn no_padding_changes_nothing_and_too_much_is_refused() {
        let mut image = Image { shape: SHAPE, data: (1..10).map(|v| v as f32).collect() };
        let before = image.clone();
        PadCrop { padding: 0, fill: Fill::Zero }.apply(&mut image, &mut Stream::new(0, "test", 0, 0));
        assert_eq!(image, before);
        assert_eq!(PadCrop { padding: 3, fill: Fill::Reflect }.check(SHAPE)[0].path, "padding");
        assert!(PadCrop { padding: 3, fill: Fill::Edge }.check(SHAPE).is_empty());
    }
}
