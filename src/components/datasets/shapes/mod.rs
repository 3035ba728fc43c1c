//! Drawn shapes: a data set that needs no download.

mod drawing;

use ijepa_registry::prelude::*;
use rayon::prelude::*;

use drawing::{Background, Mark, Rgb, Scene, Shape, distance, hsv};

/// Settings of `dataset: { kind: shapes }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Shapes {
    /// Height and width of the images, pixels.
    #[schemars(range(min = 16, max = 256), extend("x-aliases" = ["size", "img_size", "resolution"]))]
    image_size: usize,
    /// Training images.
    #[schemars(range(min = 10, max = 1_000_000))]
    train: usize,
    /// Test images; drawn from streams of their own, so never equal to training images.
    #[schemars(range(min = 10, max = 1_000_000))]
    test: usize,
    /// Seed of the images. Independent of the seed of the run: all runs see the same data.
    seed: u64,
    /// Most objects in one image; the number is uniform from 1.
    #[schemars(range(min = 1, max = 4))]
    max_objects: usize,
    /// Least and greatest radius of the largest object, as a fraction of the image; at least 0.1
    /// and at most 0.39. The range is cut into three equal parts for the `size` label.
    #[schemars(inner(range(min = 0.1, max = 0.39)))]
    radius: [f64; 2],
    /// Whether objects are rotated at random. Otherwise all stand upright.
    rotate: bool,
    /// Whether backgrounds have textures. Otherwise all are plain.
    textures: bool,
    /// Standard deviation of the noise added to every pixel value, as a fraction of the full range.
    #[schemars(range(min = 0.0, max = 0.5))]
    noise: f64,
}

impl Default for Shapes {
    fn default() -> Self {
        Shapes {
            image_size: 32,
            train: 4096,
            test: 1024,
            seed: 0,
            max_objects: 4,
            radius: [0.15, 0.3],
            rotate: true,
            textures: true,
            noise: 0.04,
        }
    }
}

component! {
    /// Drawn shapes over textured backgrounds, made in memory from a seed; needs no download.
    ///
    /// Every image holds 1 to `max_objects` objects of one shape, all of one colour, at random
    /// places, sizes and (unless `rotate: false`) rotations. The class is the shape (10 classes,
    /// equally many images each); colour, count, position and size (of the largest object) and
    /// background are labelled too, for probes of low-level factors; a factor with one value is
    /// left out. Quantities are `x` and `y` (centre of the largest object, as shares of the image, to the right and
    /// down) and its `radius`. Colours and textures are drawn independently of the class and the contrast has
    /// either sign, so with the defaults the class can be read neither from the mean colour nor
    /// by a linear map of the pixels (of large upright objects the pixels tell a little).
    dataset "shapes" => Shapes, example = "{ train: 4096, test: 1024 }",
    aliases = ["synthetic" => "shapes", "toy" => "shapes"]
}

const COLOURS: [&str; 6] = ["red", "yellow", "green", "cyan", "blue", "magenta"];
const POSITIONS: [&str; 9] =
    ["top-left", "top", "top-right", "left", "centre", "right", "bottom-left", "bottom", "bottom-right"];
const SIZES: [&str; 3] = ["small", "medium", "large"];
/// Bounds of `radius`. A third of the image is then never too small to hold the centre.
const RADIUS: (f64, f64) = (0.1, 0.39);
/// Least distance of the object's colour from both background colours (black to white is 1.73).
const CONTRAST: f32 = 0.45;

/// The labels of one image; indices into the lists of names.
#[derive(Clone, Copy, Default)]
struct Factors {
    class: u32,
    colour: u32,
    count: u32,
    position: u32,
    size: u32,
    background: u32,
    /// Centre and radius of the largest object, as shares of the image: across, down, radius.
    largest: [f32; 3],
}

/// Names of [`Factors::largest`].
const QUANTITIES: [&str; 3] = ["x", "y", "radius"];

impl Dataset for Shapes {
    fn shape(&self) -> ImageShape {
        ImageShape { channels: 3, height: self.image_size, width: self.image_size }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = vec![];
        let mut whole = |name: &str, value: usize, low: usize, high: usize| {
            if !(low..=high).contains(&value) {
                problems.push(Problem::new(name, format!("is {value}; allowed are {low} to {high}")));
            }
        };
        whole("image_size", self.image_size, 16, 256);
        whole("train", self.train, Shape::ALL.len(), 1_000_000);
        whole("test", self.test, Shape::ALL.len(), 1_000_000);
        whole("max_objects", self.max_objects, 1, 4);
        let [low, high] = self.radius;
        if !(RADIUS.0 <= low && low < high && high <= RADIUS.1) {
            let message = format!(
                "is [{low}, {high}]; expected are two rising numbers from {} to {}",
                RADIUS.0, RADIUS.1
            );
            problems.push(Problem::new("radius", message));
        }
        if !(0.0..=0.5).contains(&self.noise) {
            problems.push(Problem::new("noise", format!("is {}; allowed are 0 to 0.5", self.noise)));
        }
        problems
    }

