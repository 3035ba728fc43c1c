//! Rows of CSV tables: one list gives the struct, the columns, the cells and the way back.

pub use ijepa_registry::metric::Direction;

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Header cell.
    pub name: &'static str,
    /// Unit; empty for names and plain numbers.
    pub unit: &'static str,
    /// One line of meaning.
    pub meaning: &'static str,
    /// Which direction is good, for metrics.
    pub direction: Direction,
}

/// A struct whose fields are the columns of a table; made by `row!`.
pub trait Row: Sized {
    /// The columns, in the order in which they are written.
    const COLUMNS: &'static [Column];

    /// How the names of further columns begin, of which an experiment may have any number behind the others.
    const FURTHER: Option<&'static str> = None;

    /// The cells, in the order of [`Row::COLUMNS`].
    fn cells(&self) -> Vec<String>;

    /// Names and values of the further columns.
    fn further(&self) -> &[(String, f64)] {
        &[]
    }

    /// The same with these further columns.
    fn with_further(self, further: Vec<(String, f64)>) -> Self {
        debug_assert!(further.is_empty(), "a table without further columns");
        self
    }

    /// The number in a column; none for text, empty cells and unknown names.
    fn number(&self, column: &str) -> Option<f64>;

    /// Reads a row by the names of its columns: `cell` gives the text under a name, if the table has it.
    fn read<'c>(cell: impl Fn(&str) -> Option<&'c str>) -> Result<Self, RowError>;
}

/// Why a row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The table lacks a column.
    #[error("there is no column `{0}`")]
    Missing(&'static str),
    /// A cell holds something else.
    #[error("column `{column}`: `{text}` is not {wanted}")]
    Cell {
        /// Name of the column.
        column: &'static str,
        /// What stands there.
        text: String,
        /// What should.
        wanted: &'static str,
    },
}

/// What a cell can hold.
pub trait Cell: Sized {
    /// What [`Cell::read`] wants, for messages.
    const WANTED: &'static str;
    /// As it is written.
    fn text(&self) -> String;
    /// As it is read.
    fn read(text: &str) -> Option<Self>;
    /// As a number, if it is one.
    fn as_number(&self) -> Option<f64>;
}

impl Cell for String {
    const WANTED: &'static str = "text";
    fn text(&self) -> String {
        self.clone()
    }
    fn read(text: &str) -> Option<Self> {
        Some(text.into())
    }
    fn as_number(&self) -> Option<f64> {
        None
    }
}

