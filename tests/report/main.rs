//! `ijepa-run report`, `show` and `ls`, and `compare` on sweeps, as a user runs them.

mod lab;
mod lists;
mod mistakes;
mod numbers;
mod page;
#[allow(dead_code)]
#[path = "../runner/program.rs"]
mod program;
mod real;
mod single;
