//! JPEG and PNG files of an image folder.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use ijepa_registry::{image::ImageSet, kinds::LoadContext};
use ijepa_run::config::Experiment;
use image::{ImageFormat, Rgb, RgbImage};
use proptest::{prelude::*, sample::Index};

use super::{bytes, experiment::tiny, trial};

/// What is done to an image.
#[derive(Clone, Debug)]
enum Attack {
    /// Anywhere in the file; checksums of a PNG are put right again, or nothing behind them would be reached.
    Bytes(Vec<bytes::ImageOp>),
    /// The end is missing, as after a broken download.
    End(Index),
}

/// Attacks one image of four.
pub fn fuzz(cases: u32, seed: u64) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let root = folder.path();
    for (split, class) in [("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")] {
        fs::create_dir_all(root.join(split).join(class)).map_err(|e| e.to_string())?;
        write(&root.join(split).join(class).join("0.png"), &picture(9, 9, 3, ImageFormat::Png))?;
    }
    let dataset = format!("{{ kind: image_folder, path: {}, image_size: 8 }}", root.display());
    let experiment = tiny(&dataset, 4, 1, &[])?;
    let format = proptest::sample::select(vec![ImageFormat::Png, ImageFormat::Jpeg]);
    let attack =
        prop_oneof![3 => bytes::edits(4).prop_map(Attack::Bytes), 1 => any::<Index>().prop_map(Attack::End)];
    let strategy = (8..40_u32, 8..40_u32, any::<u8>(), format, attack);
    let target = root.join("train/a");
    trial::run(cases, seed, &strategy, |(width, height, look, format, attack)| {
        attacked(&experiment, &target, &picture(width, height, look, format), format, &attack)
    })
}

fn attacked(
    experiment: &Experiment,
    folder: &Path,
    right: &[u8],
    format: ImageFormat,
    attack: &Attack,
) -> Result<(), String> {
    let path: PathBuf = folder.join(if format == ImageFormat::Png { "1.png" } else { "1.jpg" });
    let result = (|| {
        write(&path, right)?;
        let whole = load(experiment).map_err(|e| format!("a right image is refused: {e}"))?;
        let wrong = match attack {
            Attack::End(at) => right[..at.index(right.len())].to_vec(),
            Attack::Bytes(edits) if format == ImageFormat::Png => {
                checked(bytes::apply(right.to_vec(), edits, 8))
            }
            Attack::Bytes(edits) => bytes::apply(right.to_vec(), edits, 2),
        };
        write(&path, &wrong)?;
        match load(experiment) {
            Err(message) if !message.contains("train/a/1.") => Err(format!("no file is named: {message}")),
            Err(_) => Ok(()),
            Ok(set)
                if matches!(attack, Attack::End(_))
                    && set.train.pixels.in_memory() != whole.train.pixels.in_memory() =>
            {
                Err(format!("an image cut to {} of {} bytes is accepted", wrong.len(), right.len()))
            }
            Ok(set) if set.count(&set.train) != 3 => Err("pixels are missing".into()),
            Ok(_) => {
                trial::accept();
                Ok(())
            }
        }
    })();
    let _ = fs::remove_file(&path);
    result
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| e.to_string())
}

fn load(experiment: &Experiment) -> Result<ImageSet, String> {
    experiment.dataset.object.load(&LoadContext::silent()).map_err(|e| e.to_string())
}

/// A coloured pattern.
fn picture(width: u32, height: u32, look: u8, format: ImageFormat) -> Vec<u8> {
    let colour = |x: u32, y: u32| {
        let mixed = x.wrapping_mul(37) ^ y.wrapping_mul(u32::from(look) + 11);
        Rgb([mixed as u8, (mixed >> 1) as u8, look.wrapping_add(x as u8)])
    };
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(width, height, colour).write_to(&mut bytes, format).expect("memory");
    bytes.into_inner()
}

/// A PNG whose chunks have the right checksums, as far as they can be followed.
fn checked(mut file: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while at + 12 <= file.len() {
        let length = u32::from_be_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]) as usize;
        let Some(end) = (at + 8).checked_add(length).filter(|end| end + 4 <= file.len()) else { break };
        let mut sum = flate2::Crc::new();
        sum.update(&file[at + 4..end]);
        file[end..end + 4].copy_from_slice(&sum.sum().to_be_bytes());
        at = end + 4;
    }
    file
}
