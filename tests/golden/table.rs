//! Tables as text, compared by column name.

use std::path::Path;

/// Header and rows of a CSV file.
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn read(path: &Path) -> Self {
        let mut reader = csv::Reader::from_path(path).unwrap();
        let texts = |record: &csv::StringRecord| record.iter().map(str::to_string).collect();
        let header = texts(reader.headers().unwrap());
        Table { header, rows: reader.records().map(|row| texts(&row.unwrap())).collect() }
    }

    pub fn text(&self) -> String {
        let mut writer = csv::Writer::from_writer(vec![]);
        std::iter::once(&self.header).chain(&self.rows).for_each(|row| writer.write_record(row).unwrap());
        String::from_utf8(writer.into_inner().unwrap()).unwrap()
    }

    /// Whether `other` has every column of this table, and in these columns every row, in this order.
    pub fn is_within(&self, other: &Table) -> Result<(), String> {
        let place = |name| other.header.iter().position(|h| h == name);
        let places: Option<Vec<usize>> = self.header.iter().map(place).collect();
        let places = places.ok_or_else(|| format!("columns {:?}, not {:?}", other.header, self.header))?;
        let mut others = other.rows.iter();
        for (i, row) in self.rows.iter().enumerate() {
            let matches = |o: &&Vec<String>| places.iter().zip(row).all(|(&p, text)| o[p] == *text);
            if !others.any(|o| matches(&o)) {
                return Err(self.difference(i, other, &places));
            }
        }
        Ok(())
    }

    /// Row `i`, and the row of `other` that comes closest to it.
    fn difference(&self, i: usize, other: &Table, places: &[usize]) -> String {
        let shown = |row: &Vec<String>| places.iter().map(|&p| row[p].clone()).collect::<Vec<_>>();
        let equal = |row: &Vec<String>| row.iter().zip(&self.rows[i]).filter(|(a, b)| a == b).count();
        let closest = other.rows.iter().map(shown).max_by_key(equal);
        let columns = self.header.join(",");
        let closest = closest.map_or("no row".into(), |row| row.join(","));
        format!("row {} is missing\n  {columns}\n  {}\nclosest\n  {closest}", i + 1, self.rows[i].join(","))
    }
}
