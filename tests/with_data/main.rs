//! Tests on data that is not in the repository: fixtures of two other repositories, and real images, and the
//! programs that exports are for. Without the data they are ignored, each with what it needs, and the last line counts them. README.md beside this file
//! says what the data is.

#[path = "../parity/checks/mod.rs"]
mod checks;
mod exports;
mod real_images;

use std::{path::PathBuf, process::ExitCode};

use libtest_mimic::{Arguments, Trial};

/// Data outside the repository, in `../shared` or where a variable points.
struct Data {
    variable: &'static str,
    folder: PathBuf,
    /// A file in the folder.
    has: &'static str,
    tests: &'static [checks::Check],
}

impl Data {
    fn find(
        variable: &'static str,
        default: &str,
        has: &'static str,
        tests: &'static [checks::Check],
    ) -> Self {
        let folder = std::env::var_os(variable).map_or_else(|| default.into(), PathBuf::from);
        Data { variable, folder, has, tests }
    }

    fn is_here(&self) -> bool {
        self.folder.join(self.has).is_file()
    }

    /// One trial per test. An ignored one that is asked for all the same fails and names the file it lacks.
    fn trials(&self) -> Vec<Trial> {
        let trial = |&(name, check): &checks::Check| {
            let folder = self.folder.clone();
            let work = move || {
                check(&folder);
                Ok(())
            };
            let trial = Trial::test(name, work);
            if self.is_here() {
                return trial;
            }
            trial.with_ignored_flag(true).with_kind(format!("needs {}", self.variable))
        };
        self.tests.iter().map(trial).collect()
    }
}

fn main() -> ExitCode {
    let data = [
        Data::find("IJEPA_FIXTURES", "../shared/fixtures", "seed/mask_stats.json", checks::ALL),
        Data::find("IJEPA_SHARED", "../shared", "data/unpack_cifar10.sh", real_images::ALL),
        Data::find("IJEPA_EXPORT_VENV", ".export-venv", "pyvenv.cfg", exports::ALL),
    ];
    let arguments = Arguments::from_args();
    let result = libtest_mimic::run(&arguments, data.iter().flat_map(Data::trials).collect());
    let absent: Vec<&Data> = data.iter().filter(|d| !d.is_here()).collect();
    if !arguments.list && result.num_ignored > 0 && !absent.is_empty() {
        let variables: Vec<&str> = absent.iter().map(|d| d.variable).collect();
        println!(
            "{} tests did not run, for want of data (set {}): tests/with_data/README.md",
            result.num_ignored,
            variables.join(" and ")
        );
    }
    result.exit_code()
}
