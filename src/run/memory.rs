//! Whether a run fits into the memory that it may take: asked before anything large is allocated, since a
//! process that gets no memory can only abort.

use ijepa_registry::{
    image::ImageSet,
    kinds::{ProbeSizes, Teacher},
};

use super::RunError;
use crate::{
    config::{Control, Experiment},
    model::{BuildDevice, MICRO_BATCH_TOKENS},
    train::{PlannedProbe, Session},
};

const MIB: f64 = 1048576.0;

/// Share of what there is from which a person is warned.
const CLOSE: f64 = 0.8;

/// Bytes that a process may still take, and who says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    /// Bytes.
    pub bytes: f64,
    /// Where the limit comes from.
    pub limit: &'static str,
}

/// What a run needs, part by part, in bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Need(Vec<(&'static str, f64)>);

impl Need {
    fn total(&self) -> f64 {
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }

    /// A refusal if it cannot fit into the room, a warning if it is close.
    fn check(&self, room: Option<Room>) -> Result<Option<String>, RunError> {
        let Some(Room { bytes, limit }) = room else { return Ok(None) };
        let (need, part) =
            (self.total(), |(name, bytes): &(&str, f64)| format!("{name} {:.0} MiB", bytes / MIB));
        let parts = self.0.iter().map(part).collect::<Vec<_>>().join(", ");
        let numbers = format!(
            "the run needs about {:.0} MiB of memory ({parts}), and {limit} leaves {:.0} MiB",
            need / MIB,
            bytes / MIB
        );
        if need > bytes {
            let help = "take fewer images, a smaller model or a smaller train.batch_size, or raise the limit";
            return Err(RunError::Config(format!("memory: {numbers}\n  help: {help}")));
        }
        Ok((need > CLOSE * bytes).then(|| format!("warning: {numbers}")))
    }
}

/// Before the data are loaded and the model is built: images and parameters, as far as the components say
/// how many there are.
pub fn check_before(experiment: &Experiment) -> Result<Option<String>, RunError> {
    let data = &experiment.dataset.object;
    let count = experiment.survey().map_or(0, |survey| survey.train + survey.test);
    let images = data.memory(count) as f64;
    // Weights of the teacher; weights, gradients and two moments of what is trained.
    let Values { encoder, predictor, teacher } = values(experiment);
    let model = 4.0 * (4.0 * (encoder + predictor) + teacher);
    Need(vec![("images", images), ("model", model)]).check(room())
}

/// Before a model is built only to be counted.
pub fn check_weights(experiment: &Experiment) -> Result<(), RunError> {
    let Values { encoder, predictor, .. } = values(experiment);
    Need(vec![("weights", 4.0 * (encoder + predictor))]).check(room()).map(|_| ())
}

/// Numbers of values, as far as components say.
struct Values {
    encoder: f64,
    predictor: f64,
    teacher: f64,
}

fn values(experiment: &Experiment) -> Values {
    let (image, encoder) = (experiment.dataset.object.shape(), &experiment.encoder.object);
    let target_dim = experiment.targets.object.dim(encoder.as_ref(), image);
    let known = |count: Option<u64>| count.unwrap_or(0) as f64;
    let of_encoder = known(encoder.parameters(image));
    let has_own = experiment.targets.object.teacher() == Teacher::Own;
    Values {
        encoder: of_encoder,
        predictor: known(experiment.predictor.object.parameters(
            experiment.grid(),
            encoder.dim(),
            target_dim,
        )),
        teacher: if has_own { of_encoder } else { 0.0 },
    }
}

/// With the data loaded and the model built: what training on a processor and probes take on top.
pub fn check_training<D: BuildDevice>(
    session: &Session<D>,
    threads: usize,
) -> Result<Option<String>, RunError> {
    let (plan, data) = (&session.plan, &session.plan.source.data);
    let grid = session.jepa.geometry.grid();
    let trained: usize =
        session.jepa.trained_params().iter().map(|(_, p)| p.dims.iter().product::<usize>()).sum();
    let part = plan.batch_size.min((MICRO_BATCH_TOKENS / grid.len()).max(1));
    let cost = session.builder.cost();
    let activations = plan.typical_masks(part).filter_map(|plans| cost.activations(&plans));
    let activations = 4.0 * activations.fold(0.0, f64::max);
    // The scores of one head of a whole image, on every thread.
    let scores = 4.0 * threads as f64 * (grid.len() as f64).powi(2);
    let on_host = if D::READING_WAITS { 0.0 } else { 1.0 };
    Need(vec![
        ("gradients and moments", on_host * 12.0 * trained as f64),
        ("activations", on_host * (activations + scores)),
        ("probes", probes(session, data)),
    ])
    .check(room())
}

/// The most that a probe takes with the features of all images of one of its subjects.
fn probes<D: BuildDevice>(session: &Session<D>, data: &ImageSet) -> f64 {
    let [train, test] = [&data.train, &data.test].map(|split| data.labelled(split));
    let test = test + data.count(&data.validation);
    let classes = data.train.labels.iter().map(|l| l.values.len()).max().unwrap_or(1);
    let of = |probe: &PlannedProbe| {
        let needs = probe.probe.needs();
        let of = |encoded| {
            let (tokens, dim) = session.jepa.geometry.feature(encoded, needs);
            let own = probe.probe.memory(&ProbeSizes { train, test, dim, tokens, classes }).unwrap_or(0);
            4.0 * ((train + test) * tokens * dim) as f64 + own as f64
        };
        let pixels = probe.controls.contains(&Control::Pixels);
        of(true).max(if pixels { of(false) } else { 0.0 })
    };
    session.plan.probes.iter().map(of).fold(0.0, f64::max)
}

