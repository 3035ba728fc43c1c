//! Images for the data sets that read files: the same bytes everywhere.

use std::path::Path;

/// A byte of image `i` of class `class`, at `at` of its pixels: stripes whose width tells the class, and
/// something from image to image.
fn byte(class: usize, i: usize, at: usize) -> u8 {
    ((at / (class + 2)) * 40 + i * 7 + at * i % 13) as u8
}

/// `cifar/` in CIFAR-10's binary layout (5 x 16 and 20 images), `folder/` as PNG files (30 and 15), and a few images in
/// the layout of every other publisher.
pub fn write(folder: &Path) {
    cifar(&folder.join("cifar"));
    cifar100(&folder.join("cifar100"));
    idx(&folder.join("mnist"));
    stl10(&folder.join("stl10"));
    arrays(&folder.join("arrays"));
    tiny_imagenet(&folder.join("tiny"));
    for (split, each) in [("train", 10), ("test", 5)] {
        for class in 0..3 {
            let folder = folder.join("folder").join(split).join(["one", "three", "two"][class]);
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..each {
                let (width, height) = (24 + i as u32, 24);
                let pixels = (0..width * height * 3).map(|at| byte(class, i + each, at as usize)).collect();
                let image = image::RgbImage::from_raw(width, height, pixels).unwrap();
                image.save(folder.join(format!("{i:02}.png"))).unwrap();
            }
        }
    }
}

fn cifar(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let names = (1..=5).map(|i| format!("data_batch_{i}.bin")).chain(["test_batch.bin".to_string()]);
    for (part, name) in names.enumerate() {
        let record = |i: usize| {
            let class = i % 10;
            std::iter::once(class as u8).chain((0..3072).map(move |at| byte(class, i + 20 * part, at)))
        };
        let records = if part < 5 { 20 } else { 30 };
        std::fs::write(folder.join(name), (0..records).flat_map(record).collect::<Vec<u8>>()).unwrap();
    }
}

fn file(folder: &Path, name: &str, bytes: impl IntoIterator<Item = u8>) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(name), bytes.into_iter().collect::<Vec<u8>>()).unwrap();
}

/// `count` images of `length` bytes of ten classes in turn, from image `first` on.
fn images(count: usize, first: usize, length: usize) -> impl Iterator<Item = u8> {
    (0..count).flat_map(move |i| (0..length).map(move |at| byte(i % 10, first + i, at)))
}

/// A coarse and a fine label, then the pixels.
fn cifar100(folder: &Path) {
    for (name, count, first) in [("train.bin", 120, 0), ("test.bin", 100, 130)] {
        let record = |i: usize| {
            let labels = [(i % 20) as u8, (i % 100) as u8];
            labels.into_iter().chain((0..3072).map(move |at| byte(i % 20, first + i, at)))
        };
        file(folder, name, (0..count).flat_map(record));
    }
}

fn idx(folder: &Path) {
    for (part, count, first) in [("train", 40u8, 0), ("t10k", 20, 50)] {
        let head = |axes: u8| [0, 0, 8, axes, 0, 0, 0, count];
        let pixels = images(usize::from(count), first, 784);
        let side = [0, 0, 0, 28];
        file(
            folder,
            &format!("{part}-images-idx3-ubyte"),
            head(3).into_iter().chain(side).chain(side).chain(pixels),
        );
        file(
            folder,
            &format!("{part}-labels-idx1-ubyte"),
            head(1).into_iter().chain((0..count).map(|i| i % 10)),
        );
    }
}

fn stl10(folder: &Path) {
    for (name, count, first) in [("train_X.bin", 20, 0), ("test_X.bin", 10, 20), ("unlabeled_X.bin", 12, 30)]
    {
        file(folder, name, images(count, first, 3 * 96 * 96));
    }
    for (name, count) in [("train_y.bin", 20), ("test_y.bin", 10)] {
        file(folder, name, (0..count).map(|i| 1 + i % 10));
    }
}

/// Version 1.0 of the format, in bytes.
fn arrays(folder: &Path) {
    let array = |name: &str, shape: &str, bytes: Vec<u8>| {
        let head = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}");
        let head = format!("{head:<117}\n");
        let start = [&b"\x93NUMPY\x01\x00"[..], &(head.len() as u16).to_le_bytes(), head.as_bytes()].concat();
        file(folder, name, start.into_iter().chain(bytes));
    };
    for (part, count, first) in [("train", 40, 0), ("test", 10, 40)] {
        array(&format!("{part}.npy"), &format!("{count}, 16, 16"), images(count, first, 256).collect());
        let labels = (0..count).map(|i| (i % 10 / 5) as u8).collect();
        array(&format!("{part}_labels.npy"), &format!("{count},"), labels);
    }
}

/// Images of one colour: what a JPEG decoder makes of those depends on no rounding of its transform.
fn tiny_imagenet(folder: &Path) {
    let image = |folder: &Path, name: &str, shade: u8| {
        std::fs::create_dir_all(folder).unwrap();
        let pixels = image::RgbImage::from_pixel(64, 64, image::Rgb([shade, 128, 255 - shade]));
        pixels.save_with_format(folder.join(name), image::ImageFormat::Jpeg).unwrap();
    };
    let classes = ["n01443537", "n01629819"];
    file(folder, "wnids.txt", classes.join("\n").bytes());
    let mut annotations = String::new();
    for (class, wnid) in classes.into_iter().enumerate() {
        for i in 0..12u8 {
            let (name, shade) = (format!("{wnid}_{i}.JPEG"), class as u8 * 120 + 8 * i);
            image(&folder.join("train").join(wnid).join("images"), &name, shade);
        }
        for i in 0..4u8 {
            let name = format!("val_{class}{i}.JPEG");
            image(&folder.join("val/images"), &name, class as u8 * 120 + 20 * i);
            annotations += &format!("{name}\t{wnid}\t0\t0\t62\t62\n");
        }
    }
    file(folder, "val/val_annotations.txt", annotations.bytes());
}
