//! The fault campaign: a tiny run is killed, refused, signalled and damaged in every way that a machine
//! knows, continued, and compared with a run that nothing happened to. See `docs/faults.md`.
//!
//! ```text
//! campaign -> Case, Case, ... -> program under the shim -> what is left -> Finding, ... -> table
//! ```

#[cfg(target_os = "linux")]
mod campaign;
#[cfg(target_os = "linux")]
mod case;
#[cfg(target_os = "linux")]
mod cases;
#[cfg(target_os = "linux")]
mod damage;
#[cfg(target_os = "linux")]
mod experiments;
#[cfg(target_os = "linux")]
mod fuzz;
#[cfg(target_os = "linux")]
mod judge;
#[cfg(target_os = "linux")]
mod lab;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
mod pretender;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod rows;
#[cfg(target_os = "linux")]
mod run_folder;
#[cfg(target_os = "linux")]
mod sweeps;
#[cfg(target_os = "linux")]
mod trial;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    campaign::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("the fault campaign needs Linux: its shim filters system calls there");
    std::process::ExitCode::FAILURE
}
