//! Signals and streams: what ends a run, and how.
#![cfg(unix)]

use std::{process::Command, time::Duration};

use crate::program::{Folder, Process, finish};

/// Starts a long run by a shell line, in which `$0` is the program, and waits for its first rows.
fn start(folder: &Folder, script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_ijepa-run"), "tiny.yaml", "train.epochs=3000"]);
    command.current_dir(folder.path()).env_remove("IJEPA_RUN_OUTPUT");
    let child = Process::start(&mut command);
    folder.wait_for_rows(2);
    child
}

#[test]
fn every_warning_ends_with_a_checkpoint() {
    for signal in ["-TERM", "-INT", "-HUP", "-USR1", "-USR2", "-XCPU"] {
        let folder = Folder::new();
        let mut child = start(&folder, r#"exec "$0" "$@""#);
        child.signal(signal);
        let run = child.end();
        assert_eq!(run.code, 75, "{signal}: {}", run.stderr);
        assert!(folder.run_folder().join("checkpoints/latest.safetensors").is_file(), "{signal}");
        assert!(folder.read("status.json").contains("\"stopped\""), "{signal}");
    }
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let folder = Folder::new();
    let mut child = start(&folder, r#"trap "" HUP USR1; exec "$0" "$@""#);
    child.signal("-HUP");
    child.signal("-USR1");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!folder.read("status.json").contains("stopped"));
    child.signal("-TERM");
    assert_eq!(child.end().code, 75);
}

#[test]
fn a_display_that_cannot_be_written_ends_no_run() {
    for script in [r#"exec "$0" "$@" 2>/dev/full"#, r#"exec "$0" "$@" >&- 2>&-"#, r#""$0" "$@" 2>&1 | true"#]
    {
        let folder = Folder::new();
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_ijepa-run"), "tiny.yaml"]);
        assert!(command.current_dir(folder.path()).status().unwrap().success(), "{script}");
        assert!(folder.read("status.json").contains("\"done\""), "{script}");
    }
    // The answer of the command is lost: that is worth an exit code.
    for words in ["tiny.yaml", "tiny.yaml --print-config", "ls", "--help", "check tiny.yaml"] {
        let folder = Folder::new();
        assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
        let script = format!(r#"exec "$0" {words} >/dev/full"#);
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_ijepa-run")]).current_dir(folder.path());
        assert_eq!(command.status().unwrap().code(), Some(1), "{words}");
    }
}

#[test]
fn arguments_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let mut command = folder.command(&["tiny.yaml", "--output"]);
    let run = finish(command.arg(std::ffi::OsStr::from_bytes(b"o\xff")).output().unwrap());
    assert_eq!(run.code, 0, "{}", run.stderr);
}
