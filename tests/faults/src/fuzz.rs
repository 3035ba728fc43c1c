//! Wrong inputs, tried by `ijepa-fuzz` in processes of their own: an overflow of the stack ends only those.

use std::{
    collections::BTreeMap,
    env, io,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::judge::Fault;

/// One kind of input, and how many.
pub struct Amount {
    /// Name of its row.
    pub row: &'static str,
    kind: &'static str,
    count: usize,
}

const fn amount(row: &'static str, kind: &'static str, count: usize) -> Amount {
    Amount { row, kind, count }
}

/// Rows of the short form.
pub const SHORT: [Amount; 7] = [
    amount("fuzz: configurations", "configurations", 1_500),
    amount("fuzz: overrides", "overrides", 500),
    amount("fuzz: checkpoints", "checkpoints", 400),
    amount("fuzz: sealed checkpoints", "states", 100),
    amount("fuzz: CSV files", "tables", 400),
    amount("fuzz: images", "images", 300),
    amount("fuzz: CIFAR-10 files", "cifar", 200),
];

/// Rows of the long form.
pub const LONG: [Amount; 7] = [
    amount("fuzz: configurations", "configurations", 50_000),
    amount("fuzz: overrides", "overrides", 5_000),
    amount("fuzz: checkpoints", "checkpoints", 5_000),
    amount("fuzz: sealed checkpoints", "states", 2_000),
    amount("fuzz: CSV files", "tables", 5_000),
    amount("fuzz: images", "images", 5_000),
    amount("fuzz: CIFAR-10 files", "cifar", 5_000),
];

/// What came of it.
pub struct Fuzzed {
    pub tried: usize,
    pub faults: BTreeMap<Fault, usize>,
}

/// Shares the inputs between some processes, each with a seed of its own.
pub fn run(amount: &Amount, seed: u64, workers: usize) -> io::Result<Fuzzed> {
    let program = beside()?;
    let workers = workers.max(1);
    let share = amount.count.div_ceil(workers);
    let start = |worker: usize| -> io::Result<(String, Child)> {
        let own = seed * 1_000 + worker as u64;
        let arguments =
            [amount.kind, "--cases", &share.to_string(), "--seed", &own.to_string()].map(String::from);
        let command = format!("ijepa-fuzz {}", arguments.join(" "));
        Ok((
            command,
            Command::new(&program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?,
        ))
    };
    let running: Vec<_> = (0..workers).map(start).collect::<io::Result<_>>()?;
    let mut all = Fuzzed { tried: 0, faults: BTreeMap::new() };
    for (command, child) in running {
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let tried = said.lines().find_map(|l| l.strip_prefix("tried ")?.parse::<usize>().ok());
        all.tried += tried.unwrap_or(0);
        if !output.status.success() || tried.is_none() {
            let fault = fault_of(&said, output.status.code());
            println!("FAULT {}: {}\n{said}  again: {command}", amount.row, output.status);
            *all.faults.entry(fault).or_default() += 1;
        }
    }
    Ok(all)
}

fn fault_of(said: &str, code: Option<i32>) -> Fault {
    let word = |fault: &Fault| said.lines().any(|line| line.starts_with(&format!("{}:", fault.word())));
    let named = [Fault::Hang, Fault::Panic, Fault::Wrong].into_iter().find(word);
    // Code 1 is a case that failed; anything else is an end that nobody wanted.
    named.unwrap_or(if code == Some(1) { Fault::Wrong } else { Fault::Panic })
}

fn beside() -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let path = own.with_file_name("ijepa-fuzz");
    let missing =
        || io::Error::other(format!("there is no {}: cargo build --release --workspace", path.display()));
    if path.is_file() { Ok(path) } else { Err(missing()) }
}
