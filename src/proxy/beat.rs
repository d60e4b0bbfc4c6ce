//! A worker's beat: a timer of the kernel's that strikes at an even pace.
//!
//! A timer of the runtime's would have the loop work out, each time it goes to sleep, for how long,
//! and have the kernel wake it then. This one is set once, and the loop sleeps until something
//! happens. Strikes that nobody waited for count as one.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer that strikes again and again.
#[derive(Debug)]
pub(super) struct Beat(AsyncFd<OwnedFd>);

impl Beat {
    /// One that strikes every `period`, which is not zero, from then on. To be called within a
    /// runtime.
    ///
    /// # Errors
    ///
    /// If there is no file descriptor left, or `period` is too long for the kernel.
    pub(super) fn every(period: Duration) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let period = Timespec::try_from(period).map_err(io::Error::other)?;
        let setting = Itimerspec { it_interval: period, it_value: period };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
        #[expect(deprecated, reason = "sound for what owns its descriptor; the other is unsafe")]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Waits for the next strike.
    ///
    /// # Errors
    ///
    /// None that a timer is known to have.
    ///
    /// # Cancel safety
    ///
    /// No strike is lost by dropping this.
    pub(super) async fn strike(&self) -> io::Result<()> {
        let mut strikes = [0; 8];
        self.0.async_io(Interest::READABLE, |it| Ok(rustix::io::read(it, &mut strikes)?)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn it_strikes_again_and_again_and_not_too_early() {
        let period = Duration::from_millis(5);
        let started = Instant::now();
        let beat = Beat::every(period).unwrap();
        for strikes in 1..=3 {
            beat.strike().await.unwrap();
            assert!(started.elapsed() >= period * strikes, "strike {strikes}");
        }
    }
}
