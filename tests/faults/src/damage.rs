//! Kinds of damage to one file.

use std::{fs, io, os::unix::fs::symlink, path::Path};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// One bit is turned over.
    Bit,
    /// One byte is another.
    Byte,
    /// One digit is another: the kind of damage that no reader of numbers can see.
    Digit,
    /// A block of up to 512 bytes is zero.
    Zeroed,
    /// The end is missing.
    Truncated,
    /// Nothing is left.
    Emptied,
    /// The file is gone.
    Deleted,
    /// Lines end as on Windows.
    Crlf,
    /// A line is missing.
    LostLine,
    /// A line stands twice.
    DoubledLine,
    /// A comment was put in.
    Comment,
    /// Something was put at the end.
    Appended,
    /// The file of another run.
    Swapped,
    /// A table with other columns.
    Foreign,
    /// A folder has its name.
    Folder,
    /// A link to nowhere has its name.
    DanglingLink,
    /// A named pipe has its name.
    Pipe,
    /// It may not be opened (the shim refuses, so that this works for root too).
    Unreadable,
    /// Opening it is an error of the disk.
    Broken,
}

impl Damage {
    pub const ALL: [Damage; 19] = [
        Damage::Bit,
        Damage::Byte,
        Damage::Digit,
        Damage::Zeroed,
        Damage::Truncated,
        Damage::Emptied,
        Damage::Deleted,
        Damage::Crlf,
        Damage::LostLine,
        Damage::DoubledLine,
        Damage::Comment,
        Damage::Appended,
        Damage::Swapped,
        Damage::Foreign,
        Damage::Folder,
        Damage::DanglingLink,
        Damage::Pipe,
        Damage::Unreadable,
        Damage::Broken,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Damage::Bit => "bit",
            Damage::Byte => "byte",
            Damage::Digit => "digit",
            Damage::Zeroed => "zeroed",
            Damage::Truncated => "truncated",
            Damage::Emptied => "emptied",
            Damage::Deleted => "deleted",
            Damage::Crlf => "crlf",
            Damage::LostLine => "lost-line",
            Damage::DoubledLine => "doubled-line",
            Damage::Comment => "comment",
            Damage::Appended => "appended",
            Damage::Swapped => "swapped",
            Damage::Foreign => "foreign",
            Damage::Folder => "folder",
            Damage::DanglingLink => "dangling-link",
            Damage::Pipe => "pipe",
            Damage::Unreadable => "unreadable",
            Damage::Broken => "broken",
        }
    }

    pub fn of_word(word: &str) -> Option<Damage> {
        Damage::ALL.into_iter().find(|d| d.word() == word)
    }

    /// Whether chance decides where it strikes, so that several seeds are several cases.
    pub fn has_a_place(self) -> bool {
        use Damage::*;
        matches!(self, Bit | Byte | Digit | Zeroed | Truncated | LostLine | DoubledLine | Comment)
    }

    /// The error number with which opening the file fails, if that is the damage.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Damage::Unreadable => Some("13"),
            Damage::Broken => Some("5"),
            _ => None,
        }
    }

    /// Damages the file at `path`; `other` holds the same file of another run. Whether anything changed.
    pub fn strike(self, path: &Path, other: &Path, seed: u64) -> io::Result<bool> {
        match self {
            Damage::Deleted => fs::remove_file(path)?,
            Damage::Folder => fs::remove_file(path).and_then(|()| fs::create_dir(path))?,
            Damage::DanglingLink => fs::remove_file(path).and_then(|()| symlink("nowhere", path))?,
            Damage::Pipe => {
                fs::remove_file(path)?;
                mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
            }
            Damage::Unreadable | Damage::Broken => {}
            Damage::Swapped => {
                // A finished run no longer has what only one under way has.
                let bytes = fs::read(other);
                return bytes.map_or(Ok(false), |bytes| replace(path, &fs::read(path)?, bytes));
            }
            _ => {
                let bytes = fs::read(path)?;
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                return replace(path, &bytes, self.changed(bytes.clone(), &mut random));
            }
        }
        Ok(true)
    }

    fn changed(self, mut bytes: Vec<u8>, random: &mut ChaCha8Rng) -> Vec<u8> {
        if bytes.is_empty() {
            return if self == Damage::Appended { b"x".to_vec() } else { bytes };
        }
        let at = random.random_range(0..bytes.len());
        match self {
            Damage::Bit => bytes[at] ^= 1 << random.random_range(0..8),
            Damage::Byte => bytes[at] = bytes[at].wrapping_add(random.random_range(1..=255)),
            Damage::Digit => change_digit(&mut bytes, random),
            Damage::Zeroed => {
                let end = (at + 512).min(bytes.len());
                bytes[at..end].fill(0);
            }
            Damage::Truncated => bytes.truncate(at),
            Damage::Emptied => bytes.clear(),
            Damage::Foreign => bytes = b"a,b\n1,2\n".to_vec(),
            Damage::Appended => bytes.extend(b"\n1,2,3\n"),
            _ => return self.changed_lines(&bytes, random),
        }
        bytes
    }

    fn changed_lines(self, bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let at = random.random_range(0..lines.len());
        match self {
            Damage::Crlf => {
                for line in lines.iter_mut().filter(|l| l.ends_with(b"\n")) {
                    line.insert(line.len() - 1, b'\r');
                }
            }
            Damage::LostLine => drop(lines.remove(at)),
            Damage::DoubledLine => lines.insert(at, lines[at].clone()),
            Damage::Comment => lines.insert(at, b"# looked at this\n".to_vec()),
            _ => {}
        }
        lines.concat()
    }
}

/// Another digit for one of the digits, if there is any.
fn change_digit(bytes: &mut [u8], random: &mut ChaCha8Rng) {
    let digits: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i].is_ascii_digit()).collect();
    if let Some(at) = (!digits.is_empty()).then(|| digits[random.random_range(0..digits.len())]) {
        bytes[at] = b'0' + (bytes[at] - b'0' + random.random_range(1..10)) % 10;
    }
}

fn replace(path: &Path, before: &[u8], bytes: Vec<u8>) -> io::Result<bool> {
    fs::write(path, &bytes)?;
    Ok(bytes != before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damage_changes_a_table_and_is_repeatable() {
        for damage in Damage::ALL.into_iter().filter(|d| d.refusal().is_none()) {
            let folder = tempfile::tempdir().unwrap();
            let (path, other) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
            let strike = || {
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
                fs::write(&path, "step,loss\n1,0.5\n2,0.25\n").unwrap();
                fs::write(&other, "step,loss\n1,0.4\n").unwrap();
                (damage.strike(&path, &other, 7).unwrap(), path.is_file().then(|| fs::read(&path).ok()))
            };
            let once = strike();
            // Reading a pipe would wait for a writer: it is no regular file, so nothing is read.
            assert!(once.0 && once == strike(), "{}", damage.word());
        }
    }
}
