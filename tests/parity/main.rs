//! The program against numbers computed by PyTorch: `fixtures/`, written by `make_fixtures.py`.

mod checks;

use std::path::Path;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures");
    let trial = |&(name, check): &checks::Check| {
        let folder = folder.clone();
        Trial::test(name, move || {
            check(&folder);
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), checks::ALL.iter().map(trial).collect()).exit_code()
}
