//! One attempt to break a run, as text and back: `call:fresh:57:torn` repeats alone what a campaign found.

use std::{fmt, str::FromStr};

use super::damage::Damage;

/// Where a run stands when it is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing is there yet.
    Fresh,
    /// Stopped with a checkpoint half-way.
    Stopped,
    /// Killed after its checkpoint half-way, with rows that it does not vouch for.
    Killed,
    /// Finished.
    Done,
}

impl Stage {
    pub const ALL: [Stage; 4] = [Stage::Fresh, Stage::Stopped, Stage::Killed, Stage::Done];

    pub fn word(self) -> &'static str {
        match self {
            Stage::Fresh => "fresh",
            Stage::Stopped => "stopped",
            Stage::Killed => "killed",
            Stage::Done => "done",
        }
    }
}

/// What is done, to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Case {
    /// System call `at` of the run from `stage` on is struck.
    Call { stage: Stage, at: u64, action: String, sticky: bool },
    /// System call `at` of a reader of a finished run fails.
    Reader { reader: String, at: u64, action: String, sticky: bool },
    /// Signals by processor time.
    Signal { stage: Stage, signals: String },
    /// A file of a run at `stage` is damaged; `seed` decides where.
    Damage { stage: Stage, file: String, damage: Damage, seed: u64 },
    /// A file of a finished sweep is damaged.
    SweepDamage { file: String, damage: Damage, seed: u64 },
    /// A sweep's own process, or its child, gets a signal after so many milliseconds.
    Sweep { child: bool, signal: i32, milliseconds: u64 },
    /// Several processes start one experiment together.
    Crowd { processes: u64 },
    /// What the run says on one of its streams cannot be written.
    Stream { stage: Stage, stream: Stream },
}

/// A stream that takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output to a full disk.
    OutputFull,
    /// Standard error to a full disk.
    ErrorFull,
    /// Standard output to a pipe that nobody reads.
    OutputUnread,
    /// Standard error to a pipe that nobody reads.
    ErrorUnread,
}

impl Stream {
    pub const ALL: [Stream; 4] =
        [Stream::OutputFull, Stream::ErrorFull, Stream::OutputUnread, Stream::ErrorUnread];

    fn word(self) -> &'static str {
        match self {
            Stream::OutputFull => "output-full",
            Stream::ErrorFull => "error-full",
            Stream::OutputUnread => "output-unread",
            Stream::ErrorUnread => "error-unread",
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let more = |sticky: &bool| if *sticky { ":sticky" } else { "" };
        match self {
            Case::Call { stage, at, action, sticky } => {
                write!(f, "call:{}:{at}:{action}{}", stage.word(), more(sticky))
            }
            Case::Reader { reader, at, action, sticky } => {
                write!(f, "reader:{reader}:{at}:{action}{}", more(sticky))
            }
            Case::Signal { stage, signals } => write!(f, "signal:{}:{signals}", stage.word()),
            Case::Damage { stage, file, damage, seed } => {
                write!(f, "damage:{}:{file}:{}:{seed}", stage.word(), damage.word())
            }
            Case::SweepDamage { file, damage, seed } => {
                write!(f, "sweep-damage:{file}:{}:{seed}", damage.word())
            }
            Case::Sweep { child, signal, milliseconds } => {
                write!(f, "sweep:{}:{signal}:{milliseconds}", if *child { "child" } else { "parent" })
            }
            Case::Crowd { processes } => write!(f, "crowd:{processes}"),
            Case::Stream { stage, stream } => write!(f, "stream:{}:{}", stage.word(), stream.word()),
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Case, String> {
        let words: Vec<&str> = text.split(':').collect();
        read(&words)
            .ok_or_else(|| format!("`{text}` is no case; a campaign prints them, such as call:fresh:57:torn"))
    }
}

fn read(words: &[&str]) -> Option<Case> {
    let number = |word: &str| word.parse::<u64>().ok();
    let stage = |word: &str| Stage::ALL.into_iter().find(|s| s.word() == word);
    Some(match *words {
        ["call", from, at, action, ref rest @ ..] => Case::Call {
            stage: stage(from)?,
            at: number(at)?,
            action: action.into(),
            sticky: rest == ["sticky"],
        },
        ["reader", reader, at, action, ref rest @ ..] => Case::Reader {
            reader: reader.into(),
            at: number(at)?,
            action: action.into(),
            sticky: rest == ["sticky"],
        },
        ["signal", from, signals] => Case::Signal { stage: stage(from)?, signals: signals.into() },
        ["damage", from, file, damage, seed] => {
            let damage = Damage::of_word(damage)?;
            Case::Damage { stage: stage(from)?, file: file.into(), damage, seed: number(seed)? }
        }
        ["sweep-damage", file, damage, seed] => {
            Case::SweepDamage { file: file.into(), damage: Damage::of_word(damage)?, seed: number(seed)? }
        }
        ["sweep", who, signal, milliseconds] => Case::Sweep {
            child: who == "child",
            signal: signal.parse().ok()?,
            milliseconds: number(milliseconds)?,
        },
        ["crowd", processes] => Case::Crowd { processes: number(processes)? },
        ["stream", from, stream] => {
            let stream = Stream::ALL.into_iter().find(|s| s.word() == stream)?;
            Case::Stream { stage: stage(from)?, stream }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_repeated_from_its_text() {
        for text in [
            "call:fresh:57:torn",
            "call:stopped:3:5:sticky",
            "reader:compare:4:13",
            "signal:fresh:15@120,2@140",
            "damage:done:checkpoints/latest.safetensors:bit:3",
            "sweep-damage:runs.csv:doubled-line:0",
            "sweep:child:9:120",
            "crowd:6",
            "stream:done:error-unread",
        ] {
            assert_eq!(text.parse::<Case>().map(|c| c.to_string()).as_deref(), Ok(text));
        }
        assert!("call:fresh".parse::<Case>().is_err());
    }
}
