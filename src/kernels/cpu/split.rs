//! How work is divided: by size only, never by the number of threads.
//!
//! The same batch is always cut at the same places and partial sums are always added in the same
//! order, so results do not depend, to the last bit, on how many threads share the work.

use std::ops::Range;
use std::sync::Arc;

use ijepa_registry::tensor::Segments;

/// Tokens that one task handles at a time: enough to amortise streaming the weights from the
/// third-level cache, few enough for the activations to stay in the second-level one.
pub const GROUP_TOKENS: usize = 256;

/// Most partial sums of a weight gradient, hence most threads that share a backward pass.
const MAX_LANES: usize = 16;

/// Fewest tokens worth a partial sum of their own: the sums are as large as the weights.
const LANE_TOKENS: usize = 1024;

/// One sequence: its tokens (keys, values) and its output rows (queries).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Tokens, counted from the start of the group.
    pub tokens: Range<usize>,
    /// Output rows, counted from the start of the group.
    pub rows: Range<usize>,
}

/// Whole sequences that one task handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Tokens of the batch.
    pub tokens: Range<usize>,
    /// Output rows of the batch.
    pub rows: Range<usize>,
    /// The sequences, in order.
    pub sequences: Vec<Sequence>,
    /// For each output row its token, counted from the start of the group; none if rows are tokens.
    pub kept: Option<Arc<[usize]>>,
}

impl Group {
    /// The same tokens with every token an output row: what all blocks but the last compute.
    pub fn complete(&self) -> Group {
        let every = |s: &Sequence| Sequence { tokens: s.tokens.clone(), rows: s.tokens.clone() };
        Group {
            tokens: self.tokens.clone(),
            rows: self.tokens.clone(),
            sequences: self.sequences.iter().map(every).collect(),
            kept: None,
        }
    }
}

/// Cuts a packed batch into groups of about [`GROUP_TOKENS`] tokens at sequence boundaries.
///
/// The groups are about equal, and as many as share evenly among the [`lanes`].
/// `keep` lists, sorted, the tokens that are output rows; without it all are.
pub fn groups(segments: &Segments, keep: Option<&[u32]>) -> Vec<Group> {
    let total = segments.rows();
    let fewest = total.div_ceil(GROUP_TOKENS);
    let count = fewest.next_multiple_of(lanes(total, fewest).max(1));
    let mut groups = Vec::new();
    let mut first = 0;
    for i in 1..=count {
        let end = if i == count { segments.len() } else { nearest_start(segments, i * total / count) };
        if end > first {
            groups.push(group(segments, keep, first..end));
            first = end;
        }
    }
    groups
}

/// Cuts paired segments into groups of about [`GROUP_TOKENS`] rows on the longer side: `queries` are the output
/// rows, `keys` the tokens.
pub fn paired_groups(queries: &Segments, keys: &Segments) -> Vec<Group> {
    let (mut groups, mut first) = (Vec::new(), 0);
    for end in 1..=keys.len() {
        let rows = |s: &Segments| s.starts()[end] - s.starts()[first];
        if end == keys.len() || rows(queries).max(rows(keys)) >= GROUP_TOKENS {
            groups.push(paired_group(queries, keys, first..end));
            first = end;
        }
    }
    groups
}

fn paired_group(queries: &Segments, keys: &Segments, sequences: Range<usize>) -> Group {
    let (first, last) = (sequences.start, sequences.end);
    let [rows, tokens] = [queries, keys].map(|s| s.starts()[first]..s.starts()[last]);
    let within = |s: Range<usize>, start: usize| s.start - start..s.end - start;
    let sequence = |i: usize| Sequence {
        tokens: within(keys.range(i), tokens.start),
        rows: within(queries.range(i), rows.start),
    };
    Group { sequences: sequences.map(sequence).collect(), tokens, rows, kept: None }
}

/// The sequence whose start is nearest to `token`.
fn nearest_start(segments: &Segments, token: usize) -> usize {
    let starts = segments.starts();
    let after = starts.partition_point(|s| *s < token);
    if after > 0 && token - starts[after - 1] < starts[after] - token { after - 1 } else { after }
}

/// The group of some of the sequences.
fn group(segments: &Segments, keep: Option<&[u32]>, sequences: Range<usize>) -> Group {
    let rows_before = |token: usize| match keep {
        Some(keep) => keep.partition_point(|k| (*k as usize) < token),
        None => token,
    };
    let start = segments.range(sequences.start).start;
    let tokens = start..segments.range(sequences.end - 1).end;
    let rows = rows_before(tokens.start)..rows_before(tokens.end);
    let sequence = |i: usize| {
        let s = segments.range(i);
        Sequence {
            tokens: s.start - start..s.end - start,
            rows: rows_before(s.start) - rows.start..rows_before(s.end) - rows.start,
        }
    };
    let kept = keep.map(|k| k[rows.clone()].iter().map(|t| *t as usize - start).collect());
    Group { sequences: sequences.map(sequence).collect(), tokens, rows, kept }
}

