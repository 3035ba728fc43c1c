//! What the names of files and runs say: `base_seed0.csv` is seed 0 of the arm `base`.

use std::path::Path;

/// The arm and perhaps the seed behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileName {
    pub arm: String,
    pub seed: Option<String>,
}

/// The arm of every file: its name without the ending, or the whole path where two files share the name.
/// Where names tell seeds, and no column does, files that differ only in the seed are one arm.
pub(super) fn of_files(paths: &[&Path], seed_column: bool) -> (Vec<FileName>, Vec<String>) {
    let plain = |path: &Path| {
        let shared = paths.iter().filter(|other| other.file_stem() == path.file_stem()).count() > 1;
        let stem = path.file_stem().filter(|_| !shared).map(|s| s.to_string_lossy().into_owned());
        stem.unwrap_or_else(|| path.with_extension("").display().to_string())
    };
    let names: Vec<String> = paths.iter().map(|path| plain(path)).collect();
    let parts: Vec<FileName> = names.iter().map(|name| split(name)).collect();
    let seeded = !seed_column && parts.iter().all(|part| part.seed.is_some());
    let joins = (1..parts.len()).any(|i| parts[..i].iter().any(|p| p.arm == parts[i].arm));
    if seeded && joins {
        let mut arms: Vec<&str> = parts.iter().map(|p| p.arm.as_str()).collect();
        arms.dedup();
        let note = format!(
            "{} files with one run each: the files of one arm differ in the seed that their names tell (arms: {})",
            parts.len(),
            arms.join(", ")
        );
        return (parts, vec![note]);
    }
    let whole = |path: &&Path, name: String| {
        let shared = paths.iter().filter(|other| other.file_stem() == path.file_stem()).count() > 1;
        FileName { arm: if shared { path.display().to_string() } else { name }, seed: None }
    };
    (paths.iter().zip(names).map(|(path, name)| whole(path, name)).collect(), Vec::new())
}

/// Takes `seed0`, `seed=0`, `seed_0` or a last `s0` out of a name.
pub(super) fn split(name: &str) -> FileName {
    let lower = name.to_ascii_lowercase();
    let found = lower.match_indices("seed").filter_map(|(at, _)| digits(name, at, at + 4)).last();
    let short = || {
        let words = lower.match_indices(['_', '-', '.', '/']).map(|(at, _)| at);
        let is_short = |at: &usize| lower[at + 1..].starts_with('s');
        let last = words.filter(is_short).filter_map(|at| digits(name, at + 1, at + 2)).next_back();
        last.filter(|(_, end, _)| name[*end..].chars().next().is_none_or(|c| !c.is_alphanumeric()))
    };
    let Some((start, end, seed)) = found.or_else(short) else {
        return FileName { arm: name.into(), seed: None };
    };
    let trim = |part: &str| part.trim_matches(['_', '-', '.', ' ', '/', '=']).to_owned();
    let (before, after) = (trim(&name[..start]), trim(&name[end..]));
    let arm = [before, after].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("-");
    FileName { arm: if arm.is_empty() { "runs".into() } else { arm }, seed: Some(seed) }
}

/// The number behind `word_end`, perhaps after one separator: where the word starts, where the number ends,
/// and the number without leading zeros.
fn digits(name: &str, start: usize, word_end: usize) -> Option<(usize, usize, String)> {
    let rest = name.get(word_end..)?;
    let number = rest.strip_prefix(['=', '_', '-', '.', ' ']).unwrap_or(rest);
    let length = number.bytes().take_while(u8::is_ascii_digit).count();
    let from = name.len() - number.len();
    let seed: u64 = number[..length].parse().ok()?;
    Some((start, from + length, seed.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_arm_and_seed() {
        let told = |name: &str| {
            let FileName { arm, seed } = split(name);
            (arm, seed.unwrap_or_default())
        };
        for (name, arm, seed) in [
            ("base_seed0", "base", "0"),
            ("wide-seed=12", "wide", "12"),
            ("run-base_seed_3-tag-val_acc", "run-base-tag-val_acc", "3"),
            ("Seed 07", "runs", "7"),
            ("logs/base/seed1/metrics", "logs/base-metrics", "1"),
            ("base-s2", "base", "2"),
            ("seedling", "seedling", ""),
            ("resnet-s2x", "resnet-s2x", ""),
            ("plain", "plain", ""),
            ("größe_seed1", "größe", "1"),
        ] {
            assert_eq!(told(name), (arm.to_string(), seed.to_string()), "{name}");
        }
    }

    #[test]
    fn files_join_only_where_all_names_tell_a_seed() {
        let arms = |paths: &[&str]| {
            let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
            of_files(&paths, false).0.into_iter().map(|n| n.arm).collect::<Vec<_>>()
        };
        assert_eq!(arms(&["a_seed0.csv", "a_seed1.csv", "b_seed0.csv"]), ["a", "a", "b"]);
        assert_eq!(arms(&["a_seed0.csv", "a_seed1.csv", "b.csv"]), ["a_seed0", "a_seed1", "b"]);
        assert_eq!(arms(&["a_seed0.csv", "b_seed0.csv"]), ["a_seed0", "b_seed0"]);
        assert_eq!(arms(&["x/m.csv", "y/m.csv"]), ["x/m.csv", "y/m.csv"]);
        assert_eq!(arms(&["a/seed0/m.csv", "a/seed1/m.csv"]), ["a-m", "a-m"]);
    }
}
