//! A child process that never outlives its owner, its signals, and its memory as the kernel sees it.

use super::eventually;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::{Child, ExitStatus};

/// A child that is killed, by its pid, when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) const fn new(child: Child) -> Self {
        Self(child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("the process is ours");
    }

    /// `SIGSTOP`, and waits until the kernel says that it stopped.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        eventually("the process is stopped", || {
            proc_status(self.id(), Status::State).starts_with('T').then_some(())
        });
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// The exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("the process is ours")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process too. Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A line of proc(5)'s `status`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Status {
    /// One letter and its explanation.
    State,
    /// The most resident memory that there ever was.
    PeakResident,
}

/// One value of `/proc/PID/status`, without its label.
pub(crate) fn proc_status(pid: u32, what: Status) -> String {
    let label = match what {
        Status::State => "State:",
        Status::PeakResident => "VmHWM:",
    };
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = text.lines().find_map(|it| it.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label} of {pid}")).trim().to_owned()
}
