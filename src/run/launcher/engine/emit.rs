//! Writes down what others are to start.

use std::{collections::BTreeSet, fs, io, path::PathBuf};

use super::{EngineSweep, kubernetes, script};
use crate::{
    results::write_atomic,
    run::launcher::{Ended, Job, JobEvent, Launcher, tool::quoted},
};

/// Writes scripts into the sweep folder instead of starting anything.
pub struct EmitLauncher {
    sweep: EngineSweep,
    queue: Vec<Job>,
    written: Vec<String>,
}

impl EmitLauncher {
    /// For a sweep.
    pub fn new(sweep: EngineSweep) -> Self {
        EmitLauncher { sweep, queue: Vec::new(), written: Vec::new() }
    }

    /// What to type, a line each; empty if there was nothing to do.
    pub fn told(&self) -> &[String] {
        &self.written
    }

    fn write(&mut self, tasks: &BTreeSet<usize>) -> io::Result<()> {
        let sweep = &self.sweep;
        let folder = sweep.engine_folder();
        fs::create_dir_all(&folder)?;
        let kubernetes = kubernetes::job(sweep).map_err(io::Error::other)?;
        let files = [
            ("slurm.sh", script::slurm(sweep)),
            ("tasks.txt", script::lines(sweep, tasks)),
            ("tasks.sh", script::shell(sweep, tasks)),
            ("kubernetes.yaml", kubernetes),
        ];
        let path = |name: &str| -> PathBuf { folder.join(name) };
        for (name, text) in &files {
            write_atomic(&path(name), text.as_bytes())?;
        }
        let text = |name: &str| quoted(&path(name).to_string_lossy());
        let at_a_time = script::tasks_at_a_time(sweep).map_or("".into(), |n| format!(" --jobs {n}"));
        let settings = &sweep.settings.kubernetes;
        self.written = vec![
            format!(
                "Slurm:        {}",
                script::slurm_command(sweep, tasks, &path("slurm.sh").to_string_lossy())
            ),
            format!(
                "GNU parallel: parallel{at_a_time} --joblog {} --resume-failed < {}",
                text("joblog"),
                text("tasks.txt")
            ),
            format!(
                "Kubernetes:   kubectl apply -f {} (image {}, volume claim {} at {})",
                text("kubernetes.yaml"),
                settings.image,
                settings.claim,
                settings.mount
            ),
            format!("any shell:    sh {} [TASK...]", text("tasks.sh")),
        ];
        Ok(())
    }
}

impl Launcher for EmitLauncher {
    fn slots(&self) -> usize {
        1
    }

    fn threads_per_run(&self) -> usize {
        self.sweep.threads()
    }

    fn submit(&mut self, job: Job) -> Result<(), String> {
        self.queue.push(job);
        Ok(())
    }

    fn poll(&mut self) -> Vec<JobEvent> {
        let jobs = std::mem::take(&mut self.queue);
        let tasks = self.sweep.tasks_of(&jobs);
        let written = if tasks.is_empty() { Ok(()) } else { self.write(&tasks) };
        let ended = || match &written {
            Ok(()) => Ended::NotStarted,
            Err(error) => Ended::Failed(error.to_string()),
        };
        jobs.iter().map(|job| JobEvent::Ended { index: job.index, ended: ended() }).collect()
    }

    fn stop(&mut self) {}
}
