//! Files made with the unmodified reference repositories; see their README for how.

use std::path::PathBuf;

/// Path of `name` (such as `seed/schedules.json`) in the fixture folder: `$IJEPA_FIXTURES`, or
/// `shared/fixtures` next to the workspace. Says on stderr when it is not there.
pub fn fixture(name: &str) -> Option<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let folder = std::env::var_os("IJEPA_FIXTURES").map_or_else(default, PathBuf::from);
    let path = folder.join(name);
    if !path.is_file() {
        use std::io::Write;
        // Not captured by the test harness, as `eprintln!` would be.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not there (set IJEPA_FIXTURES)", path.display());
        return None;
    }
    Some(path)
}

/// A JSON fixture.
pub fn json(name: &str) -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(fixture(name)?).expect("readable fixture");
    Some(serde_json::from_str(&text).expect("fixture is JSON"))
}
