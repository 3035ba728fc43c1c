//! A table of words in three dialects.

/// A cell is never cut to less.
const LEAST: usize = 8;

/// Head and rows of equal width.
pub(super) struct Grid {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Grid {
    pub fn new(head: &[&str], rows: Vec<Vec<String>>) -> Self {
        Grid { head: head.iter().map(|h| h.to_string()).collect(), rows }
    }

    fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.head).chain(&self.rows)
    }

    /// Columns aligned by spaces, two in front of each. What is wider than `width` becomes several blocks, each
    /// with the first column in front; a cell that is wider alone is cut in its middle.
    pub fn aligned(&self, width: usize) -> String {
        let cut = self.cut(width);
        let widths = cut.widths();
        let blocks = blocks(&widths, width);
        let block = |columns: &Vec<usize>| -> String {
            let line = |row: &Vec<String>| {
                let cell = |&c: &usize| format!("  {:<w$}", row[c], w = widths[c]);
                format!("{}\n", columns.iter().map(cell).collect::<String>().trim_end())
            };
            cut.lines().map(line).collect()
        };
        blocks.iter().map(block).collect::<Vec<_>>().join("\n")
    }

    fn widths(&self) -> Vec<usize> {
        let width = |c: usize| self.lines().map(|row| row[c].chars().count()).max().unwrap_or(0);
        (0..self.head.len()).map(width).collect()
    }

    /// The same table with no cell that is too wide beside the first column.
    fn cut(&self, width: usize) -> Grid {
        let first = self.widths().first().copied().unwrap_or(0).min(width.saturating_sub(2));
        let room = |c: usize| if c == 0 { first } else { width.saturating_sub(first + 4) }.max(LEAST);
        let row =
            |row: &Vec<String>| row.iter().enumerate().map(|(c, cell)| middle_cut(cell, room(c))).collect();
        Grid { head: row(&self.head), rows: self.rows.iter().map(row).collect() }
    }

    pub fn markdown(&self) -> String {
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = format!("|{}\n", "---|".repeat(self.head.len()));
        line(&self.head) + &rule + &self.rows.iter().map(line).collect::<String>()
    }

    pub fn latex(&self) -> String {
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
            format!("{} \\\\\n", cells.join(" & "))
        };
        let columns = "l".repeat(self.head.len());
        let rows: String = self.rows.iter().map(line).collect();
        let head = line(&self.head);
        format!(
            "\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n"
        )
    }
}

/// Columns of every block: the first one, and as many others as fit.
fn blocks(widths: &[usize], width: usize) -> Vec<Vec<usize>> {
    let mut blocks = vec![vec![0]];
    let mut used = widths[0] + 2;
    for (column, wide) in widths.iter().enumerate().skip(1) {
        let block = blocks.last_mut().expect("one at least");
        if used + wide + 2 <= width || block.len() == 1 {
            block.push(column);
            used += wide + 2;
        } else {
            blocks.push(vec![0, column]);
            used = widths[0] + wide + 4;
        }
    }
    blocks
}

/// At most `room` letters, the middle left out: paths and names differ at their ends.
fn middle_cut(cell: &str, room: usize) -> String {
    let count = cell.chars().count();
    if count <= room {
        return cell.into();
    }
    let (front, back) = ((room - 1) / 2, room / 2);
    let front: String = cell.chars().take(front).collect();
    front + "…" + &cell.chars().skip(count - back).collect::<String>()
}

/// LaTeX text mode.
fn escaped(cell: &str) -> String {
    let escape = |c: char| match c {
        '&' | '%' | '$' | '#' | '_' | '{' | '}' => format!("\\{c}"),
        '\\' => "\\textbackslash{}".into(),
        '~' => "\\textasciitilde{}".into(),
        '^' => "\\textasciicircum{}".into(),
        '<' | '>' => format!("${c}$"),
        c => c.to_string(),
    };
    cell.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_escapes_its_own() {
        let grid = Grid::new(&["arm", "p_holm"], vec![vec!["a|b".into(), "<1 %".into()]]);
        assert_eq!(grid.aligned(80), "  arm  p_holm\n  a|b  <1 %\n");
        assert_eq!(grid.markdown(), "| arm | p_holm |\n|---|---|\n| a\\|b | <1 % |\n");
        assert!(grid.latex().contains("arm & p\\_holm \\\\\n\\midrule\na|b & $<$1 \\% \\\\\n"));
    }
    #[test]
    fn a_wide_table_becomes_blocks_that_fit() {
        let row =
            |name: &str| [name, "0.123456", "a/very/long/path/to/something", "z"].map(String::from).to_vec();
        let grid = Grid::new(&["arm", "mean", "path", "w"], vec![row("A"), row("B")]);
        assert_eq!(grid.aligned(80).lines().count(), 3);
        let narrow = grid.aligned(30);
        assert!(narrow.lines().all(|line| line.chars().count() <= 30), "{narrow}");
        assert_eq!(narrow.matches("  arm  ").count(), 3, "{narrow}");
        assert!(narrow.contains("  A    a/very/long…o/something\n"), "{narrow}");
    }
}
