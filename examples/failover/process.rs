//! Child processes that never outlive the demonstration, and waiting that always ends.
//!
//! Each child has a process group of its own: Ctrl-C reaches the demonstration alone, which then
//! ends its children itself, by process id, in whatever state it is.

use crate::Fallible;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A child process, killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to the file `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Fallible<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .map_err(|error| {
                format!("cannot start {}: {error}", command.get_program().to_string_lossy())
            })?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// An error if the process has ended.
    pub(crate) fn expect_alive(&mut self) -> Fallible<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let text = fs::read_to_string(&self.log).unwrap_or_default();
                let last = text.lines().last().unwrap_or_default();
                Err(format!("{} has ended with {status}: {last}", self.name).into())
            }
        }
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(&mut self) -> Fallible<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; how the process ended.
    pub(crate) fn terminate(&mut self, limit: Duration) -> Fallible<ExitStatus> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or("no such process id")?, Signal::TERM)?;
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(LOOK_EVERY);
        }
        self.kill()?;
        Err(format!("{} did not end within {limit:?} of SIGTERM", self.name).into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended is fine, and there is nobody left to tell about anything else.
        let _ = self.kill();
    }
}

/// Whether the user wants the demonstration to end.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to listen for SIGINT and SIGTERM.
    pub(crate) fn watch() -> Fallible<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let set = Arc::clone(&flag);
        let (mut interrupted, mut terminated) = runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            Ok::<_, std::io::Error>((
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            ))
        })?;
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupted.recv() => {}
                    _ = terminated.recv() => {}
                }
            });
            set.store(true, Ordering::Relaxed);
        });
        Ok(Self(flag))
    }

    /// An error as soon as the user wants the end.
    pub(crate) fn check(&self) -> Fallible<()> {
        if self.0.load(Ordering::Relaxed) { Err("interrupted".into()) } else { Ok(()) }
    }
}

/// Waits for conditions, each for a limited time.
pub(crate) struct Within {
    limit: Duration,
    interrupt: Interrupt,
}

impl Within {
    pub(crate) fn new(limit: Duration, interrupt: &Interrupt) -> Self {
        Self { limit, interrupt: interrupt.clone() }
    }

    /// Looks again and again until `look` has found what it looks for.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut() -> Fallible<Option<T>>,
    ) -> Fallible<T> {
        let start = Instant::now();
        loop {
            self.interrupt.check()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            if start.elapsed() >= self.limit {
                return Err(format!("waited {:?} in vain for {what}", self.limit).into());
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// Whether a GET of `path` is answered with 200.
pub(crate) fn answers_ok(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: segue\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(&status == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
