//! What the head of a sweep file says about itself.

/// A field of the head: `# Question: ...`, with its continuation lines joined.
pub(crate) type HeadField = (String, String);

/// The comment lines in front of a sweep file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Settings of the base that were changed when the sweep was started.
    pub overrides: Vec<String>,
    /// Question, command, time, numbers, source.
    pub fields: Vec<HeadField>,
}

impl Header {
    /// Reads the comments up to the first other line.
    pub fn read(source: &str) -> Self {
        let mut header = Header::default();
        let comments = source.lines().map_while(|line| line.strip_prefix('#'));
        for line in comments {
            header.take(line);
        }
        header
    }

    fn take(&mut self, line: &str) {
        let continues = line.starts_with("  ");
        let line = line.trim();
        match line.split_once(':') {
            Some(("override", value)) => self.overrides.push(value.trim().into()),
            Some((key, value)) if !continues && is_key(key) => {
                self.fields.push((key.into(), value.trim().into()));
            }
            _ => {
                if let Some((_, value)) = self.fields.last_mut().filter(|_| continues && !line.is_empty()) {
                    *value = format!("{value} {line}");
                }
            }
        }
    }

    /// The field `key`, if it is there.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_uppercase()) && !key.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_on_over_indented_lines() {
        let text = "# override: train.epochs=4\n# Question: how many\n#           blocks: one?\n# Typed: x\nname: a\n# Late: y\n";
        let header = Header::read(text);
        assert_eq!(header.overrides, ["train.epochs=4"]);
        assert_eq!(header.field("Question"), Some("how many blocks: one?"));
        assert_eq!((header.fields.len(), header.field("Late")), (2, None));
        assert_eq!(Header::read("name: a\n"), Header::default());
    }
}
