//! Signals: the first SIGTERM or SIGINT asks for a drain, the second ends it.
//!
//! SIGHUP would end the process by default; a terminal that closes must not take the proxy
//! with it, so it is noted and ignored.

use std::io;
use tokio::signal::unix::{self, SignalKind};
use tracing::info;

/// A request to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// SIGTERM: from an init system or an orchestrator.
    Terminate,
    /// SIGINT: from a keyboard.
    Interrupt,
}

impl Stop {
    /// Exit code of a process that this ended: 128 and the signal's number, as a shell has it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 128 + 15,
            Self::Interrupt => 128 + 2,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }
}

/// Listens for signals from its making on; none that comes later is missed.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    /// Starts to listen.
    ///
    /// # Errors
    ///
    /// If the kernel does not let us.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hang_up: unix::signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next request to end.
    ///
    /// # Cancel safety
    ///
    /// A signal that came and was not returned is returned by the next call.
    pub async fn stop(&mut self) -> Stop {
        loop {
            let stop = tokio::select! {
                Some(()) = self.terminate.recv() => Stop::Terminate,
                Some(()) = self.interrupt.recv() => Stop::Interrupt,
                Some(()) = self.hang_up.recv() => {
                    info!(
                        signal = "SIGHUP",
                        "Ignored a signal: the configuration is read at the start only",
                    );
                    continue;
                }
                else => std::future::pending().await,
            };
            info!(signal = stop.name(), "Asked to stop");
            return stop;
        }
    }
}
