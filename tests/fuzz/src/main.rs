//! Wrong inputs by the thousand, made from right ones. Nothing may panic or hang, what is refused is refused
//! with a reason, and what is accepted says what it said before.
//!
//! `ijepa-fuzz configurations --cases 1000 --seed 1` repeats exactly; a case that fails is made smaller and
//! printed. The fault campaign runs all kinds.

mod bytes;
mod checkpoints;
mod cifar;
mod configurations;
mod experiment;
mod images;
mod overrides;
mod shipped;
mod states;
mod tables;
mod text;
mod trial;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// Tries wrong inputs of one kind.
#[derive(Parser, Debug)]
struct Arguments {
    /// Kind of input.
    kind: Kind,
    /// How many.
    #[arg(long, default_value_t = 1_000)]
    cases: u32,
    /// Which ones.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Experiment and sweep files.
    Configurations,
    /// `key=value` on the command line, single and as a grid.
    Overrides,
    /// Header, offsets, shapes, types, state and values.
    Checkpoints,
    /// Checkpoints whose seal is right and whose content is senseless.
    States,
    /// CSV files of other programs.
    Tables,
    /// JPEG and PNG files of an image folder.
    Images,
    /// CIFAR-10 in its binary form.
    Cifar,
}

fn main() -> ExitCode {
    let Arguments { kind, cases, seed } = Arguments::parse();
    trial::watch();
    let result = match kind {
        Kind::Configurations => configurations::fuzz(cases, seed),
        Kind::Overrides => overrides::fuzz(cases, seed),
        Kind::Checkpoints => checkpoints::fuzz(cases, seed),
        Kind::States => states::fuzz(cases, seed),
        Kind::Tables => tables::fuzz(cases, seed),
        Kind::Images => images::fuzz(cases, seed),
        Kind::Cifar => cifar::fuzz(cases, seed),
    };
    println!("tried {}", trial::tried());
    match result {
        Ok(()) => {
            println!("accepted {}", trial::accepted());
            ExitCode::SUCCESS
        }
        Err(message) => {
            println!("{message}");
            ExitCode::FAILURE
        }
    }
}