    fn survey(&self) -> Result<Option<Survey>, DataError> {
        let none = self.labels(&[]).into_iter();
        let of = |l: Labels| Factor { train: None, values: l.values.len(), name: l.name };
        Ok(Some(Survey {
            train: self.train,
            test: self.test,
            labels: none.map(of).collect(),
            quantities: self.split("shapes/none", 0).quantity_names(),
            ..Survey::default()
        }))
    }

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        let total = (self.train + self.test) as u64;
        (context.progress)("drawing shapes", 0, total);
        let train = self.split("shapes/train", self.train);
        (context.progress)("drawing shapes", self.train as u64, total);
        let test = self.split("shapes/test", self.test);
        (context.progress)("drawing shapes", total, total);
        Ok(ImageSet::new(self.shape(), train, test))
    }
}

impl Shapes {
    fn split(&self, purpose: &str, count: usize) -> Split {
        let length = self.shape().len();
        let mut pixels = vec![0; count * length];
        let draw = |(i, out): (usize, &mut [u8])| {
            let mut stream = Stream::new(self.seed, purpose, 0, i as u64);
            self.draw(i % Shape::ALL.len(), &mut stream, out)
        };
        let factors: Vec<Factors> = pixels.par_chunks_mut(length).enumerate().map(draw).collect();
        let quantity = |(i, name): (usize, &&str)| Quantity {
            name: (*name).into(),
            values: factors.iter().map(|f| f.largest[i]).collect(),
        };
        let quantities = QUANTITIES.iter().enumerate().map(quantity).collect();
        Split { pixels: pixels.into(), labels: self.labels(&factors), quantities }
    }

    fn draw(&self, class: usize, stream: &mut Stream, out: &mut [u8]) -> Factors {
        let (scene, factors) = self.compose(class, stream);
        let mut values = vec![0.0; out.len()];
        scene.render(self.image_size, &mut values);
        for (byte, value) in out.iter_mut().zip(values) {
            // Casting to u8 saturates; half a level is added because it also cuts.
            *byte = ((f64::from(value) + self.noise * stream.normal()) * 255.0 + 0.5) as u8;
        }
        factors
    }

    fn compose(&self, class: usize, stream: &mut Stream) -> (Scene, Factors) {
        let [colour, background] = [COLOURS.len(), self.backgrounds().len()].map(|n| stream.below(n));
        let rgb = object_colour(colour, stream);
        let background_colours = [(); 2].map(|()| background_colour(rgb, stream));
        let (position, count) = (stream.below(POSITIONS.len()), 1 + stream.below(self.max_objects));
        let [low, high] = self.radius;
        let radius = stream.uniform_in(low, high);
        let size = (radius - low) / (high - low) * SIZES.len() as f64;
        let scene = Scene {
            background: self.backgrounds()[background].0,
            background_colours,
            angle: stream.uniform_in(0.0, std::f64::consts::TAU) as f32,
            periods: stream.uniform_in(1.5, 5.0) as f32,
            phase: stream.uniform() as f32,
            marks: place(Shape::ALL[class].0, radius, position, count, stream),
            colour: rgb,
        };
        let scene = if self.rotate { scene } else { scene.upright() };
        let (x, y) = scene.marks[0].centre;
        let largest = [x, y, scene.marks[0].radius];
        let [class, colour, count, position, size, background] =
            [class, colour, count - 1, position, size as usize, background].map(|f| f as u32);
        (scene, Factors { class, colour, count, position, size, background, largest })
    }

    /// The backgrounds in use; the first of all is plain.
    fn backgrounds(&self) -> &'static [(Background, &'static str)] {
        if self.textures { &Background::ALL } else { &Background::ALL[..1] }
    }

    fn labels(&self, factors: &[Factors]) -> Vec<Labels> {
        let one = |name: &str, values: Vec<String>, read: fn(&Factors) -> u32| Labels {
            name: name.into(),
            values,
            labels: factors.iter().map(read).collect(),
        };
        let names = |list: &[&str]| list.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let counts = (1..=self.max_objects).map(|n| n.to_string()).collect();
        let mut labels = vec![
            one("class", names(&Shape::ALL.map(|(_, name)| name)), |f| f.class),
            one("colour", names(&COLOURS), |f| f.colour),
            one("count", counts, |f| f.count),
            one("position", names(&POSITIONS), |f| f.position),
            one("size", names(&SIZES), |f| f.size),
            one("background", self.backgrounds().iter().map(|(_, name)| name.to_string()).collect(), |f| {
                f.background
            }),
        ];
        // A factor with one value says nothing.
        labels.retain(|l| l.values.len() > 1);
        labels
    }
}

