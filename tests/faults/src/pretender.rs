//! Programs that behave wrongly in a known way: the campaign must notice each of them.
//!
//! A shell script does the mischief around the real program, whose arguments end with `--output DIR` or name
//! the folder; what it does wrong is what version 0.1.0 did or could have done.

use std::{path::Path, process::Command};

/// A name, what the script does, and a case in which it shows.
pub struct Pretender {
    pub name: &'static str,
    script: &'static str,
    pub case: &'static str,
    pub fault: super::judge::Fault,
}

/// `$RUN` is the run folder, `real` the program.
const PREAMBLE: &str = r#"
PATH=/usr/bin:/bin
program=$1; shift
RUN=$(ls -d "$PWD"/out/*-s0-* 2>/dev/null | head -n 1)
real() { PATH= "$program" "$@"; }
is_run() { case "$*" in *tiny.yaml*) true ;; *) false ;; esac; }
"#;

/// All of them.
pub const ALL: [Pretender; 9] = {
    use super::judge::Fault;
    [
        Pretender {
            name: "restarts",
            script: r#"is_run "$@" && rm -f "$RUN"/checkpoints/*.safetensors "$RUN"/status.json "$RUN"/*.csv; real "$@""#,
            case: "signal:stopped:9@5",
            fault: Fault::Restart,
        },
        Pretender {
            name: "forgets",
            script: r#"is_run "$@" && rm -f "$RUN/run.json"; real "$@""#,
            case: "signal:stopped:9@5",
            fault: Fault::History,
        },
        Pretender {
            name: "miscounts",
            script: r#"real "$@"; sed -i '$ s/[0-9]$/x/' "$PWD"/out/*-s0-*/epochs.csv; exit 0"#,
            case: "signal:stopped:9@5",
            fault: Fault::Wrong,
        },
        Pretender {
            name: "panics",
            script: r#"real "$@"; echo "thread 'main' panicked at x.rs:1" >&2; exit 101"#,
            case: "damage:done:probes.csv:digit:1",
            fault: Fault::Panic,
        },
        Pretender {
            name: "hangs",
            script: r#"is_run "$@" && exec sleep 60; real "$@""#,
            case: "damage:done:probes.csv:digit:1",
            fault: Fault::Hang,
        },
        Pretender {
            name: "litters",
            script: r#"real "$@"; code=$?; is_run "$@" && : > "$(ls -d "$PWD"/out/*-s0-*)/.tmpAbC"; exit $code"#,
            case: "signal:stopped:9@5",
            fault: Fault::Leftover,
        },
        Pretender {
            name: "mumbles",
            script: r#"is_run "$@" && { echo "error: Input/output error (os error 5)" >&2; exit 1; }; real "$@""#,
            case: "damage:done:probes.csv:digit:1",
            fault: Fault::Nameless,
        },
        Pretender {
            name: "believes",
            script: r#"case "$*" in *compare*|*tiny.yaml*) exit 0 ;; esac; real "$@""#,
            case: "damage:done:probes.csv:digit:1",
            fault: Fault::Wrong,
        },
        Pretender {
            name: "cuts",
            script: r#"is_run "$@" && { : > "$RUN/metrics.csv"; echo "error: $RUN: no" >&2; exit 1; }; real "$@""#,
            case: "damage:stopped:run.json:digit:1",
            fault: Fault::Shortened,
        },
    ]
};

/// The command that imitates `name` around the program.
pub fn command(binary: &Path, name: &str) -> Command {
    let script = ALL.iter().find(|p| p.name == name).map_or("exit 2", |p| p.script);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{PREAMBLE}\n{script}"), "sh"]).arg(binary);
    command
}