/// What this process may still take: the least of what the machine has, its cgroups and its limits allow.
/// None where the system does not tell.
fn room() -> Option<Room> {
    room_by(&|path| std::fs::read_to_string(path).ok())
}

fn room_by(read: &dyn Fn(&str) -> Option<String>) -> Option<Room> {
    let machine = read("/proc/meminfo").and_then(|text| {
        let value = |key| kib(&text, key);
        Some(Room {
            bytes: value("MemAvailable:")? + value("SwapFree:").unwrap_or(0.0),
            limit: "this machine",
        })
    });
    let status = read("/proc/self/status").unwrap_or_default();
    let limits = read("/proc/self/limits").unwrap_or_default();
    let limit = |name, used, limit| {
        let most = soft_limit(&limits, name)?;
        Some(Room { bytes: (most - kib(&status, used)?).max(0.0), limit })
    };
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let all = [
        machine,
        limit("Max address space", "VmSize:", "the limit of address space (ulimit -v)"),
        limit("Max data size", "VmData:", "the limit of data (ulimit -d)"),
    ];
    let cgroups = groups.lines().filter_map(|line| cgroup(line, read));
    all.into_iter().flatten().chain(cgroups).min_by(|a, b| a.bytes.total_cmp(&b.bytes))
}

/// A value in KiB of a table such as `/proc/meminfo`, in bytes.
fn kib(text: &str, key: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kib| 1024.0 * kib)
}

/// A soft limit of `/proc/self/limits`; none if it is unlimited.
fn soft_limit(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// What is left in a cgroup, of version 2 (`0::/path`) or 1 (`7:memory:/path`), and in those around it.
fn cgroup(line: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<Room> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, most, used, cached) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max", "memory.current", "file"),
        c if c.split(',').any(|c| c == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache")
        }
        _ => return None,
    };
    let number = |path: String| read(&path)?.trim().parse::<f64>().ok();
    let left = |group: &str| {
        let most = number(format!("{root}{group}/{most}"))?;
        let stat = read(&format!("{root}{group}/memory.stat")).unwrap_or_default();
        // Cached files make room when it is needed.
        let cached = stat.lines().find_map(|l| l.strip_prefix(cached)?.strip_prefix(' ')?.parse().ok());
        Some((most - number(format!("{root}{group}/{used}"))? + cached.unwrap_or(0.0)).max(0.0))
    };
    // Inside a container the root of its own tree is what counts.
    let ancestors = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path.trim_end_matches('/')]);
    let bytes = ancestors.filter_map(left).reduce(f64::min)?;
    Some(Room { bytes, limit: "the cgroup of this process" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system of these files.
    fn system(files: &[(&'static str, &'static str)]) -> Option<Room> {
        room_by(&|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| text.to_string()))
    }

    const MEMORY: (&str, &str) =
        ("/proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    4096 kB\nSwapFree: 1024 kB\n");

    #[test]
    fn the_least_of_all_limits_counts() {
        assert_eq!(system(&[]), None);
        let room =
            |files: &[_]| system(&[&[MEMORY], files].concat()).map(|r| (r.bytes / 1024.0, r.limit)).unwrap();
        assert_eq!(room(&[]), (5120.0, "this machine"));
        let status = ("/proc/self/status", "VmSize:\t 1000 kB\nVmData:\t 10 kB\n");
        let limits = (
            "/proc/self/limits",
            "Max data size  unlimited unlimited bytes\nMax address space  2048000  4096000 bytes\n",
        );
        assert_eq!(room(&[status, limits]), (1000.0, "the limit of address space (ulimit -v)"));
        let two = [
            ("/proc/self/cgroup", "0::/a/b\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "3072000\n"),
            ("/sys/fs/cgroup/a/memory.current", "2048000\n"),
            ("/sys/fs/cgroup/a/memory.stat", "anon 5\nfile 1024000\nfile_mapped 7\n"),
        ];
        assert_eq!(room(&two), (2000.0, "the cgroup of this process"));
        let one = [
            ("/proc/self/cgroup", "9:cpu:/x\n7:memory:/x\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1024000\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "512000\n"),
        ];
        assert_eq!(room(&one), (500.0, "the cgroup of this process"));
    }

    #[test]
    fn a_need_is_refused_with_its_numbers_or_warned_of() {
        let need = Need(vec![("images", 700.0 * MIB), ("model", 50.0 * MIB)]);
        let room = |mib: f64| Some(Room { bytes: mib * MIB, limit: "this machine" });
        assert_eq!(need.check(None).unwrap(), None);
        assert_eq!(need.check(room(1000.0)).unwrap(), None);
        let warning = need.check(room(800.0)).unwrap().unwrap();
        assert!(warning.contains("750 MiB of memory (images 700 MiB, model 50 MiB)"), "{warning}");
        let refusal = need.check(room(600.0)).unwrap_err().to_string();
        assert!(refusal.contains("this machine leaves 600 MiB") && refusal.contains("help:"), "{refusal}");
    }
}
