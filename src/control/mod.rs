//! The control plane's shell: feeds [`Brain`](crate::pure::failover::Brain) and obeys it.
//!
//! ```text
//!  prober (one a node) --what nodes say-->  driver  --route--> every worker
//!  workers ------------ signals --------->  (the  )  <-- confirmed versions
//!  executor <---------- orders -----------  (loop ) --snapshot--> ops
//!           ----------- outcomes -------->          --table--> workers
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `driver` | the one loop: events in, actions out |
//! | `prober` | asks one node, on its own schedule and when told to |
//! | `executor` | the only sender of `REPLICAOF`, `CLIENT PAUSE` and `CLIENT KILL` |
//! | `fence` | the only sender of `min-replicas-to-write` |
//! | `examine` | asks what only a switchover wants to know |
//! | `request` | what operators ask for |
//! | `publisher` | hands out routes, and knows what every worker has confirmed |
//! | `learner` | asks a new primary for its commands |
//! | `recorder` | logs at TRACE what the brain is told and decides, to be replayed |
//! | `journal`, `phases` | log and count each note of the brain, once |
//!
//! # Deliberately absent
//!
//! Decisions: whatever can be wrong about a failover is in `pure::failover`. And the data
//! plane: this module never names `proxy`; `app` joins the two with channels.

mod driver;
mod examine;
mod executor;
mod fence;
mod journal;
mod learner;
mod phases;
mod prober;
mod publisher;
mod recorder;
mod request;
mod settings;

pub use driver::{Ends, run};
pub use request::{Change, Kind, Request};
pub use settings::Settings;

use crate::pure::time::Time;
use std::time::Instant;

/// The clock of the control plane: a monotonic span since it started.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { start: Instant::now() }
    }

    fn now(&self) -> Time {
        Time::from_start(self.start.elapsed())
    }

    /// The same moment for the timers of the runtime.
    fn instant(&self, at: Time) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + at.since_start())
    }
}
