//! Flat shapes over textured backgrounds: the drawing half of the `shapes` data set.
//!
//! Coordinates are fractions of the image, `x` to the right and `y` down; colours are 0 to 1.

use std::f32::consts::TAU;

/// Red, green, blue.
pub(crate) type Rgb = [f32; 3];

/// The colour of hue `h` (in turns), saturation `s` and value `v`.
pub(crate) fn hsv(h: f32, s: f32, v: f32) -> Rgb {
    [5.0, 3.0, 1.0].map(|n: f32| {
        let k = (n + 6.0 * h).rem_euclid(6.0);
        v * (1.0 - s * k.min(4.0 - k).clamp(0.0, 1.0))
    })
}

/// Euclidean distance of two colours.
pub(crate) fn distance(a: Rgb, b: Rgb) -> f32 {
    (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f32>().sqrt()
}

/// What is drawn. Every shape lies in the unit disc and covers a third to two thirds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Ring,
    HalfDisc,
    Crescent,
    Square,
    Frame,
    Triangle,
    Star,
    Cross,
    Bar,
}

impl Shape {
    /// Every shape, in label order.
    pub const ALL: [(Shape, &str); 10] = [
        (Shape::Circle, "circle"),
        (Shape::Ring, "ring"),
        (Shape::HalfDisc, "half-disc"),
        (Shape::Crescent, "crescent"),
        (Shape::Square, "square"),
        (Shape::Frame, "frame"),
        (Shape::Triangle, "triangle"),
        (Shape::Star, "star"),
        (Shape::Cross, "cross"),
        (Shape::Bar, "bar"),
    ];

    /// Whether the point belongs to the shape.
    fn contains(self, x: f32, y: f32) -> bool {
        let (square, box_norm) = (x * x + y * y, x.abs().max(y.abs()));
        match self {
            Shape::Circle => square <= 0.64,
            Shape::Ring => (0.25..=0.81).contains(&square),
            Shape::HalfDisc => y >= -0.4 && x * x + (y + 0.4).powi(2) <= 0.81,
            Shape::Crescent => square <= 0.81 && (x - 0.4).powi(2) + y * y > 0.49,
            Shape::Square => box_norm <= 0.7,
            Shape::Frame => (0.42..=0.7).contains(&box_norm),
            Shape::Triangle => {
                [(0.0, 1.0), (0.866, -0.5), (-0.866, -0.5)].iter().all(|n| beyond(n, x, y) <= 0.5)
            }
            Shape::Star => STAR.iter().filter(|n| beyond(n, x, y) <= 0.309).count() >= 4,
            Shape::Cross => x.abs().min(y.abs()) <= 0.28 && box_norm <= 0.95,
            Shape::Bar => x.abs() <= 0.93 && y.abs() <= 0.33,
        }
    }
}

/// Normals of the five lines of a pentagram: a point is in it if it is inside at least four.
const STAR: [(f32, f32); 5] = [
    (0.0, 1.0),
    (0.951_057, 0.309_017),
    (0.587_785, -0.809_017),
    (-0.587_785, -0.809_017),
    (-0.951_057, 0.309_017),
];

fn beyond(normal: &(f32, f32), x: f32, y: f32) -> f32 {
    normal.0 * x + normal.1 * y
}

/// One shape at a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub shape: Shape,
    /// Centre.
    pub centre: (f32, f32),
    /// Radius of the disc the shape lies in.
    pub radius: f32,
    /// Rotation, radians.
    pub angle: f32,
}

/// How the two background colours are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Background {
    Plain,
    Gradient,
    Stripes,
    Checks,
    Waves,
}

impl Background {
    /// Every background, in label order.
    pub const ALL: [(Background, &str); 5] = [
        (Background::Plain, "plain"),
        (Background::Gradient, "gradient"),
        (Background::Stripes, "stripes"),
        (Background::Checks, "checks"),
        (Background::Waves, "waves"),
    ];
}

/// Everything in one image, but for pixel noise.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub background: Background,
    pub background_colours: [Rgb; 2],
    /// Direction of the background texture, radians.
    pub angle: f32,
    /// Texture periods across the image.
    pub periods: f32,
    /// Shift of the texture, in periods.
    pub phase: f32,
    pub marks: Vec<Mark>,
    /// Colour of every mark.
    pub colour: Rgb,
}

/// Samples per pixel side when deciding how much of a pixel a shape covers.
const SAMPLES: usize = 4;

impl Scene {
    /// The scene with no object rotated.
    pub fn upright(mut self) -> Self {
        self.marks.iter_mut().for_each(|m| m.angle = 0.0);
        self
    }

    /// Paints `out`, `(channel, row, column)` values of a `size` x `size` image.
    pub fn render(&self, size: usize, out: &mut [f32]) {
        self.paint_background(size, out);
        for mark in &self.marks {
            paint_mark(mark, self.colour, size, out);
        }
    }

