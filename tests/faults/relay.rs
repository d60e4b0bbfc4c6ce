//! A TCP relay before one node: it delays what passes, keeps it back, and cuts a connection after a
//! chosen byte of a chosen request or of its reply.
//!
//! Threads and blocking sockets, because it carries a few dozen connections of a test. A cut is a
//! half-close to both sides, so that what was let through before it arrives.

use crate::harness::{Place, Port};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether what is kept back may pass.
const KEPT_POLL: Duration = Duration::from_millis(2);

/// Which byte is the last to pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cut {
    /// So many bytes of the request pass.
    Request(usize),
    /// The request passes, and so many bytes of the reply.
    Reply(usize),
}

#[derive(Debug, Default)]
struct Rules {
    delay_nanos: AtomicU64,
    /// Nothing passes towards the node, or from it.
    is_deaf: AtomicBool,
    is_dumb: AtomicBool,
    /// The next connection on which this request is seen is cut there.
    cut: Mutex<Option<(Vec<u8>, Cut)>>,
    ended: AtomicBool,
}

impl Rules {
    /// Waits while this direction is kept back.
    fn wait_open(&self, is_up: bool) {
        let kept = if is_up { &self.is_deaf } else { &self.is_dumb };
        while kept.load(Ordering::Relaxed) && !self.ended.load(Ordering::Relaxed) {
            thread::park_timeout(KEPT_POLL);
        }
    }
}

/// A relay. Ends with the value; connections end with their ends.
#[derive(Debug)]
pub(crate) struct Relay {
    addr: SocketAddr,
    rules: Arc<Rules>,
}

impl Relay {
    /// Listens at `place` for connections to `target`.
    pub(crate) fn start(place: &Place, target: SocketAddr) -> Self {
        let rules: Arc<Rules> = Arc::default();
        let port = Port::reserve_at(place);
        let addr = port.addr();
        let listener = place.inside(|| TcpListener::bind(addr)).expect("the port is reserved");
        let (shared, there) = (Arc::clone(&rules), place.clone());
        thread::spawn(move || {
            // Whatever it opens is opened there.
            there.enter();
            let _reserved = port;
            for client in listener.incoming() {
                if shared.ended.load(Ordering::Relaxed) {
                    break;
                }
                // A node that is not there is a connection that ends, as it would be without us.
                if let (Ok(client), Ok(node)) = (client, TcpStream::connect(target)) {
                    join(client, node, &shared).expect("sockets can be shared by two threads");
                }
            }
        });
        Self { addr, rules }
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whatever is read from now on arrives so much later.
    pub(crate) fn delay(&self, delay: Duration) {
        self.rules.delay_nanos.store(delay.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Keeps back what goes to the node, and what comes from it, until it is told otherwise.
    pub(crate) fn keep_back(&self, to_node: bool, from_node: bool) {
        self.rules.is_deaf.store(to_node, Ordering::Relaxed);
        self.rules.is_dumb.store(from_node, Ordering::Relaxed);
    }

    /// Cuts the connection that carries `request` next.
    pub(crate) fn cut(&self, request: Vec<u8>, cut: Cut) {
        *self.rules.cut.lock().unwrap() = Some((request, cut));
    }

    /// Whether the cut was made, or is not waited for any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.rules.cut.lock().unwrap().is_none()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.rules.ended.store(true, Ordering::Relaxed);
        // Wakes the listener. Nobody listens any more if it has ended already.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
    }
}

/// Both directions of one connection.
fn join(client: TcpStream, node: TcpStream, rules: &Arc<Rules>) -> io::Result<()> {
    client.set_nodelay(true)?;
    node.set_nodelay(true)?;
    // Bytes of replies that may still pass; negative: all.
    let budget = Arc::new(AtomicI64::new(-1));
    let up = Pump {
        from: client.try_clone()?,
        to: node.try_clone()?,
        rules: Arc::clone(rules),
        budget: Arc::clone(&budget),
        is_up: true,
    };
    let down = Pump { from: node, to: client, rules: Arc::clone(rules), budget, is_up: false };
    for pump in [up, down] {
        thread::spawn(move || pump.run());
    }
    Ok(())
}

/// One direction.
struct Pump {
    from: TcpStream,
    to: TcpStream,
    rules: Arc<Rules>,
    budget: Arc<AtomicI64>,
    /// Towards the node.
    is_up: bool,
}

impl Pump {
    fn run(mut self) {
        let (sender, queue) = mpsc::channel::<(Instant, Vec<u8>)>();
        let Ok(mut to) = self.to.try_clone() else { return };
        let (rules, is_up) = (Arc::clone(&self.rules), self.is_up);
        let writer = thread::spawn(move || {
            for (due, bytes) in queue {
                wait_until(due);
                rules.wait_open(is_up);
                if to.write_all(&bytes).is_err() {
                    break;
                }
            }
        });
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = self.from.read(&mut buffer) {
            let (pass, is_last) = self.allow(&buffer[..count]);
            let delay = Duration::from_nanos(self.rules.delay_nanos.load(Ordering::Relaxed));
            let chunk = (Instant::now() + delay, buffer[..pass].to_vec());
            if sender.send(chunk).is_err() || is_last {
                break;
            }
        }
        drop(sender);
        // Everything that may pass has passed before the connection ends. Errors only say that
        // a side has gone, which is what is wanted.
        let _ = writer.join();
        let _ = self.to.shutdown(Shutdown::Both);
        let _ = self.from.shutdown(Shutdown::Both);
    }

    /// How many of these bytes pass, and whether they are the last.
    fn allow(&mut self, bytes: &[u8]) -> (usize, bool) {
        if !self.is_up {
            let left = self.budget.load(Ordering::Acquire);
            let Ok(left) = usize::try_from(left) else { return (bytes.len(), false) };
            return (left.min(bytes.len()), true);
        }
        let mut rule = self.rules.cut.lock().unwrap();
        let Some((request, cut)) = &*rule else { return (bytes.len(), false) };
        let Some(at) = bytes.windows(request.len()).position(|it| it == request) else {
            return (bytes.len(), false);
        };
        let allowed = match *cut {
            Cut::Request(count) => (at + count, true),
            Cut::Reply(count) => {
                self.budget.store(count as i64, Ordering::Release);
                (bytes.len(), false)
            }
        };
        *rule = None;
        allowed
    }
}

fn wait_until(due: Instant) {
    let mut now = Instant::now();
    while now < due {
        thread::park_timeout(due - now);
        now = Instant::now();
    }
}
