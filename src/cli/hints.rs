//! The line to type, where words were meant as commands, options or settings that are not there.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config;

/// Words that people type in front of the file to be run.
const RUN: [&str; 9] = ["run", "train", "start", "launch", "exec", "sweep", "resume", "fit", "pretrain"];

/// Commands of other programs, and what does it here.
const OTHER_NAMES: [(&str, &str); 11] = [
    ("list", "ls"),
    ("validate", "check"),
    ("lint", "check"),
    ("plot", "report"),
    ("html", "report"),
    ("info", "show"),
    ("diff", "compare"),
    ("completion", "completions bash"),
    ("benchmark", "bench"),
    ("scaffold", "new KIND NAME"),
    ("create", "new KIND NAME"),
];

/// What to type, if `word` is no file.
pub(super) fn for_missing_file(word: &str, overrides: &[String], commands: &[String]) -> Option<String> {
    let file = overrides.iter().find(|o| !o.contains('=')).map_or("FILE.yaml", String::as_str);
    if commands.iter().any(|c| c == word) {
        return Some(format!(
            "`{word}` is a command: it comes first, its options after it: ijepa-run {word} {file}"
        ));
    }
    if RUN.contains(&word) {
        return Some(format!("a run needs no command: ijepa-run {file}"));
    }
    if let Some((_, here)) = OTHER_NAMES.iter().find(|(other, _)| *other == word) {
        return Some(format!("the command is: ijepa-run {here}"));
    }
    word.contains('=').then(|| format!("the file comes first: ijepa-run {file} {word}"))
}

/// What to type instead of an option that does not exist; none if the error is about something else.
pub(super) fn for_unknown_option(error: &clap::Error, arguments: &[String]) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let option = text(ContextKind::InvalidArg)?.split('=').next()?;
    if !option.starts_with('-') {
        return None;
    }
    let help = setting(option, arguments)
        .or_else(|| other_option(option).map(str::to_owned))
        .or_else(|| text(ContextKind::SuggestedArg).map(|near| format!("did you mean `{near}`?")))
        .unwrap_or_else(|| "`ijepa-run --help` lists the options; settings are written key=value".into());
    Some(format!("error: there is no option `{option}`\n  help: {help}"))
}

/// `--seed 3` and `--lr=0.1` are settings here.
fn setting(option: &str, arguments: &[String]) -> Option<String> {
    let word = option.strip_prefix("--")?;
    let paths = match word.split_once('.') {
        Some(_) => vec![word.to_owned()],
        None => config::paths_of(word),
    };
    let at = arguments.iter().position(|a| a.split('=').next() == Some(option))?;
    let own = arguments[at].split_once('=').map(|(_, value)| value);
    let next = arguments.get(at + 1).map(String::as_str).filter(|a| !a.starts_with('-') && !a.contains('='));
    let value = own.or(next).unwrap_or("VALUE");
    let lines: Vec<String> = paths.iter().map(|path| format!("{path}={value}")).collect();
    (!lines.is_empty()).then(|| format!("settings are written without dashes: {}", lines.join(" or ")))
}

fn other_option(option: &str) -> Option<&'static str> {
    Some(match option {
        "--config" | "--file" | "-c" | "-f" | "--experiment" => {
            "the file needs no option: ijepa-run FILE.yaml"
        }
        "--resume" | "--continue" | "-r" => {
            "a run continues by itself: type the command again that started it"
        }
        "--gpu" | "--gpus" | "--cuda" => "the device is a setting: device=cuda",
        "--grid" | "--multi" | "--sweep" => "a grid is run with -m: ijepa-run FILE.yaml -m seed=0,1",
        "--plan" | "--dryrun" => "did you mean `--dry-run`?",
        "--overwrite" | "--restart" | "--clean" => "did you mean `--force`?",
        _ => return None,
    })
}

/// What to type instead of a range in the notation of another language.
pub(super) fn for_range(override_: &str) -> Option<String> {
    const MOST: i64 = 64;
    let (path, value) = override_.split_once('=')?;
    let value = value.trim();
    let inner = ["range(", "choice(", "interval("]
        .iter()
        .find_map(|head| value.strip_prefix(head)?.strip_suffix(')'));
    let values = match (inner, value.split_once("..")) {
        (Some(list), _) if value.starts_with("choice") => {
            list.split(',').map(|v| v.trim().to_owned()).collect()
        }
        (Some(ends), _) => between(ends.split(',').collect::<Vec<_>>().as_slice(), MOST)?,
        (None, Some((from, to))) => between(&[from, to.trim_start_matches(['=', '.'])], MOST)?,
        _ => return None,
    };
    Some(format!("list the values: -m {path}={}", values.join(",")))
}

fn between(ends: &[&str], most: i64) -> Option<Vec<String>> {
    let [from, to] = ends else { return None };
    let (from, to): (i64, i64) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (from < to && to - from < most).then(|| (from..=to).map(|v| v.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_no_files_get_the_line_to_type() {
        let commands = ["check".to_owned()];
        let hint = |word: &str, rest: &[&str]| {
            let rest: Vec<String> = rest.iter().map(|r| (*r).to_owned()).collect();
            for_missing_file(word, &rest, &commands).unwrap_or_default()
        };
        assert_eq!(hint("run", &["a.yaml"]), "a run needs no command: ijepa-run a.yaml");
        assert!(hint("check", &["a.yaml"]).ends_with("ijepa-run check a.yaml"));
        assert_eq!(hint("seed=3", &["a.yaml"]), "the file comes first: ijepa-run a.yaml seed=3");
        assert_eq!(hint("list", &[]), "the command is: ijepa-run ls");
        assert_eq!(hint("a.yaml", &[]), "");
    }

    #[test]
    fn ranges_of_other_languages_become_lists() {
        let list = Some("list the values: -m a.b=1,2,3,4".to_owned());
        for typed in ["a.b=1..4", "a.b=1..=4", "a.b=range(1,4)", "a.b=range(1, 4)", "a.b=choice(1,2,3,4)"] {
            assert_eq!(for_range(typed), list, "{typed}");
        }
        assert!(["a.b=../x", "a.b=1", "a", "a.b=range(4,1)"].iter().all(|o| for_range(o).is_none()));
    }
}
