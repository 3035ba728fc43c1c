//! Muon: the matrices of one shape together, their products in batches.

use dfdx::prelude::Cuda;
use ijepa_registry::tensor::{Gradients, ModelError};

use super::super::check::check_matrices;
use super::super::{MatmulPrecision, MuonStep, MuonUpdate, Result};
use super::address::{of, slope};
use super::gpu::{Done, Gpu};
use super::launch::args;
use super::product::Product;
use super::update::{Entry, Table};
use super::values::{At, at, floats};

/// What matrices have in common that go through the same launches.
#[derive(Clone, Copy, PartialEq)]
struct Kind {
    shape: (usize, usize),
    precision: MatmulPrecision,
    decay: f64,
    rate: f64,
}

/// See [`super::Backend::muon`].
pub fn muon(
    updates: &mut [MuonUpdate<'_, Cuda>],
    gradients: &mut Gradients<f32, Cuda>,
    step: &MuonStep,
) -> Result<()> {
    check_matrices(updates)?;
    let mut kinds: Vec<(Kind, Vec<&MuonUpdate<'_, Cuda>>)> = Vec::new();
    for u in updates.iter() {
        let kind = Kind { shape: u.shape, precision: u.precision, decay: u.decay, rate: u.rate };
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, matrices)) => matrices.push(u),
            None => kinds.push((kind, vec![u])),
        }
    }
    let mut all = || kinds.iter().try_for_each(|(kind, matrices)| move_all(kind, matrices, gradients, step));
    all().map_err(ModelError::from_debug)
}

fn move_all(
    kind: &Kind,
    matrices: &[&MuonUpdate<'_, Cuda>],
    gradients: &mut Gradients<f32, Cuda>,
    step: &MuonStep,
) -> Done<()> {
    let n = kind.shape.0 * kind.shape.1;
    if n == 0 {
        return Ok(());
    }
    let gpu = Gpu::of(matrices[0].param.device())?;
    // One matrix after the other, as the products go through them.
    let (mut x, mut next) = (gpu.floats(matrices.len() * n)?, gpu.floats(matrices.len() * n)?);
    let mut table = Table::default();
    for (i, u) in matrices.iter().enumerate() {
        let (param, gradient, buffer) = (of(&*u.param)?, slope!(gradients, &*u.param), of(&*u.buffer)?);
        let moments = [buffer, at(&x) + floats(i * n)];
        table.push(Entry { param, gradient, moments, ..Entry::default() }, n);
    }
    let list = gpu.list(&table.words)?;
    let (keep, take) = (step.momentum as f32, (1.0 - step.momentum) as f32);
    let part = gpu.memory::<f64>(table.blocks())?;
    let args = args![&*list, table.count, keep, take, step.nesterov, &part];
    gpu.launch("muon_momentum", table.grid(), &args)?;
    gpu.launch("muon_unit", table.grid(), &args![&*list, table.count, &part])?;
    let (rows, columns) = kind.shape;
    let side = rows.min(columns);
    let squares = [gpu.floats(matrices.len() * side * side)?, gpu.floats(matrices.len() * side * side)?];
    for _ in 0..step.iterations {
        gpu.newton_schulz(kind, matrices.len(), at(&x), [at(&squares[0]), at(&squares[1])], at(&next))?;
        std::mem::swap(&mut x, &mut next);
    }
    // The table's `u` is the first of both blocks.
    if step.iterations % 2 == 1 {
        gpu.copy(at(&x), at(&next), floats(matrices.len() * n))?;
    }
    let args = args![&*list, table.count, kind.decay as f32, kind.rate as f32];
    gpu.launch("muon_move", table.grid(), &args)
}

impl Gpu {
    /// `next = a x + (b g + c g g) x` with `g = x x'` for `count` matrices, with the sides exchanged where they have more
    /// rows than columns.
    fn newton_schulz(&self, kind: &Kind, count: usize, x: At, [gram, sum]: [At; 2], next: At) -> Done<()> {
        let ([a, b, c], (rows, columns)) = (MuonStep::COEFFICIENTS.map(|v| v as f32), kind.shape);
        let tall = rows > columns;
        let (side, inner) = (rows.min(columns), rows.max(columns));
        let product = |sizes, transposed| Product { sizes, transposed, precision: kind.precision };
        self.products(count, product([side, inner, side], [tall, !tall]), (1.0, x, x), (0.0, gram))?;
        self.copy(gram, sum, floats(count * side * side))?;
        self.products(count, product([side; 3], [false; 2]), (c, gram, gram), (b, sum))?;
        self.copy(x, next, floats(count * rows * columns))?;
        let (sizes, [left, right]) =
            if tall { ([rows, side, side], [x, sum]) } else { ([side, side, columns], [sum, x]) };
        self.products(count, product(sizes, [false; 2]), (1.0, left, right), (a, next))
    }
}
