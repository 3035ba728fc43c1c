//! A table of words in three dialects.

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

    /// Columns aligned by spaces, two in front of each.
    pub fn aligned(&self) -> String {
        let width = |c: usize| self.lines().map(|row| row[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells: String = row.iter().zip(&widths).map(|(cell, w)| format!("  {cell:<w$}")).collect();
            format!("{}\n", cells.trim_end())
        };
        self.lines().map(line).collect()
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
        assert_eq!(grid.aligned(), "  arm  p_holm\n  a|b  <1 %\n");
        assert_eq!(grid.markdown(), "| arm | p_holm |\n|---|---|\n| a\\|b | <1 % |\n");
        assert!(grid.latex().contains("arm & p\\_holm \\\\\n\\midrule\na|b & $<$1 \\% \\\\\n"));
    }
}
