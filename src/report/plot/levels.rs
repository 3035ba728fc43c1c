//! The values of a parameter in the order in which a reader expects them.

/// Distinct values: numbers by size, names by appearance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Levels {
    Numbers(Vec<f64>),
    Names(Vec<String>),
}

impl Levels {
    /// The values that are there; an empty one stands for none.
    pub fn of<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut names: Vec<String> = Vec::new();
        for value in values.filter(|v| !v.is_empty()) {
            if !names.iter().any(|n| n == value) {
                names.push(value.into());
            }
        }
        let numbers: Option<Vec<f64>> = names.iter().map(|v| v.parse().ok()).collect();
        match numbers.filter(|all| all.iter().all(|x| x.is_finite())) {
            Some(mut numbers) => {
                numbers.sort_by(f64::total_cmp);
                numbers.dedup();
                Levels::Numbers(numbers)
            }
            None => Levels::Names(names),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Levels::Numbers(numbers) => numbers.len(),
            Levels::Names(names) => names.len(),
        }
    }

    /// Place of a value, from 0.
    pub fn index(&self, value: &str) -> Option<usize> {
        match self {
            Levels::Numbers(numbers) => {
                let value: f64 = value.parse().ok()?;
                numbers.iter().position(|n| *n == value)
            }
            Levels::Names(names) => names.iter().position(|n| n == value),
        }
    }

    /// The values as labels.
    pub fn labels(&self) -> Vec<String> {
        match self {
            Levels::Numbers(numbers) => numbers.iter().map(|n| super::scale::tick_label(*n)).collect(),
            Levels::Names(names) => names.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_and_names_are_not() {
        let numbers = Levels::of(["8", "", "1e-1", "8.0"].into_iter());
        assert_eq!((numbers.clone(), numbers.index("8.0")), (Levels::Numbers(vec![0.1, 8.0]), Some(1)));
        let names = Levels::of(["l2", "cosine", "l2"].into_iter());
        assert_eq!((names.labels(), names.index("cosine")), (vec!["l2".into(), "cosine".into()], Some(1)));
    }
}
