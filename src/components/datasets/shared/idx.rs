//! MNIST and what was made in its format: IDX files of images and of labels, gzipped or not.
//!
//! Two zero bytes, the type of a value (8: a byte), the number of dimensions, each dimension as a big-endian
//! 32-bit number, then the values (the description on MNIST's page, <http://yann.lecun.com/exdb/mnist/>).

use std::path::{Path, PathBuf};

use ijepa_registry::{
    image::{ImageSet, ImageShape, Split},
    kinds::{DataError, Factor, LoadContext, Survey},
};

use super::{
    bytes::{content, labels, length, named, wrong},
    published::Published,
};

/// The four files: training images and labels, test images and labels.
pub(crate) const IDX_FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Of every image.
pub(crate) const IDX_SHAPE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

const BYTE: u8 = 8;
const REMEDY: &str = "the file is cut off or damaged: replace it with the published one";

/// A data set of four such files.
pub(crate) struct Idx {
    pub published: Published<'static>,
    /// Names of the classes 0, 1, ...
    pub classes: &'static [&'static str],
}

impl Idx {
    /// Counts from the headers, without unpacking what follows them.
    pub fn survey(&self, place: (&Path, bool)) -> Result<Option<Survey>, DataError> {
        let class = Factor { name: "class".into(), values: self.classes.len(), train: None };
        let count = |folder: &Path| {
            let [train, test] = self.pairs(folder);
            Ok((counted(&train)?, counted(&test)?))
        };
        self.published.survey(place, vec![class], count)
    }

    pub fn load(&self, place: (&Path, bool), context: &LoadContext) -> Result<ImageSet, DataError> {
        let folder = self.published.obtain(place, context)?;
        let [train, test] = self.pairs(&folder);
        Ok(ImageSet::new(IDX_SHAPE, self.split(&train, context)?, self.split(&test, context)?))
    }

    /// Images and labels of training and of test.
    fn pairs(&self, folder: &Path) -> [[PathBuf; 2]; 2] {
        let file = |name| self.published.file(folder, name).unwrap_or_else(|| folder.join(name));
        let [a, b, c, d] = IDX_FILES.map(file);
        [[a, b], [c, d]]
    }

    fn split(&self, pair: &[PathBuf; 2], context: &LoadContext) -> Result<Split, DataError> {
        counted(pair)?;
        (context.progress)(&format!("reading {}", pair[0].display()), 0, 0);
        let ([images, classes], shape) = (pair, IDX_SHAPE);
        let pixels = values(images, &[shape.height, shape.width])?;
        let bytes = values(classes, &[])?.into_iter();
        let found = labels(classes, "label", bytes, (0, self.classes.len()), REMEDY)?;
        Ok(Split::new(pixels, vec![named("class", self.classes, found)]))
    }
}

/// How many images two files hold, if both say the same.
fn counted([images, labels]: &[PathBuf; 2]) -> Result<usize, DataError> {
    let of_images = items(images, &[IDX_SHAPE.height, IDX_SHAPE.width])?;
    let of_labels = items(labels, &[])?;
    if of_images != of_labels {
        let what = format!(
            "holds {of_labels} labels, but `{}` {of_images} images: they are not of one another",
            images.display()
        );
        return Err(wrong(labels, what));
    }
    Ok(of_images)
}

/// Items of a file, each of size `each`, from its header; a file that is not gzipped has to be as long as that.
fn items(path: &Path, each: &[usize]) -> Result<usize, DataError> {
    let head = header_length(each);
    let header = content(path, head as u64)?;
    if header.len() < head {
        return Err(wrong(
            path,
            format!("holds {} bytes, its header alone has {head}; {REMEDY}", header.len()),
        ));
    }
    let magic = [0, 0, BYTE, each.len() as u8 + 1];
    if header[..4] != magic {
        let found = &header[..4];
        let what =
            format!("begins with the bytes {found:?}, an IDX file of this kind with {magic:?}; {REMEDY}");
        return Err(wrong(path, what));
    }
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let sizes: Vec<usize> = (2..2 + each.len()).map(|i| word(4 * i) as usize).collect();
    if sizes != each {
        return Err(wrong(
            path,
            format!("says that its images are {sizes:?}, expected {each:?} (rows, columns)"),
        ));
    }
    let count = word(4) as usize;
    let packed = path.extension().is_some_and(|ending| ending == "gz");
    if count == 0 {
        return Err(wrong(path, "says that it holds nothing"));
    }
    if !packed {
        fits(path, length(path)?, count, each)?;
    }
    Ok(count)
}

/// The values of a file, as many as its header says.
fn values(path: &Path, each: &[usize]) -> Result<Vec<u8>, DataError> {
    let (head, count) = (header_length(each), items(path, each)?);
    let expected = head + count * each.iter().product::<usize>();
    // One byte more tells a file that is too long.
    let mut bytes = content(path, expected as u64 + 1)?;
    fits(path, bytes.len(), count, each)?;
    Ok(bytes.split_off(head))
}

