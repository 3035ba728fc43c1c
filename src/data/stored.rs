//! Images that do not fit the memory: decoded and resized once into a file, read from there one at a time.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use ijepa_registry::{
    image::{ImageStore, Pixels, Split},
    kinds::{DataError, LoadContext},
};

use super::{
    file_state::{FileState, user_folder},
    folder::Item,
    regular::regular_file,
    split::{CHANNELS, decode_bytes, decoded, labelled},
};

/// Images decoded before they are written: they are in memory all at once.
const CHUNK: usize = 1024;

/// Files that changed so shortly ago may change again without a trace.
const YOUNG: Duration = Duration::from_secs(2);

/// Where decoded images are kept.
pub(crate) struct Room<'a> {
    /// Bytes of images that may be in memory.
    pub memory: u64,
    /// Folder of the file for more; none: that of the user.
    pub cache: Option<&'a Path>,
}

impl Room<'_> {
    fn folder(&self) -> Result<PathBuf, DataError> {
        let message = "there is no folder for decoded images (`HOME` is not set); set `dataset.cache`";
        let folder = self.cache.map(Path::to_owned).or_else(|| user_folder("images"));
        folder.ok_or_else(|| DataError(message.into()))
    }
}

/// Bytes of so many images of `size` x `size` pixels.
pub(crate) fn bytes_of(images: usize, size: usize) -> u64 {
    images as u64 * (CHANNELS * size * size) as u64
}

/// Both splits, decoded to squares of `size` pixels and labelled by their place among `classes`: in memory if they
/// fit, else in a file that the next run finds again. `what` the images are stands beside the progress.
pub(crate) fn decoded_within(
    room: &Room,
    splits: [(&str, &[Item]); 2],
    classes: &[String],
    size: usize,
    context: &LoadContext,
) -> Result<[Split; 2], DataError> {
    let [(train, of_train), (test, of_test)] = splits;
    let count = of_train.len() + of_test.len();
    if bytes_of(count, size) <= room.memory {
        let [train, test] = splits.map(|(what, items)| decoded(what, items, classes, size, context));
        return Ok([train?, test?]);
    }
    let all: Vec<&Item> = of_train.iter().chain(of_test).collect();
    let file = Arc::new(Mutex::new(stored(room, &all, size, &format!("{train} and {test}"), context)?));
    let place: Arc<str> = room.folder()?.to_string_lossy().into();
    let split = |first: usize, items: &[Item]| {
        let part = Stored { file: Arc::clone(&file), place: Arc::clone(&place), first, count: items.len() };
        let pixels = if items.is_empty() { Pixels::default() } else { Pixels::Store(Arc::new(part)) };
        Split::new(pixels, labelled(items, classes))
    };
    Ok([split(0, of_train), split(of_train.len(), of_test)])
}

/// Some images, one after the other in a file.
#[derive(Debug)]
struct Stored {
    file: Arc<Mutex<File>>,
    /// Where it is, for people.
    place: Arc<str>,
    first: usize,
    count: usize,
}

