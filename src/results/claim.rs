//! Who may write a run folder: a claim that also holds where a file system has no locks.
//!
//! `claim/` is a folder that is made elsewhere and renamed into place with `owner.json` in it, which only one process
//! can do. Whoever takes a run over renames the folder away first. A file of the run is written below
//! `claim/TOKEN/` and renamed into place from there: once the claim is another one, that path is gone, so that a
//! process which was believed to be dead cannot replace anything any more.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    durable::{UNDER_WAY, forget_scratch, use_scratch},
    engine_task::EngineTask,
    machine::{ProcessId, unique_token},
};
use crate::data::regular;

/// Folder of the claim in a run folder.
pub(super) const CLAIM: &str = "claim";
const OWNER: &str = "owner.json";
const HEARTBEAT: &str = "heartbeat";

/// Time between two beats.
const BEAT: Duration = Duration::from_secs(30);

/// How often a claim is tried for: another process may give one up in this moment.
const TRIES: u32 = 5;

/// Who holds a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// What no other claim has.
    pub token: String,
    /// The process.
    pub process: ProcessId,
    /// The engine's task that it is, if it is one.
    #[serde(default)]
    pub task: Option<EngineTask>,
    /// When it claimed the folder (RFC 3339, UTC).
    pub since: String,
}

/// A claim that this process holds; given back when dropped.
pub(super) struct Claim {
    folder: PathBuf,
    token: String,
    /// Dropped to end the heartbeat.
    beat: Option<Sender<()>>,
}

impl Claim {
    /// Claims a run folder. `locked`: this process holds its lock, so that nobody else on this machine does. `steal`:
    /// take over from an owner nobody can ask about whose heartbeat stands still for so long.
    pub fn take(folder: &Path, locked: bool, steal: Option<Duration>) -> io::Result<Result<Self, Owner>> {
        let own = Owner {
            token: unique_token(),
            process: ProcessId::own(),
            task: EngineTask::from_environment(&|name| std::env::var(name).ok()),
            since: jiff::Timestamp::now().to_string(),
        };
        let mut last = Owner::default();
        for _ in 0..TRIES {
            let Some(owner) = read(folder)? else {
                if place(folder, &own)? {
                    use_scratch(folder, &folder.join(CLAIM).join(&own.token));
                    let beat = start_beating(folder, &own.token);
                    return Ok(Ok(Claim { folder: folder.into(), token: own.token, beat }));
                }
                continue;
            };
            let gone = is_gone(&owner, &own, locked);
            if !gone && !steal.is_some_and(|time| stands_still(folder, &owner, time)) {
                return Ok(Err(owner));
            }
            remove(folder, &owner.token)?;
            last = owner;
        }
        Ok(Err(last))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.beat = None;
        forget_scratch(&self.folder.join(CLAIM).join(&self.token));
        // What is left behind is taken over like that of a killed process.
        if read(&self.folder).ok().flatten().is_some_and(|owner| owner.token == self.token) {
            let _ = remove(&self.folder, &self.token);
        }
    }
}

/// Who holds the claim of a folder; one that cannot be read has an owner without a name.
fn read(folder: &Path) -> io::Result<Option<Owner>> {
    let claim = folder.join(CLAIM);
    match regular(&claim.join(OWNER)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).unwrap_or_default())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Ok(claim.symlink_metadata().is_ok().then(Owner::default))
        }
        Err(e) => Err(io::Error::new(e.kind(), format!("{CLAIM}/{OWNER}: {e}"))),
    }
}

/// Whether the owner of a claim is known to be gone.
fn is_gone(owner: &Owner, own: &Owner, locked: bool) -> bool {
    if let Some(lives) = owner.process.lives(&own.process) {
        return !lives;
    }
    // It would hold the lock.
    let shared = owner.process.shares_system(&own.process) || owner.token.is_empty();
    locked && shared || is_successor(own, owner)
}

/// Whether `own` is a task that its engine has started again, or in the place of `owner`: an engine does that once the
/// other one is gone.
fn is_successor(own: &Owner, owner: &Owner) -> bool {
    let (Some(own_task), Some(other)) = (&own.task, &owner.task) else { return false };
    let same = |t: &EngineTask| (t.engine.clone(), t.job.clone(), t.index);
    if same(own_task) != same(other) || own_task.job.is_empty() {
        return false;
    }
    match (own_task.restart, other.restart) {
        (Some(own), other) => own > other.unwrap_or(0),
        // A pod has its own host name.
        (None, _) => own_task.engine == "kubernetes" && own.process.host != owner.process.host,
    }
}

/// Whether the heartbeat of an owner stands still for so long by the clock of this process.
fn stands_still(folder: &Path, owner: &Owner, time: Duration) -> bool {
    let beat = || regular(&folder.join(CLAIM).join(HEARTBEAT)).unwrap_or_default();
    let (first, began) = (beat(), Instant::now());
    while began.elapsed() < time {
        thread::sleep(BEAT.min(time / 20).max(Duration::from_millis(10)));
        let same_owner = read(folder).ok().flatten().is_some_and(|now| now.token == owner.token);
        if beat() != first || !same_owner {
            return false;
        }
    }
    true
}

/// Puts a claim in place as a whole; false: another process was faster.
fn place(folder: &Path, own: &Owner) -> io::Result<bool> {
    let made = folder.join(format!("{UNDER_WAY}claim-{}", own.token));
    // Refused where a folder with something in it has that name. Whoever was faster clears away what is under way.
    let renamed = make(&made, own).and_then(|()| fs::rename(&made, folder.join(CLAIM)));
    // The answer of a network file system may be that of a second try: what counts is what lies there.
    let ours = read(folder)?.is_some_and(|owner| owner.token == own.token);
    if !ours {
        let _ = fs::remove_dir_all(&made);
        if let Err(error) = renamed
            && read(folder)?.is_none()
        {
            return Err(error);
        }
    }
    Ok(ours)
}

