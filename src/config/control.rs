//! `control:`, where commands that change something are taken.

use super::{
    address::ListenAddress,
    secret::{self, Secrets},
    section::Section,
};
use secrecy::SecretString;
use serde::Serialize;
use std::path::PathBuf;

/// Where commands that change something are taken. Checked: over TCP only with a token.
#[derive(Clone, Debug, Serialize)]
pub struct Control {
    address: ControlAddress,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    #[serde(skip)]
    token: Option<SecretString>,
}

/// Where the control API listens.
pub type ControlAddress = ListenAddress;

impl Control {
    /// Where it listens.
    pub const fn address(&self) -> &ControlAddress {
        &self.address
    }

    /// What a caller must show. Always there over TCP.
    pub const fn token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }

    pub(super) fn read(section: &mut Section<'_>, secrets: Secrets) -> Self {
        let shipped = ControlAddress::Unix(PathBuf::from("/tmp/segue.sock"));
        let address = section.or("address", shipped, ControlAddress::read);
        let token_file = section.take("token_file", secret::path);
        let token = token_file.as_ref().and_then(|path| secrets.file(section, "token_file", path));
        let control = Self { address, token_file, token };
        control.check(section);
        control
    }

    fn check(&self, section: &mut Section<'_>) {
        let ControlAddress::Tcp(address) = &self.address else { return };
        let problems = section.problems();
        if self.token_file.is_none() && !problems.concerns("control.token_file") {
            problems.push(
                "control.address",
                format!("{address} is open to the network: control.token_file is needed with it"),
            );
        }
        if !address.ip().is_loopback() {
            problems.warn(
                "control.address",
                &["control.token_file"],
                format!("{address} takes the token over the network in the clear"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{
        Config,
        test::{NODES, config, errors},
    };
    use secrecy::ExposeSecret;

    #[test]
    fn is_a_unix_socket_unless_told_otherwise() {
        let config = config("workers: 1");
        assert_eq!(config.control().address().to_string(), "unix:/tmp/segue.sock");
        assert!(config.control().token().is_none());
    }

    #[test]
    fn tcp_needs_a_token() {
        assert_eq!(
            errors("control: { address: 127.0.0.1:9181 }"),
            "1:12: control.address: 127.0.0.1:9181 is open to the network: \
             control.token_file is needed with it",
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "hush\n").unwrap();
        let yaml = format!(
            "control: {{ address: 127.0.0.1:9181, token_file: {} }}\n{NODES}",
            file.display()
        );
        let config = Config::parse(&yaml).unwrap();
        assert_eq!(config.control().token().unwrap().expose_secret(), "hush");
        assert!(!format!("{config:?}{}", config.to_yaml()).contains("hush"));
    }
}
