//! Where a process or a socket of a test lives: on loopback, or in a network namespace that a test
//! made for itself.
//!
//! A namespace belongs to a thread, and children and sockets get that of the thread that makes
//! them. So whoever wants something *there* goes there, makes it, and comes back.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::sync::Arc;

/// One place. Clones are the same place.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    ip: Ipv4Addr,
    namespace: Option<Arc<File>>,
}

impl Place {
    /// Loopback of whoever asks.
    pub(crate) const fn loopback() -> Self {
        Self { ip: Ipv4Addr::LOCALHOST, namespace: None }
    }

    /// A namespace, by its open file, in which the address is `ip`.
    #[allow(dead_code, reason = "the fault matrix uses it")]
    pub(crate) fn namespace(namespace: File, ip: Ipv4Addr) -> Self {
        Self { ip, namespace: Some(Arc::new(namespace)) }
    }

    pub(crate) const fn ip(&self) -> IpAddr {
        IpAddr::V4(self.ip)
    }

    /// Runs `make` there. What it starts stays there.
    pub(crate) fn inside<T>(&self, make: impl FnOnce() -> T) -> T {
        if self.namespace.is_none() {
            return make();
        }
        let home = File::open("/proc/thread-self/ns/net").expect("proc(5) is mounted");
        self.enter();
        let made = make();
        enter(&home);
        made
    }

    /// Moves this thread there, for good.
    pub(crate) fn enter(&self) {
        if let Some(namespace) = &self.namespace {
            enter(namespace);
        }
    }
}

fn enter(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("it worked when the namespace was made");
}
