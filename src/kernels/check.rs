//! Shapes that do not fit together are errors with the numbers in the sentence.

use std::ops::Range;

use dfdx::prelude::HasShape;
use ijepa_registry::tensor::{Device, Flat, ModelError, Rows, Segments};

use super::{AdamWUpdate, BlockParams, MuonUpdate, NONE, Result, TableTerm};

/// An error with the given sentence unless `condition` holds.
pub fn ensure(condition: bool, sentence: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { Err(ModelError(sentence())) }
}

/// Shape of rows that a map (out, in) with these tensors accepts: `(inputs, outputs)`.
pub fn check_linear<D: Device<f32>, T>(
    x: &Rows<D, T>,
    weight: &Flat<D>,
    bias: &Flat<D>,
) -> Result<(usize, usize)> {
    let (inputs, outputs, size) = (x.shape().1, bias.shape().0, weight.shape().0);
    ensure(inputs > 0 && outputs > 0 && inputs * outputs == size, || {
        format!("a weight of {size} values for {inputs} inputs and {outputs} outputs")
    })?;
    Ok((inputs, outputs))
}

/// Refuses rows, blocks, segments or kept rows that do not fit together.
pub fn check_blocks<D: Device<f32>, T>(
    x: &Rows<D, T>,
    blocks: &[BlockParams<D>],
    segments: &Segments,
    keep: Option<&[u32]>,
) -> Result<()> {
    let (rows, d) = *x.shape();
    ensure(!blocks.is_empty(), || "no block".into())?;
    for block in blocks {
        block.check()?;
        ensure(block.dim() == d, || format!("a block of {} columns on rows of {d}", block.dim()))?;
    }
    ensure(segments.rows() == rows, || format!("segments of {} rows on {rows} rows", segments.rows()))?;
    if let Some(keep) = keep {
        let sorted = keep.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = keep.last().is_none_or(|last| (*last as usize) < rows);
        ensure(sorted && inside, || format!("kept rows must increase and stay below {rows}"))?;
    }
    Ok(())
}

/// Refuses terms that do not fit together.
pub fn check_gather<D: Device<f32>, T>(x: &Rows<D, T>, index: &[u32], tables: &[TableTerm<D>]) -> Result<()> {
    let d = x.shape().1;
    ensure(d > 0, || "rows without columns".into())?;
    let within = |index: &[u32], rows: usize| index.iter().all(|i| *i == NONE || (*i as usize) < rows);
    ensure(within(index, x.shape().0), || format!("an index beyond {} rows", x.shape().0))?;
    for term in tables {
        let rows = term.table.shape().0 / d;
        ensure(
            term.table.shape().0 == rows * d && term.index.len() == index.len() && within(term.index, rows),
            || {
                format!(
                    "a table of {} values, {} indices for {} rows",
                    rows * d,
                    term.index.len(),
                    index.len()
                )
            },
        )?;
    }
    Ok(())
}

/// Groups of `count` rows, and columns; refuses rows of a last, smaller group.
pub fn check_mean<D: Device<f32>>(x: &Rows<D>, count: usize) -> Result<(usize, usize)> {
    let (rows, d) = *x.shape();
    ensure(d > 0 && count > 0 && rows.is_multiple_of(count), || {
        format!("means of {count} rows of {rows} x {d}")
    })?;
    Ok((rows / count, d))
}

/// Refuses predictions and targets of different shapes, or none at all.
pub fn check_loss<D: Device<f32>, T>(prediction: &Rows<D, T>, target: &Rows<D>) -> Result<()> {
    let (p, t): (&(usize, usize), _) = (prediction.shape(), target.shape());
    ensure(p == t && p.0 * p.1 > 0, || format!("predictions {p:?} against targets {t:?}"))
}