impl ImageStore for Stored {
    fn count(&self) -> usize {
        self.count
    }
    fn read(&self, i: usize, out: &mut [u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let start = file.seek(SeekFrom::Start(((self.first + i) * out.len()) as u64));
        let read = start.and_then(|_| file.read_exact(out));
        read.map_err(|e| io::Error::new(e.kind(), format!("decoded images in {}: {e}", self.place)))
    }
}

/// The file with the decoded images, as it was left, or made.
fn stored(
    room: &Room,
    items: &[&Item],
    size: usize,
    what: &str,
    context: &LoadContext,
) -> Result<File, DataError> {
    let folder = room.folder()?;
    let place = place(&folder, items, size);
    let length = bytes_of(items.len(), size);
    if let Some(file) = place.as_ref().and_then(|place| regular_file(place).ok())
        && file.metadata().is_ok_and(|meta| meta.len() == length)
    {
        return Ok(file);
    }
    let failed = |e: io::Error| {
        let mib = length.div_ceil(1 << 20);
        DataError(format!(
            "`{}`: cannot keep decoded images there, {mib} MiB: {e}; set `dataset.cache` to a folder with room, or raise \
             `dataset.memory`",
            folder.display()
        ))
    };
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
    let done =
        |count: usize| (context.progress)(&format!("decoding {what}"), count as u64, items.len() as u64);
    for (i, chunk) in items.chunks(CHUNK).enumerate() {
        done(i * CHUNK);
        file.write_all(&decode_bytes(chunk, size)?).map_err(failed)?;
    }
    done(items.len());
    file.as_file().sync_all().map_err(failed)?;
    // Without a name it is gone when the run ends.
    match place {
        Some(place) => file.persist(place).map_err(|e| failed(e.error)),
        None => Ok(file.into_file()),
    }
}

/// Where the decoded images of these files are found again; none if it cannot be told whether the files change.
fn place(folder: &Path, items: &[&Item], size: usize) -> Option<PathBuf> {
    let mut hasher = blake3::Hasher::new();
    // Another version may decode otherwise.
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes()).update(&(size as u64).to_le_bytes());
    let mut newest = SystemTime::UNIX_EPOCH;
    for item in items {
        let state = FileState::of(&item.file).ok()?;
        newest = newest.max(state.newest);
        hasher.update(item.file.as_os_str().as_encoded_bytes()).update(b"\0");
        state.numbers.iter().for_each(|n| {
            hasher.update(&n.to_le_bytes());
        });
    }
    let name = format!("{}.rgb", &hasher.finalize().to_hex()[..32]);
    (newest + YOUNG <= SystemTime::now()).then(|| folder.join(name))
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    fn items(folder: &Path, count: u8) -> Vec<Item> {
        let item = |i: u8| {
            let file = folder.join(format!("{i}.png"));
            RgbImage::from_fn(9, 9, |x, y| image::Rgb([i * 20, (x * 9) as u8, (y * 9) as u8]))
                .save(&file)
                .unwrap();
            fs::File::options()
                .write(true)
                .open(&file)
                .unwrap()
                .set_modified(SystemTime::UNIX_EPOCH)
                .unwrap();
            Item { file, class: Some(if i.is_multiple_of(2) { "a" } else { "b" }.into()) }
        };
        (0..count).map(item).collect()
    }

    #[test]
    fn images_from_the_file_are_those_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, items) = (folder.path().join("cache"), items(folder.path(), 7));
        let (train, test) = items.split_at(4);
        let classes = ["a".to_owned(), "b".to_owned()];
        let load = |memory| {
            let room = Room { memory, cache: Some(&cache) };
            let splits = [("training images", train), ("test images", test)];
            let [train, test] = decoded_within(&room, splits, &classes, 6, &LoadContext::silent()).unwrap();
            let shape = ijepa_registry::image::ImageShape { channels: 3, height: 6, width: 6 };
            ijepa_registry::image::ImageSet::new(shape, train, test)
        };
        let whole = load(bytes_of(7, 6));
        assert!(whole.train.pixels.in_memory().is_some() && !cache.exists());
        let stored = load(bytes_of(7, 6) - 1);
        assert!(stored.train.pixels.in_memory().is_none());
        assert_eq!(stored, whole);
        assert_eq!(crate::data::Fingerprint::of(&stored), crate::data::Fingerprint::of(&whole));
        // Held out images are picked from the file too.
        assert_eq!(crate::data::hold_out(stored, 2), crate::data::hold_out(whole, 2));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_found_again_until_an_image_changes() {
        let folder = tempfile::tempdir().unwrap();
        let items = items(folder.path(), 3);
        let all: Vec<&Item> = items.iter().collect();
        // The time of change cannot be set: wait until nothing is young.
        std::thread::sleep(Duration::from_secs(4));
        let before = place(folder.path(), &all, 6).unwrap();
        assert_eq!(place(folder.path(), &all, 6), Some(before.clone()));
        assert_ne!(place(folder.path(), &all, 7), Some(before.clone()));
        let cache = folder.path().join("cache");
        let room = Room { memory: 0, cache: Some(&cache) };
        let read = || {
            let mut bytes = Vec::new();
            let mut file = stored(&room, &all, 6, "images", &LoadContext::silent()).unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let bytes = read();
        let kept = || fs::read_dir(&cache).unwrap().count();
        assert_eq!((read(), kept()), (bytes, 1));
        fs::write(&items[0].file, fs::read(&items[1].file).unwrap()).unwrap();
        assert_eq!(place(folder.path(), &all, 6), None, "too young to tell");
        let changed = read();
        assert_eq!((&changed[..108], kept()), (&changed[108..216], 1));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let items = items(folder.path(), 2);
        let file = folder.path().join("0.png");
        let room = Room { memory: 0, cache: Some(&file) };
        let all: Vec<&Item> = items.iter().collect();
        let error = stored(&room, &all, 6, "images", &LoadContext::silent()).unwrap_err().0;
        assert!(error.contains("0.png") && error.contains("dataset.cache"), "{error}");
    }
}
