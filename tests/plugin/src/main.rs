//! `ijepa-run` with the components of this crate. The `use` line is what links them in.

use ijepa_plugin_example as _;

fn main() -> std::process::ExitCode {
    ijepa_run::main()
}