/// A saturated colour whose hue is near the middle of its sixth of the hue circle.
fn object_colour(colour: usize, stream: &mut Stream) -> Rgb {
    let hue = (colour as f64 + stream.uniform_in(-0.3, 0.3)) / COLOURS.len() as f64;
    hsv(hue as f32, stream.uniform_in(0.65, 1.0) as f32, stream.uniform_in(0.55, 1.0) as f32)
}

/// Any colour that stands out from the object's.
fn background_colour(object: Rgb, stream: &mut Stream) -> Rgb {
    let draw = || [(0.0, 1.0), (0.0, 0.9), (0.1, 1.0)].map(|(low, high)| stream.uniform_in(low, high) as f32);
    let mut candidates = std::iter::repeat_with(draw).map(|[h, s, v]| hsv(h, s, v)).take(32);
    candidates.find(|&c| distance(c, object) >= CONTRAST).unwrap_or([0.0; 3])
}

/// The largest object inside its cell of the 3 x 3 grid, then smaller ones that do not touch it.
fn place(shape: Shape, radius: f64, cell: usize, count: usize, stream: &mut Stream) -> Vec<Mark> {
    let angle = |s: &mut Stream| s.uniform_in(0.0, std::f64::consts::TAU) as f32;
    let within = |cell: usize, stream: &mut Stream| {
        // Objects may reach over the border by a sixth of their radius.
        let (low, high) = (cell as f64 / 3.0, (cell + 1) as f64 / 3.0);
        stream.uniform_in(low.max(radius * 0.84), high.min(1.0 - radius * 0.84)) as f32
    };
    let centre = (within(cell % 3, stream), within(cell / 3, stream));
    let mut marks = vec![Mark { shape, centre, radius: radius as f32, angle: angle(stream) }];
    while marks.len() < count {
        let mut radius = radius * stream.uniform_in(0.6, 0.85);
        let centre = loop {
            let centre = [(); 2].map(|()| stream.uniform_in(radius * 0.84, 1.0 - radius * 0.84) as f32);
            let apart =
                |m: &Mark| (m.centre.0 - centre[0]).hypot(m.centre.1 - centre[1]) >= m.radius + radius as f32;
            if marks.iter().all(apart) {
                break centre;
            }
            // Shrinking a little at every failure makes the search end.
            radius *= 0.98;
        };
        marks.push(Mark { shape, centre: centre.into(), radius: radius as f32, angle: angle(stream) });
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(settings: Shapes) -> ImageSet {
        assert_eq!(settings.check(), []);
        settings.load(&LoadContext::silent()).unwrap()
    }

    #[test]
    fn splits_are_repeatable_balanced_and_different() {
        let settings = || Shapes { train: 200, test: 100, ..Shapes::default() };
        let set = load(settings());
        assert_eq!(set, load(settings()));
        assert_ne!(set.bytes(&set.train, 0), set.bytes(&set.test, 0));
        let names: Vec<_> = set.train.labels.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["class", "colour", "count", "position", "size", "background"]);
        for labels in set.train.labels.iter().chain(&set.test.labels) {
            let classes = labels.values.len() as u32;
            assert!(labels.labels.iter().all(|&l| l < classes));
            assert!((0..classes).all(|c| labels.labels.contains(&c)), "{}", labels.name);
        }
        let class = &set.train.labels[0];
        assert!((0..10).all(|c| class.labels.iter().filter(|&&l| l == c).count() == 20));
    }

    #[test]
    fn the_thread_count_changes_nothing() {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| load(Shapes { train: 64, test: 10, ..Shapes::default() }))
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn labels_describe_the_scene() {
        let settings = Shapes::default();
        for i in 0..500 {
            let (scene, factors) = settings.compose(i % 10, &mut Stream::new(3, "test", 0, i as u64));
            assert_eq!(scene.marks.len(), factors.count as usize + 1);
            let largest = scene.marks[0];
            assert!(scene.marks.iter().all(|m| m.radius <= largest.radius && m.radius > 0.04), "{scene:?}");
            let cell = |v: f32| ((v * 3.0) as u32).min(2);
            assert_eq!(factors.position, cell(largest.centre.1) * 3 + cell(largest.centre.0));
            assert!(scene.background_colours.iter().all(|&c| distance(c, scene.colour) >= CONTRAST));
        }
    }

    /// Accuracy of least squares from `features` (with ridge) onto the classes, on held-out images.
    fn linear_accuracy(set: &ImageSet, features: impl Fn(&Split, usize) -> Vec<f64>) -> f64 {
        use nalgebra::DMatrix;
        let matrix = |split: &Split| {
            let rows: Vec<Vec<f64>> = (0..set.count(split)).map(|i| features(split, i)).collect();
            DMatrix::from_fn(rows.len(), rows[0].len() + 1, |r, c| rows[r].get(c).copied().unwrap_or(1.0))
        };
        let (x, class) = (matrix(&set.train), &set.train.labels[0].labels);
        let y = DMatrix::from_fn(x.nrows(), 10, |r, c| f64::from(class[r] == c as u32));
        let gram = x.tr_mul(&x) + DMatrix::identity(x.ncols(), x.ncols()) * (0.01 * x.nrows() as f64);
        let scores = matrix(&set.test) * gram.cholesky().unwrap().solve(&x.tr_mul(&y));
        let right = |(i, &l): (usize, &u32)| scores.row(i).transpose().imax() == l as usize;
        let hits = set.test.labels[0].labels.iter().enumerate().filter(|&pair| right(pair)).count();
        hits as f64 / set.count(&set.test) as f64
    }

    #[test]
    fn the_class_is_not_linear_in_pixels_or_mean_colour() {
        let set = load(Shapes { image_size: 16, train: 2000, test: 1000, ..Shapes::default() });
        let pixels =
            |s: &Split, i: usize| set.bytes(s, i).iter().map(|&b| f64::from(b) / 255.0 - 0.5).collect();
        let mean = |s: &Split, i: usize| {
            let channel = |c: &[u8]| c.iter().map(|&b| f64::from(b)).sum::<f64>() / 65_280.0 - 0.5;
            set.bytes(s, i).chunks(256).map(channel).collect()
        };
        let (pixels, mean) = (linear_accuracy(&set, pixels), linear_accuracy(&set, mean));
        assert!(pixels < 0.2 && mean < 0.15, "pixels {pixels}, mean colour {mean}; chance is 0.1");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let wrong = Shapes {
            image_size: 8,
            train: 3,
            test: 3,
            max_objects: 9,
            radius: [0.3, 0.4],
            noise: f64::NAN,
            ..Shapes::default()
        };
        let paths: Vec<_> = wrong.check().into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["image_size", "train", "test", "max_objects", "radius", "noise"]);
        assert!(wrong.check()[3].message.contains('9'));
    }

    #[test]
    fn radii_rise_within_their_bounds() {
        let ok = |radius| Shapes { radius, ..Shapes::default() }.check().is_empty();
        assert!(ok([0.1, 0.39]));
        for radius in [[0.09, 0.3], [0.2, 0.4], [0.3, 0.3], [0.3, 0.2], [f64::NAN, 0.3], [0.2, f64::NAN]] {
            assert!(!ok(radius), "{radius:?}");
        }
    }

    #[test]
    fn scenes_follow_the_settings() {
        let radius = [0.3, 0.39];
        let settings = Shapes { max_objects: 2, radius, rotate: false, textures: false, ..Shapes::default() };
        let mut sizes = [0; 3];
        for i in 0..500 {
            let (scene, factors) = settings.compose(i % 10, &mut Stream::new(3, "test", 0, i as u64));
            assert_eq!(scene.background, Background::Plain);
            assert!(scene.marks.iter().all(|m| m.angle == 0.0));
            let largest = scene.marks[0];
            assert!((0.3..=0.39).contains(&largest.radius));
            let cell = |v: f32| ((v * 3.0) as u32).min(2);
            assert_eq!(factors.position, cell(largest.centre.1) * 3 + cell(largest.centre.0));
            sizes[factors.size as usize] += 1;
        }
        assert!(sizes.iter().all(|&n| n > 100), "{sizes:?}");
        let set = load(Shapes { train: 10, test: 10, ..settings });
        assert!(set.train.labels.iter().all(|l| l.name != "background"));
        assert!(Shapes::default().compose(0, &mut Stream::new(3, "test", 0, 0)).0.marks[0].angle != 0.0);
    }

    #[test]
    fn one_object_drops_the_count_factor() {
        let set = load(Shapes { train: 10, test: 10, max_objects: 1, ..Shapes::default() });
        assert!(set.train.labels.iter().all(|l| l.name != "count"));
    }
}
