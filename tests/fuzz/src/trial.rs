//! Running many cases: counts, the smallest case that fails, and an eye on the time.

use std::{
    fmt::Debug,
    fs, panic,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

/// Processor time that one case may take, in seconds.
const MOST_SECONDS: u64 = 20;

static TRIED: AtomicU64 = AtomicU64::new(0);
static ACCEPTED: AtomicU64 = AtomicU64::new(0);

/// Cases tried, those of making a failure smaller included.
pub fn tried() -> u64 {
    TRIED.load(Ordering::Relaxed)
}

/// Cases that were not refused.
pub fn accepted() -> u64 {
    ACCEPTED.load(Ordering::Relaxed)
}

/// Notes that an input was taken as a right one.
pub fn accept() {
    ACCEPTED.fetch_add(1, Ordering::Relaxed);
}

/// Tries `cases` values of `strategy`. The error starts with `panic: ` or `wrong: ` and holds the smallest
/// value that fails.
pub fn run<S: Strategy>(
    cases: u32,
    seed: u64,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), String>,
) -> Result<(), String>
where
    S::Value: Debug,
{
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    // Making a failure smaller panics many times; the last message is enough.
    panic::set_hook(Box::new(|_| {}));
    let counted = |value| {
        TRIED.fetch_add(1, Ordering::Relaxed);
        match panic::catch_unwind(panic::AssertUnwindSafe(|| test(value))) {
            Ok(result) => result.map_err(|e| TestCaseError::fail(format!("wrong: {e}"))),
            Err(cause) => Err(TestCaseError::fail(format!("panic: {}", message(&cause)))),
        }
    };
    runner.run(strategy, counted).map_err(|error| match error {
        TestError::Fail(reason, value) => format!("{}\n{value:#?}", reason.message()),
        TestError::Abort(reason) => format!("wrong: {reason}"),
    })
}

fn message(cause: &Box<dyn std::any::Any + Send>) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or(cause.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

/// Ends the process when one case takes too much processor time.
pub fn watch() {
    thread::spawn(|| {
        let (mut case, mut since) = (0, seconds());
        loop {
            thread::sleep(Duration::from_millis(500));
            if tried() != case {
                (case, since) = (tried(), seconds());
            } else if case > 0 && seconds() > since + MOST_SECONDS {
                println!(
                    "tried {case}\nhang: case {case} takes more than {MOST_SECONDS} s of processor time"
                );
                std::process::exit(3);
            }
        }
    });
}

/// Processor time of this process.
fn seconds() -> u64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // What follows the name in brackets is regular; ticks are 100 a second (proc(5), fields 14 and 15).
    let fields: Vec<&str> = text.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) / 100
}
