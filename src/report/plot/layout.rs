//! Where the panels of a figure stand.

use super::chart::Field;

/// Width of every figure in pixels.
pub(crate) const WIDTH: f64 = 880.0;

/// Equal panels in rows under a title, with room for labels on the left and below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    count: usize,
    columns: usize,
}

const TITLE: f64 = 18.0;
const LEFT: f64 = 48.0;
const GAP: f64 = 18.0;
const HEAD: f64 = 32.0;
const HEIGHT: f64 = 132.0;
const FOOT: f64 = 40.0;

impl Panels {
    pub fn of(count: usize) -> Self {
        let columns = match count {
            0..=3 => count.max(1),
            4 => 2,
            5 | 6 | 9 => 3,
            _ => 4,
        };
        Panels { count, columns }
    }

    fn rows(self) -> usize {
        self.count.div_ceil(self.columns)
    }

    /// A lone panel is taller.
    fn panel_height(self) -> f64 {
        if self.count <= 2 { 1.6 * HEIGHT } else { HEIGHT }
    }

    /// Height of the figure.
    pub fn height(self) -> f64 {
        TITLE + self.rows() as f64 * (HEAD + self.panel_height()) + FOOT
    }

    /// The field of a panel.
    pub fn field(self, place: usize) -> Field {
        let (row, column) = (place / self.columns, place % self.columns);
        let width = (WIDTH - LEFT - GAP * (self.columns - 1) as f64 - 8.0) / self.columns as f64;
        let left = LEFT + column as f64 * (width + GAP);
        let top = TITLE + HEAD + row as f64 * (HEAD + self.panel_height());
        Field { left, top, right: left + width, bottom: top + self.panel_height() }
    }

    pub fn is_first_of_row(self, place: usize) -> bool {
        place.is_multiple_of(self.columns)
    }

    /// Whether no panel stands below.
    pub fn is_last_of_column(self, place: usize) -> bool {
        place + self.columns >= self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_fill_the_width_and_do_not_overlap() {
        for count in [1, 2, 5, 7, 24] {
            let panels = Panels::of(count);
            let fields: Vec<Field> = (0..count).map(|i| panels.field(i)).collect();
            assert!(fields.iter().all(|f| f.right <= WIDTH && f.bottom + FOOT <= panels.height() + 0.01));
            let apart = |a: &Field, b: &Field| a.right < b.left || a.bottom < b.top;
            assert!((1..count).all(|i| apart(&fields[i - 1], &fields[i])));
            assert!(panels.is_last_of_column(count - 1) && panels.is_first_of_row(0));
        }
    }
}
