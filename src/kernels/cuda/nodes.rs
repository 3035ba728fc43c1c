//! The operators besides the blocks, each one node of the tape.

use dfdx::prelude::{Cuda, HasShape, PutTape, ReshapeTo, SplitTape};
use ijepa_registry::tensor::{Flat, ModelError, NoneTape, Rows, Tape, TapedRows, TapedScalar};

use super::super::check::{check_gather, check_linear, check_loss, check_mean, ensure};
use super::super::{MatmulPrecision, Result, RowLoss, TableTerm};
use super::address::{of, slope, unfilled};
use super::block::RowNorm;
use super::gather::Term;
use super::gpu::{Done, Gpu};
use super::launch::{Arg, Grid, args};
use super::product::Map;
use super::scatter::Scatter;
use super::sums::Sums;
use super::values::{at, floats};

/// Separates a tensor from its tape. Kernels read memory in order, hence contiguous.
pub fn split<T: Tape<f32, Cuda>>(x: Rows<Cuda, T>) -> Result<(Rows<Cuda>, T)> {
    Ok(x.try_contiguous().map_err(ModelError::from_debug)?.split_tape())
}

/// See [`super::super::from_host`].
pub fn upload(device: &Cuda, values: &[f32], shape: (usize, usize)) -> Done<Rows<Cuda>> {
    let rows: Rows<Cuda> = unfilled(device, shape)?;
    Gpu::of(device)?.copy_in(values, of(&rows)?)?;
    Ok(rows)
}

/// The map of [`super::Backend::linear`]; the gradient of `x` is computed if `wants_dx`.
pub fn linear<T: Tape<f32, Cuda>>(
    x: Rows<Cuda>,
    weight: &Flat<Cuda>,
    bias: &Flat<Cuda>,
    precision: MatmulPrecision,
    tape: T,
    wants_dx: bool,
) -> Result<Rows<Cuda, T>> {
    let (inputs, outputs) = check_linear(&x, weight, bias)?;
    let map = Map { rows: x.shape().0, inputs, outputs, precision };
    linear_node(x, (weight, bias), map, tape, wants_dx).map_err(ModelError::from_debug)
}

fn linear_node<T: Tape<f32, Cuda>>(
    x: Rows<Cuda>,
    (weight, bias): (&Flat<Cuda>, &Flat<Cuda>),
    map: Map,
    mut tape: T,
    wants_dx: bool,
) -> Done<Rows<Cuda, T>> {
    let gpu = Gpu::of(x.device())?;
    let y: Rows<Cuda> = unfilled(x.device(), (map.rows, map.outputs))?;
    let (px, pw, py) = (of(&x)?, of(weight)?, of(&y)?);
    gpu.map(map, px, pw, py)?;
    let add_bias = RowNorm { t: py, t_bias: of(bias)?, x: py, ..RowNorm::default() };
    gpu.row_norm(add_bias, map.rows, map.outputs, 0.0)?;
    if T::OWNS_TAPE {
        let (ghost, weight, bias) = (y.ghost(), weight.clone(), bias.clone());
        tape.add_backward_op(move |g| {
            let dy = slope!(g, &ghost);
            if wants_dx {
                gpu.map_back(map, dy, pw, slope!(g, &x), true)?;
            }
            gpu.map_weight(map, dy, px, slope!(g, &weight))?;
            let mut sums = Sums::default();
            sums.columns(&gpu, dy, map.rows, map.outputs, slope!(g, &bias))?;
            sums.finish(&gpu)
        });
    }
    Ok(y.put_tape(tape))
}

/// See [`super::Backend::layer_norm`].
pub fn layer_norm<T: Tape<f32, Cuda>>(
    x: Rows<Cuda, T>,
    gain: &Flat<Cuda>,
    bias: &Flat<Cuda>,
    eps: f32,
) -> Result<Rows<Cuda, T>> {
    let (x, tape) = split(x)?;
    let d = x.shape().1;
    let (g, b) = (gain.shape().0, bias.shape().0);
    ensure(d > 0 && g == d && b == d, || format!("gain of {g}, bias of {b} on {d} columns"))?;
    layer_norm_node(x, gain, bias, eps, tape).map_err(ModelError::from_debug)
}

