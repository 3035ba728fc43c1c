//! Files from the network: resumed, checked, and visible only when complete.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use ijepa_registry::kinds::DataError;
use md5::Md5;
use sha2::{Digest, Sha256};

/// Told what is being done and how far it is: (what, done, total or 0 if unknown).
type Progress<'a> = &'a (dyn Fn(&str, u64, u64) + Sync);

/// A checksum as the publisher states it, lower-case hexadecimal.
#[derive(Clone, Copy)]
pub(crate) enum Checksum<'a> {
    Sha256(&'a str),
    Md5(&'a str),
}

impl Checksum<'_> {
    fn name(self) -> &'static str {
        match self {
            Checksum::Sha256(_) => "SHA-256",
            Checksum::Md5(_) => "MD5",
        }
    }

    fn expected(&self) -> &str {
        let (Checksum::Sha256(text) | Checksum::Md5(text)) = self;
        text
    }

    fn of(self, path: &Path) -> io::Result<String> {
        match self {
            Checksum::Sha256(_) => hash::<Sha256>(path),
            Checksum::Md5(_) => hash::<Md5>(path),
        }
    }
}

/// A file in the network.
#[derive(Clone, Copy)]
pub(crate) struct Remote<'a> {
    /// Where it is.
    pub url: &'a str,
    /// That of the whole file.
    pub checksum: Checksum<'a>,
    /// Bytes of the whole file: more are not written.
    pub length: u64,
}

impl Remote<'_> {
    /// Its name, the last part of its address.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(self.url)
    }
}

/// One file to fetch. Until it is complete and its checksum is right it is called `TO.part`.
pub(crate) struct Download<'a> {
    /// What is fetched.
    pub remote: Remote<'a>,
    /// Where it goes.
    pub to: &'a Path,
}

impl Download<'_> {
    /// Fetches what is missing, checks the whole file, and moves it into place.
    pub fn run(&self, progress: Progress) -> Result<(), DataError> {
        let part = self.part();
        let mut response = self.request(length(&part))?;
        let status = response.status().as_u16();
        match status {
            // The part already holds everything (or more than there is): the checksum decides.
            416 if length(&part) > 0 => {}
            200 | 206 => {
                let range = response.headers().get("content-range").and_then(|v| v.to_str().ok());
                let start = if status == 206 { range.and_then(range_start) } else { Some(0) };
                let start = start.filter(|&s| s == 0 || s == length(&part)).ok_or_else(|| {
                    DataError(format!(
                        "`{}` answered with a range ({}) that was not asked for; delete `{}` and run again",
                        self.remote.url,
                        range.unwrap_or("no Content-Range header"),
                        part.display()
                    ))
                })?;
                let total = response.body().content_length().map_or(0, |n| n + start);
                self.receive(&mut response.body_mut().as_reader(), start, total, progress)?;
            }
            other => {
                return Err(DataError(format!("`{}` answered with HTTP status {other}", self.remote.url)));
            }
        }
        self.verify()?;
        fs::rename(&part, self.to).map_err(|e| failed("rename", &part, &e))
    }

    fn part(&self) -> PathBuf {
        let mut name = self.to.as_os_str().to_owned();
        name.push(".part");
        name.into()
    }

    fn request(&self, from: u64) -> Result<ureq::http::Response<ureq::Body>, DataError> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut request = agent.get(self.remote.url);
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call().map_err(|e| DataError(format!("`{}` cannot be reached: {e}", self.remote.url)))
    }

    /// Writes the body behind the first `start` bytes of the part.
    fn receive(
        &self,
        body: &mut dyn Read,
        start: u64,
        total: u64,
        progress: Progress,
    ) -> Result<(), DataError> {
        let part = self.part();
        let open = OpenOptions::new().create(true).append(true).open(&part);
        let mut file = open.map_err(|e| failed("write", &part, &e))?;
        // A server that ignores the range sends everything again.
        file.set_len(start).map_err(|e| failed("write", &part, &e))?;
        let (mut done, mut buffer) = (start, vec![0; 1 << 16]);
        let stopped = loop {
            match body.read(&mut buffer) {
                Ok(0) if done < total => break "the connection ended early".to_string(),
                Ok(0) => return file.sync_all().map_err(|e| failed("write", &part, &e)),
                Ok(n) if done + n as u64 > self.remote.length => return Err(self.too_long()),
                Ok(n) => file.write_all(&buffer[..n]).map_err(|e| failed("write", &part, &e))?,
                Err(e) => break e.to_string(),
            }
            done = length(&part);
            progress(&format!("downloading {}", self.remote.url), done, total);
        };
        Err(DataError(format!(
            "download of `{}` stopped after {done} of {total} bytes: {stopped}; run again to resume from `{}`",
            self.remote.url,
            part.display()
        )))
    }

    fn too_long(&self) -> DataError {
        let _ = fs::remove_file(self.part());
        DataError(format!(
            "`{}` sends more than the {} bytes of the expected file; the partial file was deleted",
            self.remote.url, self.remote.length
        ))
    }

    /// A part with a wrong checksum is deleted: resuming it could never succeed.
    fn verify(&self) -> Result<(), DataError> {
        let part = self.part();
        let checksum = self.remote.checksum;
        let found = checksum.of(&part).map_err(|e| failed("read", &part, &e))?;
        if found == checksum.expected() {
            return Ok(());
        }
        let size = length(&part);
        let _ = fs::remove_file(&part);
        Err(DataError(format!(
            "what `{}` sent is not the expected file: {} should be {}, found {found} over {size} bytes; \
             the partial file was deleted, run again to download afresh",
            self.remote.url,
            checksum.name(),
            checksum.expected()
        )))
    }
}

