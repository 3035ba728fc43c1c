//! Starting runs as processes of their own.

mod pool;

pub use pool::{Ended, Job, PoolEvent, run_all};
