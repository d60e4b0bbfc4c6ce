//! `group:`, the nodes, and how Segue logs in to them.

use super::{
    address::HostPort,
    human,
    problems::Findings,
    secret::{self, Secrets},
    section::Section,
};
use secrecy::SecretString;
use serde::Serialize;
use std::path::PathBuf;

/// More than any group has; the lists that people look at stay readable.
const NODES_MAX: usize = 100;

/// The nodes, and how Segue logs in to them.
///
/// Checked: there is at least one node, and no two have the same name or address.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    name: String,
    nodes: Vec<Node>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<Credentials>,
    discover: bool,
}

/// One data server.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Node {
    name: String,
    address: HostPort,
    /// The same as `address` unless the file says otherwise.
    replication_address: HostPort,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
}

/// How Segue itself logs in to nodes, for probes and promotion.
#[derive(Clone, Debug, Serialize)]
pub struct Credentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(flatten)]
    source: Source,
    #[serde(skip)]
    password: SecretString,
}

/// Where a password comes from.
#[derive(Clone, Debug, Serialize)]
enum Source {
    #[serde(rename = "password_file")]
    File(PathBuf),
    #[serde(rename = "password_env")]
    Environment(String),
}

impl Group {
    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The configured nodes, in the order of the file. Never empty.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How Segue itself logs in to nodes, if it has to.
    pub const fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Whether replicas that only the primary names are nodes too.
    pub const fn discover(&self) -> bool {
        self.discover
    }

    pub(super) fn read(section: &mut Section<'_>, secrets: Secrets) -> Self {
        let name = section.or("name", "main".to_owned(), human::name);
        let nodes = section.sections("nodes", Node::read);
        let credentials =
            section.optional("credentials", |it| Credentials::read(it, secrets)).flatten();
        let discover = section.or("discover", false, human::flag);

        let problems = section.problems();
        let written = nodes.as_ref().map(Vec::len);
        let nodes: Vec<(String, Node)> = nodes
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(position, node)| Some((format!("group.nodes[{position}]"), node?)))
            .collect();
        match written {
            None if problems.concerns("group") => {}
            None => problems.push("group.nodes", "is missing: at least one node is needed"),
            Some(0) if problems.concerns("group.nodes") => {}
            Some(0) => problems.push("group.nodes", "is empty: at least one node is needed"),
            Some(written) if written > NODES_MAX => {
                problems.push("group.nodes", format!("has {written} nodes; {NODES_MAX} at most"));
            }
            Some(_) => {}
        }
        check_unique(&nodes, problems);
        check_promotable(&nodes, problems);
        let nodes = nodes.into_iter().map(|(_, node)| node).collect();
        Self { name, nodes, credentials, discover }
    }
}

impl Node {
    /// What logs, metrics and commands call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where Segue reaches it.
    pub const fn address(&self) -> &HostPort {
        &self.address
    }

    /// Where the other nodes reach it: what is sent in `REPLICAOF`.
    pub const fn replication_address(&self) -> &HostPort {
        &self.replication_address
    }

    /// Its priority for a promotion, if the file overrides the server's own; 0 is never.
    pub const fn priority(&self) -> Option<u32> {
        self.priority
    }

    fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section.must("name", human::name);
        let address = section.must("address", HostPort::read);
        let replication_address = section.take("replication_address", HostPort::read);
        let priority = section.take("priority", human::count);
        let (name, address) = (name?, address?);
        let replication_address = replication_address.unwrap_or_else(|| address.clone());
        Some(Self { name, address, replication_address, priority })
    }
}

impl Credentials {
    /// The user, or none for the default user.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password.
    pub const fn password(&self) -> &SecretString {
        &self.password
    }

    fn read(section: &mut Section<'_>, secrets: Secrets) -> Option<Self> {
        let username = section.take("username", user);
        let written =
            ["password_file", "password_env", "password"].iter().any(|it| section.has(it));
        let file = section.take("password_file", secret::path);
        let variable = section.take("password_env", secret::variable_name);
        let path = section.path().to_owned();
        match (file, variable) {
            (Some(_), Some(_)) => {
                let text = "has both password_file and password_env: leave one out";
                section.problems().push(&path, text);
                None
            }
            (None, None) => {
                if !written {
                    let text = "needs either password_file or password_env";
                    section.problems().push(&path, text);
                }
                None
            }
            (Some(file), None) => {
                let password = secrets.file(section, "password_file", &file)?;
                Some(Self { username, source: Source::File(file), password })
            }
            (None, Some(name)) => {
                let password = secrets.variable(section, "password_env", &name)?;
                Some(Self { username, source: Source::Environment(name), password })
            }
        }
    }
}

/// A user name as the server takes it: ACL SETUSER refuses spaces and zero bytes.
fn user(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(|it| it.is_whitespace() || it == '\0') {
        return Err("is not a user name: it must not be empty or contain spaces".to_owned());
    }
    Ok(text.to_owned())
}