fn make(folder: &Path, own: &Owner) -> io::Result<()> {
    fs::create_dir_all(folder.join(&own.token))?;
    fs::write(folder.join(OWNER), serde_json::to_vec_pretty(own).map_err(io::Error::other)?)?;
    fs::write(folder.join(HEARTBEAT), b"0")
}

/// Takes the claim with this token away. The name it gets tells a second process that this was done.
fn remove(folder: &Path, token: &str) -> io::Result<()> {
    let aside = folder.join(format!("{UNDER_WAY}claim-{token}-over"));
    match fs::rename(folder.join(CLAIM), &aside) {
        Err(e) if e.kind() == io::ErrorKind::NotFound || aside.exists() => Ok(()),
        Err(e) => Err(e),
        Ok(()) => {
            let _ = fs::remove_dir_all(&aside);
            Ok(())
        }
    }
}

/// A thread that counts on in `claim/heartbeat` until the sender is dropped, or the claim is another one. Without a
/// thread there is no heartbeat; nothing else depends on it.
fn start_beating(folder: &Path, token: &str) -> Option<Sender<()>> {
    let (sender, end) = channel::<()>();
    let (folder, token) = (folder.to_path_buf(), token.to_owned());
    let beat = move || {
        for count in 1_u64.. {
            if end.recv_timeout(BEAT) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            if read(&folder).ok().flatten().is_none_or(|owner| owner.token != token) {
                return;
            }
            let _ = fs::write(folder.join(CLAIM).join(HEARTBEAT), count.to_string());
        }
    };
    thread::Builder::new().name("heartbeat".into()).spawn(beat).ok().map(|_| sender)
}

/// Whether another process works in a folder by its claim, as far as this one can tell; `locked`: nobody on this
/// machine holds its lock.
pub(super) fn is_claimed(folder: &Path, locked: bool) -> bool {
    let own = || Owner { process: ProcessId::own(), ..Owner::default() };
    let owner = read(folder).ok().flatten().filter(|owner| !owner.token.is_empty());
    owner.is_some_and(|owner| !is_gone(&owner, &own(), locked))
}

impl Owner {
    /// `process 7 on node3 since ..., slurm 12_3`.
    pub fn name(&self) -> String {
        let task = self.task.as_ref().map_or(String::new(), |task| format!(", {}", task.name()));
        let ProcessId { pid, host, .. } = &self.process;
        format!("process {pid} on {host} since {}{task}", self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{durable::is_superseded, write_atomic};

    fn take(folder: &Path) -> Result<Claim, Box<Owner>> {
        Claim::take(folder, false, None).unwrap().map_err(Box::new)
    }

    /// Rewrites the owner.
    fn pretend(folder: &Path, change: impl Fn(&mut Owner)) {
        let mut owner = read(folder).unwrap().unwrap();
        change(&mut owner);
        fs::write(folder.join(CLAIM).join(OWNER), serde_json::to_vec(&owner).unwrap()).unwrap();
    }

    fn elsewhere(owner: &mut Owner) {
        (owner.process.boot, owner.process.host) = ("another".into(), "elsewhere".into());
    }

    #[test]
    fn one_process_holds_a_claim_and_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let claim = take(folder.path()).ok().unwrap();
        assert!(take(folder.path()).is_err() && is_claimed(folder.path(), false));
        drop(claim);
        assert!(!is_claimed(folder.path(), false) && take(folder.path()).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn the_claim_of_a_dead_process_is_taken_over_and_its_writes_come_to_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("status.json");
        let orphan = take(folder.path()).ok().unwrap();
        write_atomic(&file, b"1").unwrap();
        // What the orphan has opened before is renamed from a path that is no longer there.
        let mut late = crate::results::AtomicFile::create(&file).unwrap();
        pretend(folder.path(), |owner| owner.process.start += 1);
        let heir = take(folder.path()).ok().unwrap();
        write_atomic(&file, b"2").unwrap();
        std::io::Write::write_all(&mut late, b"old").unwrap();
        assert!(is_superseded(&late.commit().unwrap_err()));
        assert_eq!(fs::read(&file).unwrap(), b"2");
        drop(orphan);
        assert!(is_claimed(folder.path(), false), "an orphan does not give back what is not its own");
        drop(heir);
    }

    #[test]
    fn a_process_elsewhere_is_left_alone_unless_its_engine_or_its_heartbeat_says_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let task = |restart| EngineTask { engine: "slurm".into(), job: "7".into(), index: 3, restart };
        let claim = take(folder.path()).ok().unwrap();
        pretend(folder.path(), elsewhere);
        assert!(Claim::take(folder.path(), true, None).unwrap().is_err());
        let other = read(folder.path()).unwrap().unwrap();
        let own = |task| Owner { process: ProcessId::own(), task: Some(task), ..Owner::default() };
        let first = Owner { task: Some(task(None)), ..other };
        assert!(is_gone(&first, &own(task(Some(1))), false) && !is_gone(&first, &own(task(None)), false));
        let index = EngineTask { index: 4, ..task(Some(1)) };
        assert!(!is_gone(&first, &own(index), false));
        // It stands still.
        let heir = Claim::take(folder.path(), true, Some(Duration::from_millis(50))).unwrap();
        assert!(heir.is_ok());
        drop((claim, heir));
    }
}