/// Number of partial sums for the weight gradients of `tokens` tokens in `groups` groups; each gets one.
///
/// Two already where each has a full group, so that a small batch does not leave one of two threads idle.
pub fn lanes(tokens: usize, groups: usize) -> usize {
    let fewest = if tokens >= 2 * GROUP_TOKENS { 2 } else { 1 };
    let wanted = (tokens / LANE_TOKENS).clamp(fewest, MAX_LANES);
    // The largest power of two that is not above `wanted`.
    (1 << wanted.ilog2()).min(groups)
}

/// Divides `items` into `parts` runs whose lengths differ by at most one.
pub fn runs<T>(items: Vec<T>, parts: usize) -> Vec<Vec<T>> {
    let total = items.len();
    let mut items = items.into_iter();
    (0..parts).map(|p| items.by_ref().take((p + 1) * total / parts - p * total / parts).collect()).collect()
}

/// Cuts `values` into consecutive slices of the given lengths.
pub fn slices(mut values: &mut [f32], lengths: impl Iterator<Item = usize>) -> Vec<&mut [f32]> {
    lengths
        .map(|n| {
            let (head, tail) = std::mem::take(&mut values).split_at_mut(n);
            values = tail;
            head
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_follow_sequences() {
        let segments = Segments::from_lengths([100, 100, 100, 700, 1]);
        let groups = groups(&segments, Some(&[0, 150, 199, 299, 1000]));
        let tokens: Vec<_> = groups.iter().map(|g| g.tokens.clone()).collect();
        assert_eq!(tokens, [0..300, 300..1000, 1000..1001]);
        let rows: Vec<_> = groups.iter().map(|g| g.rows.clone()).collect();
        assert_eq!(rows, [0..4, 4..4, 4..5]);
        assert_eq!(groups[0].sequences[1], Sequence { tokens: 100..200, rows: 1..3 });
        assert_eq!(groups[0].kept.as_deref(), Some(&[0, 150, 199, 299][..]));
    }

    #[test]
    fn paired_groups_follow_both_sides() {
        let (queries, keys) =
            (Segments::from_lengths([3, 0, 300, 2]), Segments::from_lengths([10, 20, 5, 7]));
        let groups = paired_groups(&queries, &keys);
        assert_eq!(groups.iter().map(|g| g.rows.clone()).collect::<Vec<_>>(), [0..303, 303..305]);
        assert_eq!(groups.iter().map(|g| g.tokens.clone()).collect::<Vec<_>>(), [0..35, 35..42]);
        assert_eq!(groups[0].sequences[2], Sequence { tokens: 30..35, rows: 3..303 });
        assert_eq!(groups[1].sequences, [Sequence { tokens: 0..7, rows: 0..2 }]);
        assert!(super::paired_groups(&Segments::from_lengths([]), &Segments::from_lengths([])).is_empty());
    }

    #[test]
    fn groups_are_about_equal_and_share_evenly_among_lanes() {
        for (images, length) in [(64, 12), (64, 23), (256, 37), (64, 64), (1, 1)] {
            let groups = groups(&Segments::from_lengths(vec![length; images]), None);
            let tokens = || groups.iter().map(|g| g.tokens.len());
            let (least, most) = (tokens().min().unwrap(), tokens().max().unwrap());
            assert!(most - least <= 2 * length && most <= GROUP_TOKENS + length, "{least} to {most}");
            assert!(groups.len().is_multiple_of(lanes(images * length, groups.len())), "{}", groups.len());
            assert_eq!(tokens().sum::<usize>(), images * length);
        }
        assert!(super::groups(&Segments::from_lengths([0, 0]), None).is_empty());
    }

    #[test]
    fn lanes_depend_on_size_only() {
        assert_eq!(
            [lanes(1, 1), lanes(6000, 24), lanes(40_000, 160), lanes(9000, 2), lanes(0, 0)],
            [1, 4, 16, 2, 0]
        );
    }

    #[test]
    fn runs_cover_everything_in_order() {
        assert_eq!(runs((0..7).collect(), 3), [vec![0, 1], vec![2, 3], vec![4, 5, 6]]);
    }
}
