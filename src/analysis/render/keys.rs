//! What an arm is called in tables: its label where there is room, else a letter.

use super::{super::compare::Report, fold};

/// Letters of a name that leave room for the numbers beside it.
const ROOM: usize = 28;

/// One name per arm.
pub(super) struct Keys {
    pub names: Vec<String>,
    /// What the letters stand for; none where the names are labels.
    meanings: Option<Vec<String>>,
}

impl Keys {
    /// The labels as they are.
    pub fn full(report: &Report) -> Self {
        Keys { names: report.arms.iter().map(|arm| arm.label.clone()).collect(), meanings: None }
    }

    /// Labels that leave room for numbers: in full, else with only what differs, else a letter per arm.
    pub fn for_width(report: &Report, width: usize) -> Self {
        let room = ROOM.min(width / 3);
        let (full, short) = (Self::full(report), report.arms.iter().map(|arm| arm.short.clone()).collect());
        let fit = |names: &Vec<String>| names.iter().all(|name| name.chars().count() <= room);
        if fit(&full.names) {
            return full;
        }
        let short = Keys { names: short, meanings: None };
        if fit(&short.names) {
            return short;
        }
        Keys { names: (0..report.arms.len()).map(letter).collect(), meanings: Some(short.names) }
    }

    /// What the letters stand for, a line per arm, long ones folded.
    pub fn legend(&self, width: usize) -> Option<String> {
        let meanings = self.meanings.as_ref()?;
        let line = |(letter, meaning): (&String, &String)| {
            fold(meaning, width, &format!("  {letter:<3} "), "      ") + "\n"
        };
        let lines: String = self.names.iter().zip(meanings).map(line).collect();
        Some(format!("arms by letter\n{lines}"))
    }
}

/// `A` to `Z`, then `AA`, as the columns of a spreadsheet.
fn letter(place: usize) -> String {
    let last = char::from(b'A' + (place % 26) as u8);
    if place < 26 { last.into() } else { letter(place / 26 - 1) + &last.to_string() }
}

#[cfg(test)]
mod tests {
    use super::letter;

    #[test]
    fn letters_go_on_after_z() {
        assert_eq!([0, 25, 26, 27, 701, 702].map(letter), ["A", "Z", "AA", "AB", "ZZ", "AAA"]);
    }
}