/// Waits until no other process holds `path`, so that two runs do not download into one file.
/// The lock ends when the returned file is dropped.
pub(crate) fn exclusive(path: &Path) -> Result<File, DataError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| failed("create", folder, &e))?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(|e| failed("write", path, &e))?;
    match file.lock() {
        Err(e) if e.kind() != io::ErrorKind::Unsupported => Err(failed("lock", path, &e)),
        _ => Ok(file),
    }
}

/// Takes the files called `names` out of a gzipped tar, wherever they are in it, and moves them
/// into `folder` once all are complete. Paths, links and other entries of the archive are ignored.
pub(crate) fn unpack_files(archive: &Path, names: &[&str], folder: &Path) -> Result<(), DataError> {
    fs::create_dir_all(folder).map_err(|e| failed("create", folder, &e))?;
    let staging = tempfile::tempdir_in(folder).map_err(|e| failed("write", folder, &e))?;
    let unreadable = |e: io::Error| failed("unpack", archive, &e);
    let file = File::open(archive).map_err(unreadable)?;
    let mut found = Vec::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(file)).entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let name = names.iter().find(|n| path.file_name().is_some_and(|f| f == **n));
        if let (true, Some(name)) = (entry.header().entry_type().is_file(), name) {
            let copy =
                File::create(staging.path().join(name)).and_then(|mut to| io::copy(&mut entry, &mut to));
            copy.map_err(unreadable)?;
            found.push(*name);
        }
    }
    if let Some(missing) = names.iter().find(|n| !found.contains(n)) {
        return Err(DataError(format!("`{}` holds no file called {missing}", archive.display())));
    }
    names.iter().try_for_each(|name| {
        fs::rename(staging.path().join(name), folder.join(name)).map_err(|e| failed("write", folder, &e))
    })
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> DataError {
    DataError(format!("cannot {verb} `{}`: {error}", path.display()))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// First byte of `bytes FIRST-LAST/TOTAL`.
fn range_start(header: &str) -> Option<u64> {
    header.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn hash<H: Digest>(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, H::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::{net::TcpListener, thread::JoinHandle};

    /// Answers one connection per response on 127.0.0.1, then ends with the requests it saw.
    pub fn serve(responses: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let answer = move |response: Vec<u8>| {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = vec![];
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                connection.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            // A client that has enough hangs up: how much it took is what is judged.
            let _ = connection.write_all(&response);
            String::from_utf8(request).unwrap().to_lowercase()
        };
        (url, std::thread::spawn(move || responses.into_iter().map(answer).collect()))
    }

    pub fn response(status: &str, headers: &str, length: usize, body: &[u8]) -> Vec<u8> {
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    pub fn sha256(data: &[u8]) -> String {
        Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect()
    }

    const BODY: &[u8] = b"one hundred and seventy megabytes";

    /// Fetches BODY from a scripted server; returns the outcome, the requests and the folder.
    fn fetch(
        part: Option<&[u8]>,
        responses: Vec<Vec<u8>>,
    ) -> (Result<(), String>, Vec<String>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("file");
        part.inspect(|bytes| fs::write(folder.path().join("file.part"), bytes).unwrap());
        let (url, server) = serve(responses);
        let sha256 = sha256(BODY);
        let remote = Remote { url: &url, checksum: Checksum::Sha256(&sha256), length: BODY.len() as u64 };
        let outcome = Download { remote, to: &to }.run(&|_, _, _| {});
        (outcome.map_err(|e| e.0), server.join().unwrap(), folder)
    }

    fn content(folder: &tempfile::TempDir, name: &str) -> Option<Vec<u8>> {
        fs::read(folder.path().join(name)).ok()
    }

    #[test]
    fn a_whole_file_arrives_and_the_part_is_gone() {
        let (outcome, requests, folder) = fetch(None, vec![response("200 OK", "", BODY.len(), BODY)]);
        assert_eq!(outcome, Ok(()));
        assert!(!requests[0].contains("range:"));
        assert_eq!(content(&folder, "file").unwrap(), BODY);
        assert_eq!(content(&folder, "file.part"), None);
    }

    #[test]
    fn a_part_is_resumed() {
        let range = format!("content-range: bytes 10-{}/{}\r\n", BODY.len() - 1, BODY.len());
        let rest = response("206 Partial Content", &range, BODY.len() - 10, &BODY[10..]);
        let (outcome, requests, folder) = fetch(Some(&BODY[..10]), vec![rest]);
        assert_eq!(outcome, Ok(()));
        assert!(requests[0].contains("range: bytes=10-"), "{}", requests[0]);
        assert_eq!(content(&folder, "file").unwrap(), BODY);
    }

    #[test]
    fn a_server_without_ranges_or_a_complete_part_works_too() {
        let whole = response("200 OK", "", BODY.len(), BODY);
        assert_eq!(content(&fetch(Some(b"old rubbish"), vec![whole]).2, "file").unwrap(), BODY);
        let satisfied = response("416 Range Not Satisfiable", "", 0, b"");
        assert_eq!(content(&fetch(Some(BODY), vec![satisfied]).2, "file").unwrap(), BODY);
    }

    #[test]
    fn a_wrong_range_is_refused() {
        let wrong = response("206 Partial Content", "content-range: bytes 3-9/33\r\n", 7, b"1234567");
        let error = fetch(Some(&BODY[..10]), vec![wrong]).0.unwrap_err();
        assert!(error.contains("bytes 3-9/33") && error.contains("delete"), "{error}");
    }

    #[test]
    fn a_cut_connection_keeps_the_part() {
        let (outcome, _, folder) = fetch(None, vec![response("200 OK", "", BODY.len(), &BODY[..12])]);
        let error = outcome.unwrap_err();
        assert!(error.contains("12 of 33 bytes") && error.contains("run again to resume"), "{error}");
        assert_eq!(content(&folder, "file.part").unwrap(), &BODY[..12]);
        assert_eq!(content(&folder, "file"), None);
    }

    #[test]
    fn a_bad_checksum_deletes_the_part() {
        let (outcome, _, folder) = fetch(None, vec![response("200 OK", "", 5, b"other")]);
        let error = outcome.unwrap_err();
        assert!(error.contains(&sha256(BODY)) && error.contains(&sha256(b"other")), "{error}");
        assert_eq!((content(&folder, "file"), content(&folder, "file.part")), (None, None));
    }

    #[test]
    fn md5_is_computed_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        // RFC 1321, appendix A.5.
        fs::write(&file, b"message digest").unwrap();
        let checksum = Checksum::Md5("f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(checksum.of(&file).unwrap(), checksum.expected());
    }

    #[test]
    fn no_more_is_written_than_the_file_is_long() {
        let long = vec![7; 1 << 20];
        let (outcome, _, folder) = fetch(None, vec![response("200 OK", "", long.len(), &long)]);
        assert!(outcome.unwrap_err().contains("more than the 33 bytes"));
        assert_eq!((content(&folder, "file"), content(&folder, "file.part")), (None, None));
    }

    #[test]
    fn refusals_name_the_url_and_the_reason() {
        let error = fetch(None, vec![response("404 Not Found", "", 0, b"")]).0.unwrap_err();
        assert!(error.contains("127.0.0.1") && error.contains("404"), "{error}");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/file");
        let folder = tempfile::tempdir().unwrap();
        let remote = Remote { url: &url, checksum: Checksum::Sha256(""), length: 9 };
        let error = Download { remote, to: &folder.path().join("file") }.run(&|_, _, _| {}).unwrap_err().0;
        assert!(error.contains(&url) && error.contains("cannot be reached"), "{error}");
    }

    /// A gzipped tar of (path, content).
    pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder =
            tar::Builder::new(flate2::write::GzEncoder::new(vec![], flate2::Compression::fast()));
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, *content).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn unpacking_takes_only_what_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.tar.gz"), folder.path().join("out"));
        fs::write(&from, archive(&[("top/a.bin", b"A"), ("top/readme", b"no"), ("b.bin", b"B")])).unwrap();
        unpack_files(&from, &["a.bin", "b.bin"], &to).unwrap();
        assert_eq!(fs::read(to.join("a.bin")).unwrap(), b"A");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 2);
        let error = unpack_files(&from, &["c.bin"], &to).unwrap_err().0;
        assert!(error.contains("a.tar.gz") && error.contains("c.bin"), "{error}");
        fs::write(&from, b"not gzip").unwrap();
        assert!(unpack_files(&from, &["c.bin"], &to).unwrap_err().0.contains("cannot unpack"));
    }
}
