//! Where a name belongs that was written in the wrong place, or as others spell it.

use ijepa_registry::{catalogue, entry::schema_of, problem::nearest};
use serde_json::Value;

use super::{
    init::InitSettings,
    sections::{COMPONENT_LISTS, COMPONENTS, Header, SECTIONS, TrainSettings},
    span::join,
    wording::ticked,
};

/// Full paths that `word` may have meant: sections and settings of this name or alias; if there are
/// none, those whose names are nearly the same.
pub(crate) fn paths_of(word: &str) -> Vec<String> {
    let word = word.trim_start_matches('-').to_lowercase().replace('-', "_");
    if SECTIONS.contains(&word.as_str()) {
        return vec![word];
    }
    let all = settings();
    let mut found: Vec<&str> = all.iter().filter(|s| s.is_called(&word)).map(|s| s.path.as_str()).collect();
    if found.is_empty() {
        let close = nearest(&word, all.iter().map(Setting::name));
        found = all.iter().filter(|s| close.contains(&s.name())).map(|s| s.path.as_str()).collect();
    }
    found.dedup();
    found.into_iter().take(MOST_SHOWN).map(str::to_owned).collect()
}

/// Sections that a key which is none stands for, by its spelling or as others call them. Where that is
/// `extends`, every section may stand in the file that is meant.
pub(crate) fn sections_of(key: &str) -> Vec<&'static str> {
    let near = nearest(key, SECTIONS.iter().copied());
    if near.contains(&"extends") {
        return SECTIONS.to_vec();
    }
    let others = if near.is_empty() { paths_of(key) } else { Vec::new() };
    SECTIONS.iter().copied().filter(|s| near.contains(s) || others.iter().any(|o| o == s)).collect()
}

/// More places than this help nobody.
const MOST_SHOWN: usize = 4;

/// `did you mean ...?`, if `word` is known in another place.
pub(crate) fn elsewhere(word: &str) -> Option<String> {
    let paths = paths_of(word);
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    (!paths.is_empty()).then(|| format!("did you mean {}?", ticked(&paths, " or ")))
}

struct Setting {
    path: String,
    aliases: Vec<String>,
}

impl Setting {
    fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    fn is_called(&self, word: &str) -> bool {
        self.name() == word || self.aliases.iter().any(|a| a == word)
    }
}

/// Every section and every setting of any component that can stand in it, in the order of a file.
fn settings() -> Vec<Setting> {
    let section = |path: &str, aliases: &[&str]| Setting {
        path: path.into(),
        aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
    };
    let parts = || COMPONENTS.iter().chain(COMPONENT_LISTS);
    let mut all: Vec<Setting> = parts().map(|p| section(p.section, p.aliases)).collect();
    all.extend(below("", &schema_of::<Header>().to_value()));
    all.extend(below("init", &schema_of::<InitSettings>().to_value()));
    all.extend(below("train", &schema_of::<TrainSettings>().to_value()));
    let listings = catalogue::list();
    for part in COMPONENTS {
        let mut of_part: Vec<Setting> = Vec::new();
        for listing in listings.iter().filter(|l| l.kind == part.kind) {
            let more = below(part.section, &listing.schema.clone().to_value());
            of_part.extend(
                more.into_iter().filter(|s| of_part.iter().all(|o| o.path != s.path)).collect::<Vec<_>>(),
            );
        }
        all.extend(of_part);
    }
    all
}

fn below(parent: &str, schema: &Value) -> Vec<Setting> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let words = |setting: &Value| -> Vec<String> {
        let aliases = setting["x-aliases"].as_array().into_iter().flatten();
        aliases.filter_map(|a| a.as_str().map(str::to_owned)).collect()
    };
    properties.map(|(name, setting)| Setting { path: join(parent, name), aliases: words(setting) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_foreign_names_lead_to_their_settings() {
        for (word, path) in [
            ("epochs", "train.epochs"),
            ("--batch-size", "train.batch_size"),
            ("lr", "learning_rate"),
            ("epoch", "train.epochs"),
            ("patch_size", "encoder.patch"),
            ("targets", "targets"),
            ("seed", "seed"),
        ] {
            assert_eq!(paths_of(word).first().map(String::as_str), Some(path), "{word}");
        }
        assert_eq!(paths_of("depth"), ["encoder.depth", "predictor.depth"]);
        assert!(paths_of("xyzzy").is_empty());
    }

    /// A line that an error tells to write must be accepted.
    #[test]
    fn every_alias_of_a_component_leads_to_one_that_is_there() {
        let mut seen = 0;
        for listing in catalogue::list() {
            for (alias, write) in listing.aliases {
                seen += 1;
                let value: Value = serde_yaml::from_str(write).expect(write);
                let kind = value.as_str().or(value["kind"].as_str());
                let target =
                    catalogue::list().into_iter().find(|l| l.kind == listing.kind && Some(l.name) == kind);
                let schema = target.unwrap_or_else(|| panic!("{alias}: {write}")).schema.to_value();
                let mut settings = value.as_object().cloned().unwrap_or_default();
                settings.shift_remove("kind");
                let validator = jsonschema::draft202012::new(&schema).expect("schema");
                assert!(validator.is_valid(&settings.into()), "{alias}: {write}");
            }
        }
        assert!(seen > 10, "{seen}");
    }
}
