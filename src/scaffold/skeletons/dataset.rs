//! Data set `my_dataset`.

use ijepa_registry::prelude::*;

component! {
    // TODO: say in one sentence what it shows, then where it comes from and how it may be used.
    /// Noisy stripes, horizontal or vertical: two classes, drawn in memory.
    dataset "my_dataset" => MyDataset, example = "{ train: 32, test: 16 }"
}

/// Settings of `dataset: { kind: my_dataset }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MyDataset {
    // TODO: your settings. Each has a sentence, a range and a default. `#[schemars(extend("x-path" = true))]` marks a
    // path, in which `~` and `${VAR}` are replaced.
    /// Side of an image, pixels.
    #[schemars(range(min = 1, max = 1024))]
    image_size: usize,
    /// Training images.
    #[schemars(range(min = 1, max = 1000000))]
    train: usize,
    /// Test images.
    #[schemars(range(min = 0, max = 1000000))]
    test: usize,
}

impl Default for MyDataset {
    fn default() -> Self {
        MyDataset { image_size: 24, train: 4096, test: 512 }
    }
}

const CLASSES: [&str; 2] = ["horizontal", "vertical"];

/// Class of image `i`.
fn class(i: usize) -> usize {
    i % CLASSES.len()
}

impl MyDataset {
    /// Image `i` of a split as bytes `(channel, row, column)`.
    fn draw(&self, split: &str, i: usize) -> Vec<u8> {
        // TODO: your images. What is drawn comes from a stream, so that every machine gets the same bytes.
        let mut noise = Stream::new(0, &format!("my_dataset/{split}"), 0, i as u64);
        let mut bytes = Vec::with_capacity(self.shape().len());
        for at in 0..self.shape().len() {
            let (row, column) = (at / self.image_size % self.image_size, at % self.image_size);
            let along = if class(i) == 0 { row } else { column };
            let stripe = if along / 2 % 2 == 0 { 160.0 } else { 80.0 };
            bytes.push((stripe + noise.uniform_in(-40.0, 40.0)) as u8);
        }
        bytes
    }

    fn split(&self, name: &str, count: usize) -> Split {
        let labels = Labels {
            name: "class".into(),
            values: CLASSES.map(String::from).into(),
            labels: (0..count).map(|i| class(i) as u32).collect(),
        };
        Split::new((0..count).flat_map(|i| self.draw(name, i)).collect::<Vec<u8>>(), vec![labels])
    }
}

impl Dataset for MyDataset {
    fn shape(&self) -> ImageShape {
        ImageShape { channels: 3, height: self.image_size, width: self.image_size }
    }
    fn check(&self) -> Vec<Problem> {
        // TODO: what ranges cannot say, without reading data.
        vec![]
    }
    // TODO: `reads_files` where images come from files, so that results are kept apart by content.
    fn survey(&self) -> Result<Option<Survey>, DataError> {
        // TODO: what is known before anything is read; `Ok(None)` if nothing is.
        let train = (0..CLASSES.len()).map(|c| (0..self.train).filter(|i| class(*i) == c).count()).collect();
        let factor = Factor { name: "class".into(), values: CLASSES.len(), train: Some(train) };
        let survey = Survey { train: self.train, test: self.test, labels: vec![factor], ..Survey::default() };
        Ok(Some(survey))
    }
    fn load(&self, _context: &LoadContext) -> Result<ImageSet, DataError> {
        // TODO: read them. A `DataError` names the file, what was expected and what to do.
        let (train, test) = (self.split("train", self.train), self.split("test", self.test));
        Ok(ImageSet::new(self.shape(), train, test))
    }
}