fn layer_norm_node<T: Tape<f32, Cuda>>(
    x: Rows<Cuda>,
    gain: &Flat<Cuda>,
    bias: &Flat<Cuda>,
    eps: f32,
    mut tape: T,
) -> Done<Rows<Cuda, T>> {
    let gpu = Gpu::of(x.device())?;
    let (rows, d) = *x.shape();
    let (y, stats): (Rows<Cuda>, _) = (unfilled(x.device(), (rows, d))?, gpu.floats(2 * rows)?);
    let (px, pgain) = (of(&x)?, of(gain)?);
    let norm = RowNorm {
        residual: px,
        gain: pgain,
        bias: of(bias)?,
        y: of(&y)?.into(),
        stats: at(&stats),
        ..RowNorm::default()
    };
    gpu.row_norm(norm, rows, d, eps)?;
    if T::OWNS_TAPE {
        let (ghost, gain, bias) = (y.ghost(), gain.clone(), bias.clone());
        tape.add_backward_op(move |g| {
            let (dy, dx) = (slope!(g, &ghost), slope!(g, &x));
            let args = args![px, &stats, pgain, dy, 0u64, dx, 0u64, rows, d, true];
            gpu.launch("norm_backward", Grid::warps(rows), &args)?;
            let mut sums = Sums::default();
            sums.norm(&gpu, (px, at(&stats)), dy, (rows, d), [slope!(g, &gain), slope!(g, &bias)])?;
            sums.finish(&gpu)
        });
    }
    Ok(y.put_tape(tape))
}

/// See [`super::Backend::standardize`].
pub fn standardize(x: &Rows<Cuda>, eps: f32) -> Result<Rows<Cuda>> {
    let (x, NoneTape) = split(x.clone())?;
    let (rows, d) = *x.shape();
    ensure(d > 0, || "rows without columns".into())?;
    let node = || {
        let gpu = Gpu::of(x.device())?;
        let y: Rows<Cuda> = unfilled(x.device(), (rows, d))?;
        let norm = RowNorm { residual: of(&x)?, y: of(&y)?.into(), ..RowNorm::default() };
        gpu.row_norm(norm, rows, d, eps)?;
        Done::Ok(y)
    };
    node().map_err(ModelError::from_debug)
}

