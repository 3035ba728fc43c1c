//! The `mod` line of a component.

use std::{fs, path::Path};

/// Adds `mod NAME;` to a file, among the others in alphabetical order.
pub(super) fn add(file: &Path, name: &str) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}; add the line `mod {name};` to it", file.display());
    let text = fs::read_to_string(file).map_err(failed)?;
    let Some(text) = with_line(&text, name) else { return Ok(()) };
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    std::io::Write::write_all(&mut new, text.as_bytes()).map_err(failed)?;
    let permissions = fs::metadata(file).map_err(failed)?.permissions();
    new.as_file().set_permissions(permissions).map_err(failed)?;
    new.persist(file).map_err(|e| failed(e.error)).map(|_| ())
}

/// The module that a line declares in a file of its own.
fn module(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").or(line.strip_prefix("pub(crate) ")).unwrap_or(line);
    line.strip_prefix("mod ")?.trim_end().strip_suffix(';')
}

/// The text with the line; none if it is there.
fn with_line(text: &str, name: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let modules: Vec<(usize, &str)> =
        lines.iter().enumerate().filter_map(|(at, line)| Some((at, module(line)?))).collect();
    if modules.iter().any(|(_, module)| *module == name) {
        return None;
    }
    let new = format!("mod {name};");
    let before = modules.iter().find(|(_, module)| *module > name).map(|(at, _)| *at);
    match before.or_else(|| modules.last().map(|(at, _)| at + 1)) {
        Some(at) => lines.insert(at, &new),
        None => {
            let head = |line: &&str| line.starts_with("//!") || line.starts_with("#!") || line.is_empty();
            let at = lines.iter().take_while(|line| head(line)).count();
            lines.splice(at..at, [new.as_str(), ""]);
        }
    }
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_goes_where_a_formatter_would_put_it() {
        let text = "//! Losses.\n\nmod cosine;\nmod l2;\n\nuse l2::X;\n";
        let at = |name| with_line(text, name).unwrap();
        assert_eq!(at("focal"), "//! Losses.\n\nmod cosine;\nmod focal;\nmod l2;\n\nuse l2::X;\n");
        assert_eq!(at("a"), "//! Losses.\n\nmod a;\nmod cosine;\nmod l2;\n\nuse l2::X;\n");
        assert_eq!(at("z"), "//! Losses.\n\nmod cosine;\nmod l2;\nmod z;\n\nuse l2::X;\n");
        assert_eq!(with_line(text, "l2"), None);
        assert_eq!(
            with_line("//! Mine.\n\nfn main() {}\n", "a").unwrap(),
            "//! Mine.\n\nmod a;\n\nfn main() {}\n"
        );
    }
}