fn check_unique(nodes: &[(String, Node)], problems: &mut Findings) {
    for (position, (path, node)) in nodes.iter().enumerate() {
        for (first_path, first) in nodes.iter().take(position) {
            let Node { name, address, replication_address, .. } = node;
            if *name == first.name {
                problems.push(
                    &format!("{path}.name"),
                    format!("`{name}` is already the name of {first_path}"),
                );
            }
            if *address == first.address {
                problems.push(
                    &format!("{path}.address"),
                    format!("{address} is already the address of {first_path}"),
                );
            } else if *replication_address == first.replication_address {
                problems.push(
                    &format!("{path}.replication_address"),
                    format!("{replication_address} is already where {first_path} is reached"),
                );
            }
        }
    }
}

/// What is valid, and yet leaves a group with which Segue can do little.
fn check_promotable(nodes: &[(String, Node)], problems: &mut Findings) {
    if nodes.is_empty() {
        return;
    }
    if let [_] = nodes {
        problems.warn("group.nodes", &[], "has a single node: there is nothing to fail over to");
    } else if nodes.iter().all(|(_, node)| node.priority == Some(0)) {
        problems.warn("group.nodes", &[], "has priority 0 throughout: no node may be promoted");
    }
    let loopback = |node: &Node| {
        let host = &node.replication_address.host;
        host == "localhost"
            || node.replication_address.literal().is_some_and(|it| it.ip().is_loopback())
    };
    if nodes.iter().any(|(_, node)| !loopback(node)) {
        for (path, node) in nodes.iter().filter(|(_, node)| loopback(node)) {
            let address = &node.replication_address;
            problems.warn(
                &format!("{path}.address"),
                &[&format!("{path}.replication_address")],
                format!(
                    "{address} cannot be reached by nodes on other hosts: \
                     set replication_address to where they reach it"
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{
        Config,
        test::{errors_alone, warnings_alone},
    };

    #[test]
    fn replicas_reach_a_node_where_segue_does_unless_told_otherwise() {
        let config = Config::parse(
            "group: { nodes: [{ name: a, address: a:1 }, \
             { name: b, address: b:1, replication_address: nat:2, priority: 0 }] }",
        )
        .unwrap();
        let [a, b] = config.group().nodes() else { panic!("two nodes") };
        assert_eq!(a.replication_address(), a.address());
        assert_eq!(b.replication_address().to_string(), "nat:2");
        assert_eq!((a.priority(), b.priority()), (None, Some(0)));
    }

    #[test]
    fn a_group_has_nodes() {
        assert_eq!(errors_alone(""), "1:1: group.nodes: is missing: at least one node is needed");
        assert_eq!(
            errors_alone("group: { nodes: [] }"),
            "1:10: group.nodes: is empty: at least one node is needed"
        );
    }

    #[test]
    fn names_and_addresses_are_unique() {
        assert_eq!(
            errors_alone(
                "group:\n  nodes:\n  - { name: a, address: h:1 }\n  - { name: a, address: H:1 }\n  \
                 - { name: c, address: h:2, replication_address: h:1 }"
            ),
            "4:7: group.nodes[1].name: `a` is already the name of group.nodes[0]\n\
             4:16: group.nodes[1].address: h:1 is already the address of group.nodes[0]\n\
             5:30: group.nodes[2].replication_address: h:1 is already where group.nodes[0] is reached\n\
             5:30: group.nodes[2].replication_address: h:1 is already where group.nodes[1] is reached",
        );
    }

    #[test]
    fn credentials_have_one_source() {
        let with = |credentials: &str| {
            errors_alone(&format!(
                "group: {{ nodes: [{{ name: a, address: h:1 }}], credentials: {credentials} }}"
            ))
        };
        assert_eq!(
            with("{ username: u }"),
            "1:46: group.credentials: needs either password_file or password_env"
        );
        assert_eq!(
            with("{ password_file: /a, password_env: B }"),
            "1:46: group.credentials: has both password_file and password_env: leave one out"
        );
        assert_eq!(
            with("{ password_env: SEGUE_TEST_NO_SUCH_VARIABLE }"),
            "1:61: group.credentials.password_env: \
             the variable `SEGUE_TEST_NO_SUCH_VARIABLE` is not set"
        );
        let text = with("{ password: hunter2 }");
        assert!(text.contains("`password_file`") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn warns_of_groups_that_cannot_fail_over() {
        assert_eq!(
            warnings_alone("group: { nodes: [{ name: a, address: h:1 }] }"),
            "1:10: group.nodes: has a single node: there is nothing to fail over to"
        );
        assert_eq!(
            warnings_alone(
                "group: { nodes: [{ name: a, address: 127.0.0.1:1 }, { name: b, address: h:1 }] }"
            ),
            "1:29: group.nodes[0].address: 127.0.0.1:1 cannot be reached by nodes on other hosts: \
             set replication_address to where they reach it"
        );
    }
}