impl Cell for u64 {
    const WANTED: &'static str = "a whole number";
    fn text(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn as_number(&self) -> Option<f64> {
        Some(*self as f64)
    }
}

impl Cell for f64 {
    const WANTED: &'static str = "a number";
    fn text(&self) -> String {
        number(*self)
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn as_number(&self) -> Option<f64> {
        Some(*self)
    }
}

/// An empty cell stands for nothing.
impl<C: Cell> Cell for Option<C> {
    const WANTED: &'static str = C::WANTED;
    fn text(&self) -> String {
        self.as_ref().map_or(String::new(), C::text)
    }
    fn read(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { C::read(text).map(Some) }
    }
    fn as_number(&self) -> Option<f64> {
        self.as_ref().and_then(C::as_number)
    }
}

/// A number as it is written: nine significant digits, shortest form; `nan` and `inf` in letters.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let rounded: f64 = format!("{value:.8e}").parse().expect("a formatted float parses");
    match rounded.abs() {
        0.0 => "0".into(),
        a if !(1e-5..1e15).contains(&a) => format!("{rounded:e}"),
        _ => format!("{rounded}"),
    }
}

/// Declares a row: `field: Type, "unit", "meaning";` per column. After the meaning, `good Higher` (or
/// `Lower`) says which direction of a metric is good, and `absent VALUE` what the column held where an older
/// table lacks it. A last line `@further FIELD: "PREFIX", "meaning";` adds columns that an experiment decides on.
macro_rules! row {
    (
        $(#[$attribute:meta])*
        $name:ident {
            $($field:ident: $type:ty, $unit:literal, $meaning:expr
                $(, good $direction:ident)? $(, absent $absent:expr)?;)+
            $(@further $further:ident: $prefix:literal, $about:literal;)?
        }
    ) => {
        $(#[$attribute])*
        pub struct $name {
            $(#[doc = $meaning] pub $field: $type,)+
            $(#[doc = $about] pub $further: Vec<(String, f64)>,)?
        }

        impl $crate::events::Row for $name {
            const COLUMNS: &'static [$crate::events::Column] = &[
                $($crate::events::Column {
                    name: stringify!($field),
                    unit: $unit,
                    meaning: $meaning,
                    direction: row!(@direction $($direction)?),
                },)+
            ];

            $(
                const FURTHER: Option<&'static str> = Some($prefix);

                fn further(&self) -> &[(String, f64)] {
                    &self.$further
                }

                fn with_further(self, $further: Vec<(String, f64)>) -> Self {
                    $name { $further, ..self }
                }
            )?

            fn cells(&self) -> Vec<String> {
                vec![$($crate::events::Cell::text(&self.$field),)+]
            }

            fn number(&self, column: &str) -> Option<f64> {
                match column {
                    $(stringify!($field) => $crate::events::Cell::as_number(&self.$field),)+
                    _ => {
                        let mut further = $crate::events::Row::further(self).iter();
                        further.find(|(name, _)| name == column).map(|(_, value)| *value)
                    }
                }
            }

            fn read<'c>(cell: impl Fn(&str) -> Option<&'c str>) -> Result<Self, $crate::events::RowError> {
                Ok($name {
                    $($field: {
                        let name = stringify!($field);
                        match cell(name) {
                            Some(text) => {
                                <$type as $crate::events::Cell>::read(text).ok_or_else(|| {
                                    let wanted = <$type as $crate::events::Cell>::WANTED;
                                    $crate::events::RowError::Cell { column: name, text: text.into(), wanted }
                                })?
                            }
                            None => row!(@absent name $(, $absent)?),
                        }
                    },)+
                    $($further: Vec::new(),)?
                })
            }
        }
    };
    (@direction) => { $crate::events::Direction::Neither };
    (@direction $direction:ident) => { $crate::events::Direction::$direction };
    (@absent $name:ident) => { return Err($crate::events::RowError::Missing($name)) };
    (@absent $name:ident, $absent:expr) => { $absent };
}
pub(crate) use row;

/// What columns mean that several tables have. A macro, because a doc comment takes no constant.
macro_rules! meaning {
    (step) => {
        "optimizer steps done"
    };
    (epoch) => {
        "epochs completed, or the one under way, from 1"
    };
    (images) => {
        "training images seen"
    };
    (images_per_second) => {
        "training throughput over these seconds"
    };
    (run_id) => {
        "name of the run folder"
    };
    (arm) => {
        "name of the arm: its runs differ in the seed only"
    };
    (seed) => {
        "seed of the run"
    };
}
pub(crate) use meaning;

#[cfg(test)]
mod tests {
    use super::*;

    row! {
        #[derive(Debug, PartialEq)]
        Sample {
            step: u64, "steps", "steps done";
            loss: f64, "1", "a loss", good Lower;
            split: String, "", "which images", absent "test".into();
            rate: Option<f64>, "1/s", "a rate";
        }
    }

    fn read(pairs: &[(&str, &'static str)]) -> Result<Sample, RowError> {
        Sample::read(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, text)| *text))
    }

    #[test]
    fn cells_stand_under_the_names_of_their_fields() {
        let row = Sample { step: 3, loss: 0.1 + 0.2, split: "a".into(), rate: None };
        let names: Vec<&str> = Sample::COLUMNS.iter().map(|c| c.name).collect();
        assert_eq!(names, ["step", "loss", "split", "rate"]);
        assert_eq!([0, 1].map(|i| Sample::COLUMNS[i].direction), [Direction::Neither, Direction::Lower]);
        assert_eq!(row.cells(), ["3", "0.3", "a", ""]);
        assert_eq!((row.number("step"), row.number("split"), row.number("x")), (Some(3.0), None, None));
    }

    #[test]
    fn rows_are_read_by_name_and_say_what_is_wrong() {
        let row = read(&[("loss", "0.5"), ("rate", ""), ("step", "7")]).unwrap();
        assert_eq!(row, Sample { step: 7, loss: 0.5, split: "test".into(), rate: None });
        let error = |pairs: &[(&str, &'static str)]| read(pairs).unwrap_err().to_string();
        assert_eq!(error(&[("step", "1")]), "there is no column `loss`");
        assert_eq!(error(&[("step", "x")]), "column `step`: `x` is not a whole number");
    }

    #[test]
    fn numbers_are_short_and_exact_to_nine_digits() {
        let written = [0.1 + 0.2, 1e-6, 123456.0, -0.0, 1.0 / 3.0, f64::NAN].map(number);
        assert_eq!(written, ["0.3", "1e-6", "123456", "0", "0.333333333", "nan"]);
    }
}
