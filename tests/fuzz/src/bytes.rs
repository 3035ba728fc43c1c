//! Edits of bytes, as a strategy that can be made smaller.

use proptest::{prelude::*, sample::Index};

/// One change of a file.
#[derive(Clone, Debug)]
pub enum ImageOp {
    /// One bit is turned over.
    Flip(Index, u8),
    /// One byte is another.
    Set(Index, u8),
    /// A run of bytes is one value.
    Fill(Index, u16, u8),
    /// A run of bytes is left out.
    Cut(Index, u16),
    /// Bytes are put in.
    Insert(Index, Vec<u8>),
    /// The rest is left out.
    End(Index),
    /// One part is copied over another.
    Copy(Index, Index, u16),
}

/// One to `most` edits.
pub fn edits(most: usize) -> impl Strategy<Value = Vec<ImageOp>> {
    let place = any::<Index>;
    let one = prop_oneof![
        3 => (place(), 0..8_u8).prop_map(|(a, b)| ImageOp::Flip(a, b)),
        3 => (place(), any::<u8>()).prop_map(|(a, b)| ImageOp::Set(a, b)),
        1 => (place(), 1..600_u16, any::<u8>()).prop_map(|(a, n, b)| ImageOp::Fill(a, n, b)),
        1 => (place(), 1..600_u16).prop_map(|(a, n)| ImageOp::Cut(a, n)),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(a, b)| ImageOp::Insert(a, b)),
        1 => place().prop_map(ImageOp::End),
        1 => (place(), place(), 1..600_u16).prop_map(|(a, b, n)| ImageOp::Copy(a, b, n)),
    ];
    prop::collection::vec(one, 1..=most)
}

/// The bytes after all edits, none of which strikes before `from`.
pub fn apply(mut bytes: Vec<u8>, edits: &[ImageOp], from: usize) -> Vec<u8> {
    for edit in edits {
        if bytes.len() <= from {
            return bytes;
        }
        change(&mut bytes, edit, from);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, edit: &ImageOp, from: usize) {
    let length = bytes.len();
    let place = |i: &Index| from + i.index(length - from);
    let end = |at: usize, n: u16| (at + usize::from(n)).min(length);
    match edit {
        ImageOp::Flip(at, bit) => bytes[place(at)] ^= 1 << bit,
        ImageOp::Set(at, byte) => bytes[place(at)] = *byte,
        ImageOp::Fill(at, n, byte) => {
            let at = place(at);
            bytes[at..end(at, *n)].fill(*byte);
        }
        ImageOp::Cut(at, n) => {
            let at = place(at);
            drop(bytes.drain(at..end(at, *n)));
        }
        ImageOp::Insert(at, more) => {
            let at = place(at);
            drop(bytes.splice(at..at, more.iter().copied()));
        }
        ImageOp::End(at) => bytes.truncate(place(at)),
        ImageOp::Copy(a, b, n) => {
            let (a, b) = (place(a), place(b));
            let n = (end(a, *n) - a).min(length - b);
            bytes.copy_within(a..a + n, b);
        }
    }
}