/// See [`super::Backend::gather_sum`].
pub fn gather_sum<T: Tape<f32, Cuda>>(
    x: Rows<Cuda, T>,
    index: &[u32],
    tables: &[TableTerm<'_, Cuda>],
) -> Result<Rows<Cuda, T>> {
    check_gather(&x, index, tables)?;
    let (x, tape) = split(x)?;
    gather_node(x, index, tables, tape).map_err(ModelError::from_debug)
}

fn gather_node<T: Tape<f32, Cuda>>(
    x: Rows<Cuda>,
    index: &[u32],
    tables: &[TableTerm<'_, Cuda>],
    mut tape: T,
) -> Done<Rows<Cuda, T>> {
    let gpu = Gpu::of(x.device())?;
    let d = x.shape().1;
    let y: Rows<Cuda> = unfilled(x.device(), (index.len(), d))?;
    let mut indices = vec![index];
    indices.extend(tables.iter().map(|t| t.index));
    let indices = gpu.upload(&indices.concat())?;
    let mut terms = vec![Term { rows: of(&x)?, index: at(&indices) }];
    for (i, t) in tables.iter().enumerate() {
        terms.push(Term { rows: of(t.table)?, index: at(&indices) + floats((i + 1) * index.len()) });
    }
    gpu.gather(&terms, of(&y)?, (index.len(), d))?;
    if T::OWNS_TAPE {
        let (x, ghost, index) = (x.ghost(), y.ghost(), Scatter::new(index));
        let trained = tables.iter().filter(|t| t.trained);
        let trained: Vec<_> = trained.map(|t| (t.table.clone(), Scatter::new(t.index))).collect();
        tape.add_backward_op(move |g| {
            let dy = slope!(g, &ghost);
            gpu.scatter_add(dy, &index, slope!(g, &x), d)?;
            trained.iter().try_for_each(|(table, index)| gpu.scatter_add(dy, index, slope!(g, table), d))
        });
    }
    Ok(y.put_tape(tape))
}

/// See [`super::Backend::mean_rows`].
pub fn mean_rows(x: &Rows<Cuda>, count: usize) -> Result<Rows<Cuda>> {
    let (x, NoneTape) = split(x.clone())?;
    let (groups, d) = check_mean(&x, count)?;
    let node = || {
        let gpu = Gpu::of(x.device())?;
        let y: Rows<Cuda> = unfilled(x.device(), (groups, d))?;
        let args = args![of(&x)?, of(&y)?, Arg::Long((groups * d) as i64), count, d];
        gpu.launch("mean_rows", Grid::elements(groups * d), &args)?;
        Done::Ok(y)
    };
    node().map_err(ModelError::from_debug)
}

/// See [`super::Backend::loss`].
pub fn loss(loss: RowLoss, prediction: TapedRows<Cuda>, target: &Rows<Cuda>) -> Result<TapedScalar<Cuda>> {
    check_loss(&prediction, target)?;
    let (p, tape) = split(prediction)?;
    let (t, NoneTape) = split(target.clone())?;
    loss_node(loss, p, t, tape).map_err(ModelError::from_debug)
}

/// See [`super::Backend::scale`].
pub fn scale(loss: TapedScalar<Cuda>, factor: f32) -> Done<TapedScalar<Cuda>> {
    let (loss, mut tape) = loss.split_tape();
    let (gpu, y) = (Gpu::of(loss.device())?, unfilled(loss.device(), ())?);
    let one = Grid::blocks(1, 1, 1);
    gpu.launch("scale", one, &args![of(&loss)?, of(&y)?, factor, false])?;
    let ghost = y.ghost();
    tape.add_backward_op(move |g| {
        let (dy, dloss) = (slope!(g, &ghost), slope!(g, &loss));
        gpu.launch("scale", one, &args![dy, dloss, factor, true])
    });
    Ok(y.put_tape(tape))
}

/// The kernels' number of a loss, its `beta`, and the factor of each row.
fn numbers(loss: RowLoss, rows: usize, d: usize) -> (usize, f32, f32) {
    match loss {
        RowLoss::L2 => (0, 0.0, 1.0 / rows as f32),
        // A parabola of no width is the absolute error; the kernels divide by beta.
        RowLoss::SmoothL1 { beta } => (1, beta.max(f32::MIN_POSITIVE), 1.0 / (rows * d) as f32),
        RowLoss::Cosine => (2, 0.0, 1.0 / rows as f32),
    }
}

fn loss_node(
    loss: RowLoss,
    p: Rows<Cuda>,
    t: Rows<Cuda>,
    mut tape: dfdx::prelude::OwnedTape<f32, Cuda>,
) -> Done<TapedScalar<Cuda>> {
    let gpu = Gpu::of(p.device())?;
    let (rows, d) = *p.shape();
    let (kind, beta, weight) = numbers(loss, rows, d);
    let (of_rows, out) = (gpu.floats(rows)?, unfilled(p.device(), ())?);
    let (pp, pt) = (of(&p)?, of(&t)?);
    gpu.launch("loss_rows", Grid::warps(rows), &args![pp, pt, &of_rows, rows, d, kind, beta])?;
    gpu.launch("weighted_sum", Grid::blocks(1, 1, 256), &args![&of_rows, of(&out)?, rows, weight])?;
    let ghost = out.ghost();
    tape.add_backward_op(move |g| {
        let (dloss, dp) = (slope!(g, &ghost), slope!(g, &p));
        let args = args![pp, of(&t)?, dloss, dp, rows, d, kind, beta, weight];
        gpu.launch("loss_backward", Grid::warps(rows), &args)
    });
    Ok(out.put_tape(tape))
}
