//! Shapes that do not fit together are errors with the numbers in the sentence.

use dfdx::prelude::HasShape;
use ijepa_registry::tensor::{Device, Flat, ModelError, Rows, Segments};

use super::{AdamWUpdate, BlockParams, NONE, Result, TableTerm};

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
pub fn check_skill<D: Device<f32>>(
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

/// Refuses moments and followers of other sizes than their parameter.
pub fn check_updates<D: Device<f32>>(updates: &[AdamWUpdate<'_, D>]) -> Result<()> {
    updates.iter().try_for_each(|u| {
        let [n, m, v] = [&*u.param, &*u.m, &*u.v].map(|t| t.shape().0);
        let follower = u.follower.as_ref().map_or(n, |f| f.shape().0);
        ensure([m, v, follower] == [n; 3], || {
            format!("moments of {m} and {v} values and a follower of {follower} for {n}")
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
