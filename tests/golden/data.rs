//! Images for the data sets that read files: the same bytes everywhere.

use std::path::Path;

/// A byte of image `i` of class `class`, at `at` of its pixels: stripes whose width tells the class, and
/// something from image to image.
fn byte(class: usize, i: usize, at: usize) -> u8 {
    ((at / (class + 2)) * 40 + i * 7 + at * i % 13) as u8
}

/// `cifar/` in CIFAR-10's binary layout (5 x 16 and 20 images), `folder/` as PNG files (30 and 15).
pub fn write(folder: &Path) {
    cifar(&folder.join("cifar"));
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
