//! Experiment files as text: what is no readable text is refused by what is wrong with it.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

/// Bytes of the largest file that a person may have written.
const MOST_BYTES: u64 = 64 << 20;

/// The text of a file, or why there is none; the name of the file is not repeated.
pub(super) fn read_text(file: &Path) -> Result<String, String> {
    let about = |e: &std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => e.to_string(),
    };
    let kind = fs::metadata(file).map_err(|e| about(&e))?.file_type();
    if kind.is_dir() {
        return Err("is a folder; a file is expected".into());
    }
    // A pipe without a writer would wait for ever, and /dev/zero never ends.
    if !kind.is_file() {
        return Err("is no regular file but a pipe or a device; write the text to a file first".into());
    }
    let mut bytes = Vec::new();
    let opened = File::open(file).and_then(|f| f.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    opened.map_err(|e| about(&e))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("is larger than {} MiB: this is no experiment file", MOST_BYTES >> 20));
    }
    decode(bytes)
}

fn decode(bytes: Vec<u8>) -> Result<String, String> {
    let is_wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let has_wide_ascii = matches!(bytes.as_slice(), [0, 1..=127, 0, ..] | [1..=127, 0, 1..=127, 0, ..]);
    if is_wide || has_wide_ascii {
        return Err(
            "is UTF-16 or UTF-32 text; save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`".into(),
        );
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let (before, byte) = (&e.as_bytes()[..valid], e.as_bytes()[valid]);
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        format!(
            "is not UTF-8 text: line {line}, column {column} holds the byte {byte:#04x}; save it as UTF-8, for example with `iconv -f LATIN1 -t UTF-8`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_named() {
        assert_eq!(decode(b"a: 1\n".to_vec()).as_deref(), Ok("a: 1\n"));
        assert!(decode(b"\xff\xfea\0:\0".to_vec()).unwrap_err().contains("UTF-16"));
        assert!(decode(b"a\0:\0 \0".to_vec()).unwrap_err().contains("UTF-16"));
        let latin = decode(b"a: 1\nb: caf\xe9\n".to_vec()).unwrap_err();
        assert!(latin.starts_with("is not UTF-8 text: line 2, column 7 holds the byte 0xe9"), "{latin}");
        let folder = tempfile::tempdir().expect("folder");
        assert!(read_text(folder.path()).unwrap_err().contains("is a folder"));
        assert_eq!(read_text(&folder.path().join("x")).unwrap_err(), "there is no such file");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_not_read() {
        assert!(read_text(Path::new("/dev/zero")).unwrap_err().contains("device"));
    }
}