fn fits(path: &Path, length: usize, count: usize, each: &[usize]) -> Result<(), DataError> {
    let expected = header_length(each) + count * each.iter().product::<usize>();
    if length == expected {
        return Ok(());
    }
    let more = if length > expected { "at least " } else { "" };
    Err(wrong(
        path,
        format!("says that it holds {count} items, {expected} bytes, but there are {more}{length}; {REMEDY}"),
    ))
}

fn header_length(each: &[usize]) -> usize {
    4 * (2 + each.len())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::components::datasets::shared::{Origin, testing::gzipped};

    const SET: Idx = Idx {
        published: Published {
            title: "MNIST",
            folder: "MNIST/raw",
            files: &IDX_FILES,
            gzipped: true,
            counts: (60_000, 10_000),
            origin: Origin::ByHand("it"),
            other: None,
        },
        classes: &["zero", "one", "two"],
    };

    /// A file of `count` items whose values count up.
    fn idx(each: &[usize], count: usize, modulus: usize) -> Vec<u8> {
        let mut bytes = vec![0, 0, BYTE, each.len() as u8 + 1];
        [&[count], each].concat().iter().for_each(|&n| bytes.extend((n as u32).to_be_bytes()));
        bytes.extend((0..count * each.iter().product::<usize>()).map(|i| (i % modulus) as u8));
        bytes
    }

    fn write(folder: &Path, name: &str, bytes: &[u8]) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }

    fn write_all(folder: &Path) {
        for (name, count) in IDX_FILES.iter().zip([5, 5, 3, 3]) {
            let images = name.contains("images");
            let bytes = if images { idx(&[28, 28], count, 251) } else { idx(&[], count, 3) };
            write(folder, name, &bytes);
        }
    }

    fn load(folder: &Path) -> Result<ImageSet, DataError> {
        let survey = SET.survey((folder, false));
        let set = SET.load((folder, false), &LoadContext::silent());
        // What is known beforehand is so.
        if let (Ok(Some(survey)), Ok(set)) = (&survey, &set) {
            assert_eq!((survey.train, survey.test), (set.count(&set.train), set.count(&set.test)));
            assert_eq!(survey.files.len(), 4);
        }
        set
    }

    #[test]
    fn images_and_labels_are_read_plain_or_gzipped_from_the_folder_or_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        write_all(&folder.path().join("MNIST/raw"));
        let set = load(folder.path()).unwrap();
        assert_eq!((set.count(&set.train), set.count(&set.test)), (5, 3));
        assert_eq!(set.train.labels[0].labels, [0, 1, 2, 0, 1]);
        assert_eq!(set.bytes(&set.train, 1)[..3], [784 % 251_u32, 785 % 251, 786 % 251].map(|v| v as u8));
        let inside = folder.path().join("MNIST/raw");
        for name in IDX_FILES {
            let bytes = fs::read(inside.join(name)).unwrap();
            fs::remove_file(inside.join(name)).unwrap();
            write(&inside, &format!("{name}.gz"), &gzipped(&bytes));
        }
        assert_eq!(load(&inside).unwrap(), set);
    }

    #[test]
    fn damaged_files_are_named_plain_and_gzipped() {
        let whole = idx(&[28, 28], 5, 251);
        let cases: [(&str, Vec<u8>, &str); 7] = [
            (
                "train-images-idx3-ubyte",
                whole[..whole.len() - 1].to_vec(),
                "5 items, 3936 bytes, but there are 3935",
            ),
            ("train-images-idx3-ubyte", [&whole[..], &[0]].concat(), "but there are at least 3937"),
            ("train-images-idx3-ubyte", whole[..9].to_vec(), "holds 9 bytes, its header alone has 16"),
            (
                "train-images-idx3-ubyte",
                [&[0, 0, 9], &whole[3..]].concat(),
                "begins with the bytes [0, 0, 9, 3]",
            ),
            ("train-images-idx3-ubyte", idx(&[14, 56], 5, 9), "its images are [14, 56], expected [28, 28]"),
            ("train-labels-idx1-ubyte", idx(&[], 4, 3), "holds 4 labels, but"),
            ("t10k-labels-idx1-ubyte", idx(&[], 3, 99).iter().map(|v| v * 2).collect(), "begins with"),
        ];
        for (name, bytes, expected) in cases {
            for packed in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                write_all(folder.path());
                if packed {
                    fs::remove_file(folder.path().join(name)).unwrap();
                    write(folder.path(), &format!("{name}.gz"), &gzipped(&bytes));
                } else {
                    write(folder.path(), name, &bytes);
                }
                let error = load(folder.path()).unwrap_err().0;
                assert!(error.contains(name) && error.contains(expected), "{packed}: {error}");
            }
        }
    }

    #[test]
    fn labels_out_of_range_and_missing_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path());
        write(
            folder.path(),
            IDX_FILES[3],
            &idx(&[], 3, 3).iter().map(|v| v + u8::from(*v == 2)).collect::<Vec<_>>(),
        );
        let error = load(folder.path()).unwrap_err().0;
        assert!(error.contains("record 2 has label 3, expected 0 to 2"), "{error}");
        fs::remove_file(folder.path().join(IDX_FILES[1])).unwrap();
        let error = load(folder.path()).unwrap_err().0;
        assert!(error.contains("lacks train-labels-idx1-ubyte"), "{error}");
    }
}
