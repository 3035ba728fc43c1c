//! The program against numbers computed by PyTorch: `fixtures/`, written by `make_fixtures.py`.

mod checks;

use std::path::Path;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    // From the working directory, which cargo makes the package's own: `gpu-check.sh pack` takes this elsewhere.
    let folder = Path::new("tests/parity/fixtures");
    let trial = |&(name, check): &checks::Check| {
        Trial::test(name, move || {
            check(folder);
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), checks::ALL.iter().map(trial).collect()).exit_code()
}
