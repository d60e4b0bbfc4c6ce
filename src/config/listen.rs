//! `listen:` and `http:`, where clients, probes and people connect.

use super::{
    address::{self, ListenAddress},
    durability::Durability,
    section::Section,
};
use serde::Serialize;
use std::net::SocketAddr;

/// One address for clients.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Listen {
    address: ListenAddress,
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<Durability>,
}

impl Listen {
    /// Where clients connect.
    pub const fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// What is promised about the writes of clients that connect there, if anything.
    pub const fn durability(&self) -> Option<&Durability> {
        self.durability.as_ref()
    }

    /// The list `listen`, as shipped if the file does not have it.
    pub(super) fn read_all(root: &mut Section<'_>) -> Vec<Self> {
        let Some(read) = root.sections("listen", Self::read) else { return Self::shipped() };
        let written = read.len();
        let listens: Vec<Self> = read.into_iter().flatten().collect();
        if written == 0 && !root.problems().concerns("listen") {
            root.problems().push("listen", "is empty: at least one address is needed");
        }
        listens
    }

    fn read(section: &mut Section<'_>) -> Option<Self> {
        refuse_tls(section);
        let address = section.must("address", ListenAddress::read);
        let durability = section.optional("durability", Durability::read);
        Some(Self { address: address?, durability })
    }

    fn shipped() -> Vec<Self> {
        let address = ListenAddress::Tcp(SocketAddr::from(([0, 0, 0, 0], 6380)));
        vec![Self { address, durability: None }]
    }
}

/// `http:`, for metrics, probes of the platform and the status page. Changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Http {
    pub(super) address: SocketAddr,
}

impl Http {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        refuse_tls(section);
        let shipped = SocketAddr::from(([0, 0, 0, 0], 9180));
        Self { address: section.or("address", shipped, address::socket) }
    }
}

/// A key that is planned gets an answer of its own: "unknown key" would be untrue for long.
fn refuse_tls(section: &mut Section<'_>) {
    if section.has("tls") {
        let path = section.path_of("tls");
        section.problems().push(&path, "TLS is not available in this version");
        section.pass("tls");
    }
}

#[cfg(test)]
mod tests {
    use crate::config::test::{config, errors};

    #[test]
    fn listens_as_shipped_when_nothing_is_said() {
        let config = config("workers: 1");
        let shown: Vec<_> = config.listen().iter().map(|it| it.address().to_string()).collect();
        assert_eq!(shown, ["0.0.0.0:6380"]);
        assert_eq!(config.http(), None);
    }

    #[test]
    fn http_is_off_unless_it_is_asked_for() {
        assert_eq!(config("http: {}").http().unwrap().to_string(), "0.0.0.0:9180");
        assert_eq!(errors("http:"), "1:1: http: has no value: give it keys, or leave it out");
    }

    #[test]
    fn says_what_is_wrong_with_an_address() {
        assert_eq!(errors("listen: []"), "1:1: listen: is empty: at least one address is needed");
        assert_eq!(
            errors("listen: 0.0.0.0:6380"),
            "1:1: listen: must be a list (`[ … ]`), not a single value"
        );
        assert_eq!(
            errors("listen:\n  - address: localhost:6380\n  - tls: {}"),
            "2:5: listen[0].address: `localhost:6380` is not an address to listen on; \
             write an IP address and a port, such as `0.0.0.0:6380` or `unix:/run/segue.sock`\n\
             3:5: listen[1].tls: TLS is not available in this version\n\
             3:5: listen[1].address: is missing",
        );
    }
}
