//! The program under test as a process: what it is ordered to suffer, and how it ended.

use std::{
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use ijepa_fault_shim::{Kind, board, variables};
use rustix::process::{Pid, Signal, kill_process};

/// Processor time after which a tiny run counts as hung, in ticks of the kernel (100 a second).
const MOST_TICKS: u64 = 6_000;

/// Time a process may sleep without using any processor time.
const LONGEST_SLEEP: Duration = Duration::from_secs(12);

/// Time between two looks at a process's use of the processor.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The program and the library that makes its calls fail.
#[derive(Clone, Debug)]
pub struct Program {
    pub binary: PathBuf,
    pub shim: PathBuf,
    /// A wrong behaviour to imitate (see `pretender`).
    pub pretends: Option<String>,
}

/// What is to happen to one process.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Calls on this path or below it are counted; none: the shim counts nothing.
    pub below: Option<PathBuf>,
    pub kind: Option<Kind>,
    /// Number of the struck call, and what is done to it.
    pub strike: Option<(u64, String)>,
    pub sticky: bool,
    /// Signals by processor time, such as `15@120`.
    pub signals: Option<String>,
    /// Whether every counted call is written down.
    pub trace: bool,
}

/// One counted call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    pub kind: Kind,
    /// From the folder that was watched.
    pub path: String,
}

/// How a process ended.
#[derive(Debug, Default)]
pub struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub hung: bool,
    pub stdout: String,
    pub stderr: String,
    /// Calls counted, and calls struck.
    pub counted: u64,
    pub struck: u64,
    pub trace: Vec<Traced>,
    /// Processor time in milliseconds, to the kernel's tick.
    pub milliseconds: u64,
}

impl Ended {
    /// Both streams.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// `exit 1`, `signal 9`, `hung`.
    pub fn how(&self) -> String {
        match (self.hung, self.code, self.signal) {
            (true, ..) => "hung".into(),
            (_, Some(code), _) => format!("exit {code}"),
            (_, _, Some(signal)) => format!("signal {signal}"),
            _ => "ended".into(),
        }
    }
}

impl Program {
    /// Runs the program in `desk`, a folder for its streams and the shim's files, which is also its
    /// working folder.
    pub fn run(&self, desk: &Path, arguments: &[&str], order: &Order) -> io::Result<Ended> {
        let file = |name: &str| desk.join(name);
        let (out, err) = (File::create(file(".stdout"))?, File::create(file(".stderr"))?);
        let mut command = self.command(desk, arguments);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        self.arm(&mut command, desk, order)?;
        let mut ended = watch(command.spawn()?)?;
        ended.stdout = text(&file(".stdout"))?;
        ended.stderr = text(&file(".stderr"))?;
        if let Some(below) = &order.below {
            read_board(&mut ended, &file(".board"))?;
            ended.trace = if order.trace { read_trace(&file(".trace"), below)? } else { Vec::new() };
        }
        Ok(ended)
    }

    /// The command without orders.
    pub fn command(&self, desk: &Path, arguments: &[&str]) -> Command {
        let mut command = match &self.pretends {
            None => Command::new(&self.binary),
            Some(word) => super::pretender::command(&self.binary, word),
        };
        command.args(arguments).current_dir(desk);
        // No git is found: under the filter it could not run, and a commit is nothing to compare.
        command.env_clear().env("PATH", "").env("NO_COLOR", "1").env("RUST_BACKTRACE", "0");
        command
    }

    fn arm(&self, command: &mut Command, desk: &Path, order: &Order) -> io::Result<()> {
        let Order { below, kind, strike, sticky, signals, trace } = order;
        if below.is_none() && signals.is_none() {
            return Ok(());
        }
        command.env("LD_PRELOAD", &self.shim);
        if let Some(signals) = signals {
            command.env(variables::SIGNALS, signals);
        }
        if let Some(below) = below {
            fs::write(desk.join(".board"), [0; board::BYTES])?;
            command.env(variables::BELOW, below).env(variables::BOARD, desk.join(".board"));
        }
        if let Some(kind) = kind {
            command.env(variables::KIND, kind.word());
        }
        if let Some((at, action)) = strike {
            command.env(variables::AT, at.to_string()).env(variables::ACTION, action);
        }
        if *sticky {
            command.env(variables::STICKY, "1");
        }
        if *trace {
            let _ = fs::remove_file(desk.join(".trace"));
            command.env(variables::TRACE, desk.join(".trace"));
        }
        Ok(())
    }
}

fn text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

fn read_board(ended: &mut Ended, path: &Path) -> io::Result<()> {
    let bytes = fs::read(path)?;
    let numbers: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
    if numbers[board::INSTALLED] != 1 {
        return Err(io::Error::other(
            "the shim was not installed: are LD_PRELOAD or seccomp forbidden here?",
        ));
    }
    ended.counted = numbers[..board::STRUCK].iter().sum();
    ended.struck = numbers[board::STRUCK];
    Ok(())
}

fn read_trace(path: &Path, below: &Path) -> io::Result<Vec<Traced>> {
    let below = below.to_string_lossy().into_owned();
    let parse = |line: &str| {
        let (word, path) = line.split_once(' ')?;
        let path = path.strip_prefix(&below)?.trim_start_matches('/').to_owned();
        Some(Traced { kind: Kind::of_word(word)?, path })
    };
    Ok(text(path)?.lines().filter_map(parse).collect())
}

/// Waits for the end; a process that hangs is killed, one that was stopped is woken again.
pub fn watch(mut child: Child) -> io::Result<Ended> {
    let (mut looked, mut moved, mut ticks) = (Instant::now(), Instant::now(), 0);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(2));
        if looked.elapsed() < LOOK_EVERY {
            continue;
        }
        looked = Instant::now();
        let Some((works, state, now)) = usage(child.id()) else { continue };
        if now > ticks || works {
            (ticks, moved) = (now.max(ticks), Instant::now());
        }
        if state == 'T' {
            send(child.id(), Signal::CONT);
        }
        if ticks > MOST_TICKS || moved.elapsed() > LONGEST_SLEEP {
            child.kill()?;
            child.wait()?;
            return Ok(Ended { hung: true, milliseconds: ticks * 10, ..Ended::default() });
        }
    };
    Ok(ended(status, ticks * 10))
}

fn ended(status: ExitStatus, milliseconds: u64) -> Ended {
    Ended { code: status.code(), signal: status.signal(), milliseconds, ..Ended::default() }
}

/// Sends a signal; a process that is gone needs none.
pub fn send(id: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(id as i32) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether any thread of a process works or waits for a processor, the state of its first one, and the ticks
/// of processor time it has used.
fn usage(id: u32) -> Option<(bool, char, u64)> {
    let (state, ticks) = stat(&format!("/proc/{id}/stat"))?;
    let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?.flatten();
    let states: Vec<char> =
        threads.filter_map(|t| Some(stat(&t.path().join("stat").to_string_lossy())?.0)).collect();
    Some((states.iter().any(|state| !matches!(state, 'S' | 'T')), state, ticks))
}

/// State and ticks in one of the kernel's `stat` files.
fn stat(path: &str) -> Option<(char, u64)> {
    let text = fs::read_to_string(path).ok()?;
    // The name in brackets may hold anything; what follows its last bracket is regular.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((fields[0].chars().next()?, ticks))
}
