//! A data set as its publisher gives it: found on disk, or fetched where a checksum can be cited.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ijepa_registry::{
    kinds::{DataError, Factor, LoadContext, Survey},
    problem::Problem,
};

use super::download::{Download, Remote, exclusive, unpack_files};

/// Where the files come from.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// A gzipped tar that holds all files.
    Archive(Remote<'a>),
    /// The files one by one.
    Files(&'a [Remote<'a>]),
    /// The publisher states no checksum, so that nothing is fetched: what is to be downloaded.
    ByHand(&'a str),
}

/// A data set in its publisher's files.
#[derive(Clone, Copy)]
pub(crate) struct Published<'a> {
    /// What people call it.
    pub title: &'a str,
    /// The folder that its files usually lie in.
    pub folder: &'a str,
    /// Their names.
    pub files: &'a [&'a str],
    /// Whether a file may be there as NAME.gz instead.
    pub gzipped: bool,
    /// Training and test images of the whole.
    pub counts: (usize, usize),
    pub origin: Origin<'a>,
    /// A file or folder that shows that somebody has another version, and a sentence about it.
    pub other: Option<(&'a str, &'a str)>,
}

/// What the files on disk say without being decoded: training images, test images.
pub(crate) type Known = (usize, usize);

impl Published<'_> {
    /// What is wrong with a path in a file of settings.
    pub fn check(&self, path: &Path) -> Vec<Problem> {
        let empty = path.as_os_str().is_empty();
        let problem = || Problem::new("path", "is empty; must be a folder").help("write `path: data`");
        empty.then(problem).into_iter().collect()
    }

    /// The folder with all files: `path`, or the usual one inside it.
    pub fn find(&self, path: &Path) -> Option<PathBuf> {
        self.candidates(path).into_iter().find(|folder| self.missing(folder).is_empty())
    }

    /// A file of it: as named, or gzipped where that is allowed.
    pub fn file(&self, folder: &Path, name: &str) -> Option<PathBuf> {
        let plain = Some(folder.join(name)).filter(|file| file.is_file());
        let gzipped =
            || Some(folder.join(format!("{name}.gz"))).filter(|file| self.gzipped && file.is_file());
        plain.or_else(gzipped)
    }

    /// What is there, or what a download would bring.
    pub fn survey(
        &self,
        (path, download): (&Path, bool),
        labels: Vec<Factor>,
        count: impl FnOnce(&Path) -> Result<Known, DataError>,
    ) -> Result<Option<Survey>, DataError> {
        let Some(folder) = self.find(path) else {
            let (train, test) = self.counts;
            let official = Survey { train, test, labels, ..Survey::default() };
            return if download && self.can_download() { Ok(Some(official)) } else { Err(self.absent(path)) };
        };
        let files = self.files.iter().filter_map(|name| self.file(&folder, name)).collect();
        let (train, test) = count(&folder)?;
        Ok(Some(Survey { train, test, labels, files, ..Survey::default() }))
    }

    /// The folder with all files, fetched if allowed and needed.
    pub fn obtain(
        &self,
        (path, download): (&Path, bool),
        context: &LoadContext,
    ) -> Result<PathBuf, DataError> {
        if let Some(folder) = self.find(path) {
            return Ok(folder);
        }
        if !download || !self.can_download() {
            return Err(self.absent(path));
        }
        // Another run may download the same data: wait for it, then look again.
        let _lock = exclusive(&path.join(format!(".{}.lock", self.title.to_lowercase())))?;
        if let Some(folder) = self.find(path) {
            return Ok(folder);
        }
        let folder = path.join(self.folder);
        match self.origin {
            Origin::Archive(remote) => self.unpacked(remote, &path.join(remote.name()), &folder, context)?,
            Origin::Files(remotes) => {
                // Those that an earlier download brought are not fetched again.
                let is_absent =
                    |remote: &&Remote| self.file(&folder, remote.name().trim_end_matches(".gz")).is_none();
                for remote in remotes.iter().filter(is_absent) {
                    self.fetched(*remote, &folder.join(remote.name()), context)?;
                }
            }
            Origin::ByHand(_) => return Err(self.absent(path)),
        }
        Ok(folder)
    }

    fn can_download(&self) -> bool {
        !matches!(self.origin, Origin::ByHand(_))
    }

    fn fetched(&self, remote: Remote, to: &Path, context: &LoadContext) -> Result<(), DataError> {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)
                .map_err(|e| DataError(format!("cannot create `{}`: {e}", folder.display())))?;
        }
        let fetched = Download { remote, to }.run(context.progress);
        fetched.map_err(|e| DataError(format!("{e}. {}", self.instructions(to.parent().unwrap_or(to)))))
    }

    fn unpacked(
        &self,
        remote: Remote,
        archive: &Path,
        folder: &Path,
        context: &LoadContext,
    ) -> Result<(), DataError> {
        self.fetched(remote, archive, context)?;
        (context.progress)(&format!("unpacking {}", self.title), 0, 0);
        unpack_files(archive, self.files, folder)?;
        // What is needed has been unpacked; a leftover archive only takes space.
        let _ = fs::remove_file(archive);
        Ok(())
    }

    fn candidates(&self, path: &Path) -> [PathBuf; 2] {
        [path.to_owned(), path.join(self.folder)]
    }

    fn missing(&self, folder: &Path) -> Vec<&str> {
        self.files.iter().copied().filter(|name| self.file(folder, name).is_none()).collect()
    }

    /// What is missing, and what to do.
    pub fn absent(&self, path: &Path) -> DataError {
        DataError(format!("{}. {}", self.what_is_missing(path), self.instructions(path)))
    }

    fn what_is_missing(&self, path: &Path) -> String {
        let (title, shown) = (self.title, path.display());
        if !path.is_dir() {
            return format!("{title}: there is no folder `{shown}`");
        }
        let mut candidates = self.candidates(path).into_iter();
        let partial = candidates.find(|folder| self.missing(folder).len() < self.files.len());
        let other = self.other.filter(|(name, _)| path.join(name).exists());
        match (partial, other) {
            (Some(folder), _) => {
                format!("{title}: `{}` lacks {}", folder.display(), self.missing(&folder).join(", "))
            }
            (None, Some((_, what))) => format!("{title}: `{shown}` {what}"),
            (None, None) => {
                let files = self.files.join(", ");
                format!("{title}: `{shown}` holds neither {files} nor a folder {} with them", self.folder)
            }
        }
    }

    fn instructions(&self, path: &Path) -> String {
        // `path` may name the folder that the archive brings, or the one that it is unpacked in.
        let folder = if path.ends_with(self.folder) { path.to_owned() } else { path.join(self.folder) };
        let folder = folder.display();
        match self.origin {
            Origin::Archive(Remote { url, .. }) => format!(
                "Download {url} and unpack it so that there is `{folder}`, or set `download: true` where there is a network"
            ),
            Origin::Files(remotes) => {
                let urls: Vec<&str> = remotes.iter().map(|remote| remote.url).collect();
                format!(
                    "Download {} into `{folder}`, or set `download: true` where there is a network",
                    urls.join(", ")
                )
            }
            Origin::ByHand(what) => format!(
                "Download {what} and unpack it so that there is `{folder}`; its publisher states no checksum, so that \
                 it is not downloaded for you"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::datasets::shared::{
        Checksum,
        testing::{response, serve, sha256},
    };

    #[test]
    fn files_are_fetched_one_by_one_and_those_that_are_there_are_not_fetched_again() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("raw");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("one.gz"), "there").unwrap();
        let (url, server) = serve(vec![response("200 OK", "", 3, b"two")]);
        let sha256 = sha256(b"two");
        let remote = |url, length| Remote { url, checksum: Checksum::Sha256(&sha256), length };
        let remotes = [remote("http://127.0.0.1:1/one.gz", 5), remote(&url, 3)];
        let published = Published {
            title: "Two",
            folder: "raw",
            files: &["one", "file"],
            gzipped: true,
            counts: (1, 1),
            origin: Origin::Files(&remotes),
            other: None,
        };
        let absent = published.absent(place.path()).0;
        assert!(absent.contains("lacks file") && absent.contains(&url), "{absent}");
        let found = published.obtain((place.path(), true), &LoadContext::silent()).unwrap();
        server.join().unwrap();
        assert_eq!((found, fs::read(folder.join("file")).unwrap()), (folder.clone(), b"two".to_vec()));
        assert_eq!(fs::read(folder.join("one.gz")).unwrap(), b"there");
        let by_hand = Published { origin: Origin::ByHand("the archive"), files: &["three"], ..published };
        let error = by_hand.obtain((place.path(), true), &LoadContext::silent()).unwrap_err().0;
        assert!(error.contains("Download the archive") && error.contains("states no checksum"), "{error}");
    }
}