/// Columns of predictions and targets; refuses parts, an index or positions that do not fit together.
pub fn check_prediction_stats<D: Device<f32>>(
    prediction: &[Rows<D>],
    targets: &[Rows<D>],
    index: &[u32],
    positions: &[u32],
) -> Result<usize> {
    let parts = || prediction.iter().chain(targets);
    let d = parts().next().map_or(0, |part| part.shape().1);
    ensure(d > 0 && parts().all(|part| part.shape().1 == d), || "rows of no or of different columns".into())?;
    let count = |parts: &[Rows<D>]| parts.iter().map(|part| part.shape().0).sum::<usize>();
    let (n, m) = (count(prediction), count(targets));
    ensure(index.len() == n && positions.len() == m, || {
        format!("{} indices, {} positions for {n} predictions of {m} targets", index.len(), positions.len())
    })?;
    ensure(index.iter().all(|i| (*i as usize) < m), || format!("an index beyond {m} targets"))?;
    Ok(d)
}

/// Refuses moments and shadows of other sizes than their parameter.
pub fn check_updates<D: Device<f32>>(updates: &[AdamWUpdate<'_, D>]) -> Result<()> {
    updates.iter().try_for_each(|u| {
        let [n, m, v] = [&*u.param, &*u.m, &*u.v].map(|t| t.shape().0);
        let shadow = u.shadow.as_ref().map_or(n, |f| f.shape().0);
        ensure([m, v, shadow] == [n; 3], || {
            format!("moments of {m} and {v} values and a shadow of {shadow} for {n}")
        })
    })
}

/// Refuses matrices whose sizes do not fit their shapes, and buffers of other sizes.
pub fn check_matrices<D: Device<f32>>(updates: &[MuonUpdate<'_, D>]) -> Result<()> {
    updates.iter().try_for_each(|u| {
        let ([n, buffer], (rows, columns)) = ([&*u.param, &*u.buffer].map(|t| t.shape().0), u.shape);
        ensure([n, buffer] == [rows * columns; 2], || {
            format!("a matrix of {n} values with a buffer of {buffer} as {rows} x {columns}")
        })
    })
}

/// Refuses teachers of other sizes than their student.
pub fn check_pairs<D: Device<f32>>(pairs: &[(&mut Flat<D>, &Flat<D>)]) -> Result<()> {
    pairs.iter().try_for_each(|(teacher, student)| {
        let (t, s) = (teacher.shape().0, student.shape().0);
        ensure(t == s, || format!("a student of {s} values for a teacher of {t}"))
    })
}

/// Refuses matrices whose shapes differ.
pub fn check_same<D: Device<f32>, T, R>(x: &Rows<D, T>, y: &Rows<D, R>) -> Result<()> {
    let ((n, d), (m, e)) = (*x.shape(), *y.shape());
    ensure((n, d) == (m, e), || format!("{n} x {d} together with {m} x {e}"))
}

/// Refuses operands of attention that do not fit together.
pub fn check_attention<D: Device<f32>, T, R>(
    q: &Rows<D, T>,
    k: &Rows<D, R>,
    v: &Rows<D, R>,
    heads: usize,
    q_segments: &Segments,
    kv_segments: &Segments,
) -> Result<()> {
    let ((n, d), (m, e)) = (*q.shape(), *k.shape());
    check_same(k, v)?;
    ensure(d == e, || format!("queries of {d} columns for keys of {e}"))?;
    ensure(heads > 0 && d > 0 && d.is_multiple_of(heads), || format!("{heads} heads on {d} columns"))?;
    check_segments(n, q_segments)?;
    check_segments(m, kv_segments)?;
    let (a, b) = (q_segments.len(), kv_segments.len());
    ensure(a == b, || format!("{a} segments of queries for {b} of keys"))?;
    let lonely =
        q_segments.ranges().zip(kv_segments.ranges()).position(|(q, kv)| kv.is_empty() && !q.is_empty());
    ensure(lonely.is_none(), || format!("segment {} has queries but no keys", lonely.unwrap_or_default()))
}

fn check_segments(rows: usize, segments: &Segments) -> Result<()> {
    ensure(segments.rows() == rows, || format!("segments of {} rows on {rows} rows", segments.rows()))
}

/// Refuses a vector that does not have one value per column.
pub fn check_columns<D: Device<f32>, T>(x: &Rows<D, T>, gain: &Flat<D>) -> Result<()> {
    let (d, g) = (x.shape().1, gain.shape().0);
    ensure(d == g, || format!("{g} factors for {d} columns"))
}

/// Refuses factors that are not one for every row.
pub fn check_factors<D: Device<f32>, T>(x: &Rows<D, T>, factors: &[f32]) -> Result<()> {
    let (n, f) = (x.shape().0, factors.len());
    ensure(n == f, || format!("{f} factors for {n} rows"))
}

/// Refuses a gain whose length does not divide the columns.
pub fn check_groups<D: Device<f32>, T>(x: &Rows<D, T>, gain: &Flat<D>) -> Result<()> {
    let (d, w) = (x.shape().1, gain.shape().0);
    ensure(w > 0 && d > 0 && d.is_multiple_of(w), || format!("a gain of {w} on {d} columns"))
}

/// Refuses turns that are not one row of cosines and sines for every row, or do not divide the columns.
pub fn check_turns<D: Device<f32>, T>(x: &Rows<D, T>, turns: &Rows<D>) -> Result<()> {
    let ((n, d), (m, w)) = (*x.shape(), *turns.shape());
    ensure(n == m && w > 0 && w.is_multiple_of(2) && d.is_multiple_of(w), || {
        format!("turns of {m} x {w} on {n} x {d}")
    })
}

/// The shape of rows above one another.
pub fn check_concat_rows<D: Device<f32>, T, R>(a: &Rows<D, T>, b: &Rows<D, R>) -> Result<(usize, usize)> {
    let ((n, d), (m, e)) = (*a.shape(), *b.shape());
    ensure(d == e, || format!("rows of {d} columns above rows of {e}"))?;
    Ok((n + m, d))
}

/// The shape of columns side by side.
pub fn check_concat_columns<D: Device<f32>, T, R>(a: &Rows<D, T>, b: &Rows<D, R>) -> Result<(usize, usize)> {
    let ((n, d), (m, e)) = (*a.shape(), *b.shape());
    ensure(n == m, || format!("columns of {n} rows beside columns of {m}"))?;
    Ok((n, d + e))
}

/// Refuses columns beyond the last, or none.
pub fn check_range<D: Device<f32>, T>(x: &Rows<D, T>, range: &Range<usize>) -> Result<()> {
    let d = x.shape().1;
    ensure(range.start < range.end && range.end <= d, || {
        format!("columns {} to {} of {d}", range.start, range.end)
    })
}

/// The shape of `count` picked rows side by side.
pub fn check_wide<D: Device<f32>, T>(x: &Rows<D, T>, index: &[u32], count: usize) -> Result<(usize, usize)> {
    check_gather(x, index, &[])?;
    let n = index.len();
    ensure(count > 0 && n.is_multiple_of(count), || format!("{n} indices for rows of {count} rows each"))?;
    Ok((n / count, count * x.shape().1))
}

/// Refuses segments of other rows, and empty ones.
pub fn check_segment_means<D: Device<f32>, T>(x: &Rows<D, T>, segments: &Segments) -> Result<()> {
    check_segments(x.shape().0, segments)?;
    ensure(x.shape().1 > 0, || "rows without columns".into())?;
    let empty = segments.ranges().position(|s| s.is_empty());
    ensure(empty.is_none(), || format!("the mean of segment {}, which is empty", empty.unwrap_or_default()))
}

/// Refuses fewer rows than a column's moment needs.
pub fn check_moment<D: Device<f32>, T>(x: &Rows<D, T>, least: usize) -> Result<()> {
    let (n, d) = *x.shape();
    ensure(n >= least && d > 0, || format!("a moment of the columns of {n} x {d}, which takes {least} rows"))
}

/// The sizes `[n, k, m]` of a product (n, k) (k, m), after transposing.
pub fn check_matmul<D: Device<f32>, T, R>(
    a: &Rows<D, T>,
    b: &Rows<D, R>,
    transpose: [bool; 2],
) -> Result<[usize; 3]> {
    let turned = |(n, d): (usize, usize), turn: bool| if turn { (d, n) } else { (n, d) };
    let ((n, k), (l, m)) = (turned(*a.shape(), transpose[0]), turned(*b.shape(), transpose[1]));
    ensure(k == l, || format!("a product of {n} x {k} and {l} x {m}"))?;
    Ok([n, k, m])
}
