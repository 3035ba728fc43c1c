//! Matrices without rows, numbers that are none, sizes that do not fit together.

use dfdx::prelude::*;
use ijepa_registry::tensor::{Rows, Segments};
use ijepa_run::kernels::{Compose, Function, MatmulPrecision, from_host, to_host};

use crate::common::{Random, segments};
use crate::{FUNCTIONS, outcome};

#[test]
fn a_map_lets_no_nan_pass_as_a_number() {
    let x = from_host(&Cpu::default(), vec![f32::NAN], 1, 1).unwrap();
    for function in FUNCTIONS {
        assert!(to_host(&Cpu::map(x.clone(), function).unwrap()).unwrap()[0].is_nan(), "{function:?}");
    }
}

#[test]
fn matrices_without_rows_are_no_error() {
    let mut r = Random::new(13);
    let (x, wide, s) = (r.rows(0, 8, 1.0), r.rows(8, 5, 1.0), segments(&[0, 0]));
    let empty = |y: Rows<Cpu>, d| assert_eq!(*y.shape(), (0, d));
    empty(Cpu::map(x.clone(), Function::Gelu).unwrap(), 8);
    empty(Cpu::add(x.clone(), x.clone()).unwrap(), 8);
    empty(Cpu::attention(x.clone(), x.clone(), x.clone(), 2, &s, &s).unwrap(), 8);
    empty(Cpu::rms_norm(x.clone(), &r.flat(4, 1.0), 1e-5).unwrap(), 8);
    empty(Cpu::columns(x.clone(), 1..3).unwrap(), 2);
    empty(Cpu::gather_rows_wide(x.clone(), &[], 3).unwrap(), 24);
    empty(Cpu::matmul(x.clone(), wide, false, false, MatmulPrecision::F32).unwrap(), 5);
    let moments = Cpu::matmul(x.clone(), x.clone(), true, false, MatmulPrecision::F32).unwrap();
    assert_eq!(to_host(&moments).unwrap(), [0.0; 64]);
    assert_eq!(Cpu::sum(x.clone()).unwrap().array(), 0.0);
    let y = Cpu::concat_rows(x.leaky_trace(), r.rows(1, 8, 1.0)).unwrap();
    assert!(outcome(y, &[x], &[]).gradients[0].is_empty());
}

/// The sentence names the sizes.
#[test]
fn misfits_are_errors() {
    let mut r = Random::new(14);
    let (x, y) = (r.rows(6, 8, 1.0), r.rows(5, 9, 1.0));
    let attention = |heads, queries: &[usize], keys: &[usize]| {
        let (q, k): (Segments, Segments) = (segments(queries), segments(keys));
        Cpu::attention(x.clone(), x.clone(), x.clone(), heads, &q, &k)
    };
    let f32 = MatmulPrecision::F32;
    let cases = [
        (Cpu::add(x.clone(), y.clone()), "6 x 8 together with 5 x 9"),
        (Cpu::multiply(x.clone(), y.clone()), "6 x 8 together with 5 x 9"),
        (Cpu::scale_columns(x.clone(), &r.flat(6, 1.0)), "6 factors for 8 columns"),
        (Cpu::scale_rows(x.clone(), &[1.0; 8]), "8 factors for 6 rows"),
        (Cpu::rms_norm(x.clone(), &r.flat(3, 1.0), 1e-5), "a gain of 3 on 8 columns"),
        (Cpu::rotate(x.clone(), &r.rows(6, 3, 1.0)), "turns of 6 x 3 on 6 x 8"),
        (Cpu::rotate(x.clone(), &y), "turns of 5 x 9 on 6 x 8"),
        (Cpu::concat_rows(x.clone(), y.clone()), "rows of 8 columns above rows of 9"),
        (Cpu::concat_columns(x.clone(), y.clone()), "columns of 6 rows beside columns of 5"),
        (Cpu::columns(x.clone(), 3..9), "columns 3 to 9 of 8"),
        (Cpu::columns(x.clone(), 3..3), "columns 3 to 3 of 8"),
        (Cpu::gather_rows_wide(x.clone(), &[0, 6], 2), "an index beyond 6 rows"),
        (Cpu::gather_rows_wide(x.clone(), &[0; 3], 2), "3 indices for rows of 2 rows each"),
        (Cpu::segment_means(x.clone(), &segments(&[2, 3])), "segments of 5 rows on 6 rows"),
        (Cpu::segment_means(x.clone(), &segments(&[6, 0])), "the mean of segment 1, which is empty"),
        (Cpu::column_variances(r.rows(1, 8, 1.0)), "a moment of the columns of 1 x 8, which takes 2 rows"),
        (Cpu::matmul(x.clone(), y.clone(), false, true, f32), "a product of 6 x 8 and 9 x 5"),
        (attention(3, &[6], &[6]), "3 heads on 8 columns"),
        (attention(2, &[2, 4], &[6]), "2 segments of queries for 1 of keys"),
        (attention(2, &[2, 4], &[6, 0]), "segment 1 has queries but no keys"),
        (attention(2, &[5], &[6]), "segments of 5 rows on 6 rows"),
    ];
    for (result, sentence) in cases {
        assert_eq!(result.unwrap_err().to_string(), sentence);
    }
}
