//! The skeletons: components of the least, as text. The plug-in example compiles them and checks their laws.

use ijepa_registry::problem::nearest;

use super::names::type_name;

/// The skeleton of a kind.
#[derive(Debug)]
pub struct Skeleton {
    /// Name of the kind.
    pub kind: &'static str,
    /// Its folder in `src/components`.
    pub folder: &'static str,
    /// What changes the quickstart so that it uses the component `NAME`.
    changes: &'static [&'static str],
    /// The component `my_KIND`, as a crate of one's own writes it.
    text: &'static str,
}

/// A row of [`SKELETONS`].
macro_rules! skeleton {
    ($kind:literal, $folder:literal, $($change:literal),+) => {
        Skeleton {
            kind: $kind,
            folder: $folder,
            changes: &[$($change),+],
            text: include_str!(concat!("skeletons/", $kind, ".rs")),
        }
    };
}

/// One per kind, in the order in which kinds are documented.
pub const SKELETONS: [Skeleton; 11] = [
    skeleton!("encoder", "encoders", "encoder=NAME"),
    skeleton!("predictor", "predictors", "predictor=NAME"),
    skeleton!("masking", "masking", "masking=NAME"),
    skeleton!("targets", "targets", "targets=NAME"),
    skeleton!("loss", "losses", "loss=NAME"),
    skeleton!("regularizer", "regularizers", "regularizers=[{ kind: NAME, weight: 0.1 }]"),
    skeleton!("schedule", "schedules", "learning_rate=NAME"),
    skeleton!("optimizer", "optimizers", "optimizer=NAME"),
    skeleton!("dataset", "datasets", "dataset=NAME", "probes=[knn]"),
    skeleton!("augmentation", "augmentations", "augmentation=[NAME]"),
    skeleton!("probe", "probes", "probes=[NAME]"),
];

/// The skeleton of this kind, or which kinds there are.
pub(super) fn find(kind: &str) -> Result<&'static Skeleton, String> {
    SKELETONS.iter().find(|s| s.kind == kind).ok_or_else(|| {
        let kinds = SKELETONS.map(|s| s.kind);
        let close = nearest(kind, kinds);
        let question =
            if close.is_empty() { String::new() } else { format!("did you mean {}? ", close.join(" or ")) };
        format!("there is no kind `{kind}`\n  help: {question}there are: {}", kinds.join(", "))
    })
}

impl Skeleton {
    /// The text of a component of this name.
    pub(super) fn named(&self, name: &str) -> String {
        let old = format!("my_{}", self.kind);
        let types = [type_name(self.kind, &old), type_name(self.kind, name)];
        self.text.replace(&old, name).replace(&types[0], &types[1])
    }

    /// What changes the quickstart so that it uses the component of this name.
    pub fn changes(&self, name: &str) -> Vec<String> {
        self.changes.iter().map(|change| change.replace("NAME", name)).collect()
    }
}

/// The text as the files of this repository are written: paths from `crate`, derives that find `serde` by themselves.
pub(super) fn of_the_house(text: &str) -> String {
    text.replace("ijepa_run::", "crate::").replace("crate = \"ijepa_registry::serde\", ", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_skeleton_that_says_what_to_fill_in() {
        let kinds: Vec<&str> = ijepa_registry::catalogue::kinds();
        assert_eq!(SKELETONS.map(|s| s.kind).to_vec(), kinds);
        for skeleton in &SKELETONS {
            let text = skeleton.named("apple");
            assert!(!text.contains("my_") && !text.contains("My"), "{text}");
            assert!(text.contains(&format!("{} \"apple\" => ", skeleton.kind)), "{text}");
            assert!(super::super::to_do(&text).len() >= 4, "{text}");
            let house = of_the_house(&text);
            assert!(!house.contains("ijepa_run") && !house.contains("crate = "), "{house}");
            assert!(house.contains("#[serde(deny_unknown_fields, default)]"), "{house}");
        }
    }

    #[test]
    fn a_kind_that_is_not_there_is_told_the_nearest() {
        assert!(find("los").unwrap_err().contains("did you mean loss? there are: encoder"));
        assert!(find("regulariser").unwrap_err().contains("did you mean regularizer?"));
    }
}