    fn paint_background(&self, size: usize, out: &mut [f32]) {
        let [from, to] = self.background_colours;
        let (sin, cos) = self.angle.sin_cos();
        for pixel in 0..size * size {
            let [x, y] = [pixel % size, pixel / size].map(|p| (p as f32 + 0.5) / size as f32 - 0.5);
            let mix = self.texture(x * cos + y * sin, y * cos - x * sin);
            for c in 0..3 {
                out[c * size * size + pixel] = from[c] + mix * (to[c] - from[c]);
            }
        }
    }

    /// Share of the second background colour at a point of the rotated, centred frame.
    fn texture(&self, x: f32, y: f32) -> f32 {
        let turn = |p: f32| TAU * (p * self.periods + self.phase);
        match self.background {
            Background::Plain => 0.0,
            Background::Gradient => (0.5 + 0.7 * x).clamp(0.0, 1.0),
            Background::Stripes => 0.5 + 0.5 * turn(x).sin(),
            Background::Checks => (0.5 + 3.0 * turn(x).sin() * turn(y).sin()).clamp(0.0, 1.0),
            Background::Waves => 0.5 + 0.5 * (turn(x) + 2.0 * (0.7 * turn(y)).sin()).sin(),
        }
    }
}

fn paint_mark(mark: &Mark, colour: Rgb, size: usize, out: &mut [f32]) {
    let span = |centre: f32| {
        let edge = |e: f32| (e * size as f32).clamp(0.0, size as f32);
        edge(centre - mark.radius).floor() as usize..edge(centre + mark.radius).ceil() as usize
    };
    let frame = Frame::of(mark, size);
    for row in span(mark.centre.1) {
        for column in span(mark.centre.0) {
            let cover = frame.coverage(mark.shape, row, column);
            if cover > 0.0 {
                for c in 0..3 {
                    let value = &mut out[(c * size + row) * size + column];
                    *value += cover * (colour[c] - *value);
                }
            }
        }
    }
}

/// The map from pixels to the coordinates of a mark's unit disc.
struct Frame {
    origin: (f32, f32),
    /// What one pixel to the right adds to (x, y); one pixel down adds (-y, x) of it.
    step: (f32, f32),
}

impl Frame {
    fn of(mark: &Mark, size: usize) -> Self {
        let pixel = 1.0 / (size as f32 * mark.radius);
        let (sin, cos) = mark.angle.sin_cos();
        let step = (cos * pixel, -sin * pixel);
        let (x, y) = (mark.centre.0 * size as f32, mark.centre.1 * size as f32);
        Frame { origin: (-x * step.0 + y * step.1, -x * step.1 - y * step.0), step }
    }

    /// Part of a pixel that the shape covers, from `SAMPLES` x `SAMPLES` points.
    fn coverage(&self, shape: Shape, row: usize, column: usize) -> f32 {
        let at = |whole: usize, i: usize| whole as f32 + (i as f32 + 0.5) / SAMPLES as f32;
        let mut inside = 0;
        for i in 0..SAMPLES * SAMPLES {
            let (right, down) = (at(column, i % SAMPLES), at(row, i / SAMPLES));
            let x = self.origin.0 + right * self.step.0 - down * self.step.1;
            let y = self.origin.1 + right * self.step.1 + down * self.step.0;
            inside += usize::from(shape.contains(x, y));
        }
        inside as f32 / (SAMPLES * SAMPLES) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_fit_the_disc_and_cover_a_fair_part_of_it() {
        let grid =
            || (0..400).flat_map(|i| (0..400).map(move |j| (i as f32 / 200.0 - 1.0, j as f32 / 200.0 - 1.0)));
        for (shape, name) in Shape::ALL {
            let points: Vec<_> = grid().filter(|&(x, y)| shape.contains(x, y)).collect();
            assert!(points.iter().all(|(x, y)| x * x + y * y <= 1.001), "{name} leaves the unit disc");
            let area = points.len() as f32 / 40_000.0;
            assert!((1.0..2.1).contains(&area), "{name} covers {area}");
        }
    }

    #[test]
    fn colours_are_those_of_the_hue_circle() {
        assert_eq!(hsv(0.0, 1.0, 1.0), [1.0, 0.0, 0.0]);
        assert_eq!(hsv(1.0 / 3.0, 1.0, 0.5), [0.0, 0.5, 0.0]);
        assert_eq!(hsv(0.3, 0.0, 0.25), [0.25; 3]);
    }

    #[test]
    fn edges_are_smooth_and_the_middle_is_solid() {
        let mark = Mark { shape: Shape::Circle, centre: (0.5, 0.5), radius: 0.4, angle: 0.3 };
        let scene = Scene {
            background: Background::Plain,
            background_colours: [[0.0; 3]; 2],
            angle: 0.0,
            periods: 1.0,
            phase: 0.0,
            marks: vec![mark],
            colour: [1.0; 3],
        };
        let mut out = vec![9.0; 3 * 32 * 32];
        scene.render(32, &mut out);
        assert_eq!((out[0], out[16 * 32 + 16]), (0.0, 1.0));
        assert!(out.iter().any(|&v| v > 0.2 && v < 0.8), "anti-aliased");
        let area = out[..1024].iter().sum::<f32>() / 1024.0;
        let expected = std::f32::consts::PI * (0.4f32 * 0.8).powi(2);
        assert!((area - expected).abs() < 0.005, "{area} {expected}");
    }
}
