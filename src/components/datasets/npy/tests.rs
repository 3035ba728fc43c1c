//! Arrays of every form, as they are surveyed and loaded.

use std::fs;

use npyz::WriterBuilder;

use super::*;

/// An array as NumPy writes it.
fn save<T: npyz::AutoSerialize + Copy>(folder: &Path, name: &str, shape: &[u64], values: &[T]) {
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes);
    let mut writer = options.begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// Settings of two images of 2 rows and 3 columns, with labels.
fn settings(folder: &Path, layout: &str, channels: usize, more: &str) -> Npy {
    let text = format!(
        "{{ path: {}, layout: {layout}, channels: {channels}, height: 2, width: 3, train: x.npy, \
         train_labels: {{ size: s.npy, class: y.npy }}{more} }}",
        folder.display()
    );
    serde_yaml::from_str(&text).unwrap()
}

fn write_labels(folder: &Path) {
    save(folder, "y.npy", &[2], &[2i64, 0]);
    save(folder, "s.npy", &[2, 1], &[0u8, 1]);
}

fn load(data: &Npy) -> Result<ImageSet, DataError> {
    assert!(data.check().is_empty());
    let (survey, set) = (data.survey(), data.load(&LoadContext::silent()));
    if let Ok(set) = &set {
        let survey = survey.unwrap().unwrap();
        assert_eq!(Survey { files: vec![], ..survey }, Survey::of(set));
    }
    set
}

#[test]
fn every_layout_gives_the_same_images() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_labels(at);
    // (image, channel, row, column)
    let value = |n: usize, c: usize, y: usize, x: usize| (n * 100 + c * 20 + y * 5 + x) as u8;
    let indices =
        |c| (0..2).flat_map(move |n| (0..c).flat_map(move |c| (0..6).map(move |i| (n, c, i / 3, i % 3))));
    let nchw: Vec<u8> = indices(2).map(|(n, c, y, x)| value(n, c, y, x)).collect();
    save(at, "x.npy", &[2, 2, 2, 3], &nchw);
    let set = load(&settings(at, "nchw", 2, "")).unwrap();
    assert_eq!(set.train.pixels.in_memory().unwrap(), nchw);
    let nhwc: Vec<u8> = (0..24).map(|i| value(i / 12, i % 2, i / 6 % 2, i / 2 % 3)).collect();
    save(at, "x.npy", &[2, 2, 3, 2], &nhwc);
    assert_eq!(load(&settings(at, "nhwc", 2, "")).unwrap(), set);
    save(at, "x.npy", &[2, 2, 3], &nchw[..12]);
    assert_eq!(load(&settings(at, "nhw", 1, "")).unwrap().train.pixels.in_memory().unwrap(), &nchw[..12]);
    let [class, size] = &set.train.labels[..] else { panic!("two labels") };
    assert_eq!((class.name.as_str(), &class.labels[..], class.values.len()), ("class", &[2, 0][..], 3));
    assert_eq!((size.name.as_str(), &size.labels[..]), ("size", &[0, 1][..]));
}

#[test]
fn floating_point_values_become_bytes_within_the_stated_range() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_labels(at);
    let mut values = vec![0.0f32; 12];
    values[..4].copy_from_slice(&[1.0, 0.5, 0.002, 0.25]);
    save(at, "x.npy", &[2, 2, 3], &values);
    let unit = settings(at, "nhw", 1, ", range: unit");
    assert_eq!(load(&unit).unwrap().train.pixels.in_memory().unwrap()[..4], [255, 128, 1, 64]);
    assert!(load(&settings(at, "nhw", 1, "")).unwrap_err().0.contains("dataset.range=unit"));
    values[7] = -0.1;
    save(at, "x.npy", &[2, 2, 3], &values);
    let error = load(&unit).unwrap_err().0;
    assert!(error.contains("x.npy") && error.contains("a value of image 1 is -0.1"), "{error}");
    values[7] = f32::NAN;
    save(at, "x.npy", &[2, 2, 3], &values);
    assert!(load(&unit).unwrap_err().0.contains("image 1 is NaN"));
    let values: Vec<f64> = (0..12).map(|v| f64::from(v) * 20.0).collect();
    save(at, "x.npy", &[2, 2, 3], &values);
    assert_eq!(
        load(&settings(at, "nhw", 1, ", range: byte")).unwrap().train.pixels.in_memory().unwrap()[11],
        220
    );
    save(at, "x.npy", &[2, 2, 3], &[0u8; 12]);
    assert!(load(&unit).unwrap_err().0.contains("`range` is left out"));
    save(at, "x.npy", &[2, 2, 3], &[0i32; 12]);
    assert!(load(&settings(at, "nhw", 1, "")).unwrap_err().0.contains("has values of type `<i4`"));
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_labels(at);
    let error = || {
        let error = load(&settings(at, "nhw", 1, "")).unwrap_err().0;
        assert!(error.contains(".npy`"), "{error}");
        error
    };
    assert!(error().contains("cannot be read"));
    save(at, "x.npy", &[2, 3, 2], &[0u8; 12]);
    assert!(
        error().contains("shape [2, 3, 2]; `layout: nhw` with 1 channels, 2 rows and 3 columns is (n, 2, 3)")
    );
    save(at, "x.npy", &[2, 2, 3], &[0u8; 12]);
    let whole = fs::read(at.join("x.npy")).unwrap();
    fs::write(at.join("x.npy"), &whole[..whole.len() - 1]).unwrap();
    assert!(error().contains("it is cut off"));
    fs::write(at.join("x.npy"), [&whole[..], &[0]].concat()).unwrap();
    assert!(error().contains("damaged"));
    fs::write(at.join("x.npy"), &whole[1..]).unwrap();
    assert!(error().contains("is not an array as `numpy.save` writes it"));
    fs::write(at.join("x.npy"), &whole).unwrap();
    save(at, "y.npy", &[3], &[0i64, 1, 2]);
    assert!(error().contains("labels of 2 images are (2,)"));
    save(at, "y.npy", &[2], &[0i32, -1]);
    assert!(error().contains("label 1 is -1"));
    save(at, "y.npy", &[2], &[0.0f32, 1.0]);
    assert!(error().contains("labels are whole numbers"));
    save(at, "y.npy", &[2], &[0u16, 3]);
    let named = settings(at, "nhw", 1, ", values: { class: [a, b] }");
    assert!(load(&named).unwrap_err().0.contains("label 1 is 3, but `values` names 2 values of `class`"));
}

#[test]
fn arrays_in_fortran_order_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_labels(folder.path());
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(&[2, 2, 3]).order(npyz::Order::Fortran);
    let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
    writer.extend([0u8; 12]).unwrap();
    writer.finish().unwrap();
    fs::write(folder.path().join("x.npy"), bytes).unwrap();
    let error = load(&settings(folder.path(), "nhw", 1, "")).unwrap_err().0;
    assert!(error.contains("numpy.ascontiguousarray"), "{error}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let problems = |layout, channels, more| settings(folder.path(), layout, channels, more).check().len();
    assert_eq!(problems("nhw", 3, ""), 1);
    assert_eq!(problems("nhwc", 3, ", test: t.npy"), 1, "labels of training images only");
    assert_eq!(problems("nhwc", 3, ", test_labels: { class: t.npy }"), 1);
    assert_eq!(problems("nhwc", 3, ", values: { colour: [red] }"), 1);
}
