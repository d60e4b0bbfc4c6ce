//! Rules between sections; those within one stand in its own file.

use super::{Config, ListenAddress, human, limits, problems::Findings};

impl Config {
    pub(super) fn check(&self, problems: &mut Findings) {
        let workers = u64::try_from(self.workers).unwrap_or(u64::MAX);
        limits::number(problems, "workers", workers, 1, 64);
        self.check_listeners(problems);
        self.check_loops(problems);
        self.check_memory(problems);
        self.check_times(problems);
        self.check_durability(problems);
    }

    /// No two things listen in the same place.
    fn check_listeners(&self, problems: &mut Findings) {
        let mut taken: Vec<(String, ListenAddress)> = Vec::new();
        let listens = self.listen.iter().enumerate();
        let mut all: Vec<_> = listens
            .map(|(position, it)| (format!("listen[{position}].address"), it.address().clone()))
            .collect();
        all.extend(self.http().map(|it| ("http.address".to_owned(), ListenAddress::Tcp(it))));
        all.push(("control.address".to_owned(), self.control.address().clone()));
        for (key, address) in all {
            if let Some((first, other)) = taken.iter().find(|(_, it)| it.collides(&address)) {
                let text = format!("{address} is already taken by {first} ({other})");
                problems.push_rule(&key, first, text);
            }
            taken.push((key, address));
        }
    }

    /// No node is Segue itself: the first probe would ask us, and we would ask us.
    fn check_loops(&self, problems: &mut Findings) {
        for (position, node) in self.group.nodes().iter().enumerate() {
            let key = format!("group.nodes[{position}].address");
            let address = node.address();
            for (at, listen) in self.listen.iter().enumerate() {
                if listen.address().is_reached_by(address) {
                    let here = listen.address();
                    let text = format!(
                        "{address} leads back to Segue itself, \
                         which listens there (listen[{at}].address: {here})"
                    );
                    problems.push_rule(&key, "listen", text);
                }
            }
        }
    }

    /// What one session may have in flight fits into what all of them may have.
    fn check_memory(&self, problems: &mut Findings) {
        let (one, all) = (self.sessions.max_in_flight_bytes(), self.hold.max_bytes());
        if one > all {
            let show = |it: usize| human::show_size(u64::try_from(it).unwrap_or(u64::MAX));
            let text = format!("is {}, must not exceed hold.max_bytes ({})", show(one), show(all));
            problems.push_rule("sessions.max_in_flight", "hold.max_bytes", text);
        }
    }

    /// What a listener promises can be kept.
    fn check_durability(&self, problems: &mut Findings) {
        let replicas_max = self.group.nodes().len().saturating_sub(1);
        for (position, listen) in self.listen.iter().enumerate() {
            let Some(promise) = listen.durability().map(|it| it.promise()) else { continue };
            let key = |leaf: &str| format!("listen[{position}].durability.{leaf}");
            let replicas = usize::try_from(promise.replicas).unwrap_or(usize::MAX);
            if replicas > replicas_max {
                let (nodes, plural) = (replicas_max + 1, if replicas_max == 1 { "" } else { "s" });
                let few = format!(
                    "is {replicas}, but the group has {nodes} nodes, so at most {replicas_max} \
                     replica{plural}"
                );
                if self.group.discover() {
                    let text = format!("{few} until more are discovered");
                    problems.warn(&key("replicas"), &["group.nodes"], text);
                } else {
                    let text = format!("{few}: no write would ever be acknowledged");
                    problems.push_rule(&key("replicas"), "group.nodes", text);
                }
            }
            let hold = self.hold.timeout();
            if promise.timeout > hold {
                let show = human::show_duration;
                let text = format!(
                    "is {}, must not exceed hold.timeout ({})",
                    show(promise.timeout),
                    show(hold)
                );
                problems.push_rule(&key("timeout"), "hold.timeout", text);
            }
        }
    }

    /// Clients are held for as long as a failover takes.
    fn check_times(&self, problems: &mut Findings) {
        let show = human::show_duration;
        let (hold, down) = (self.hold.timeout(), self.health.down_after());
        let failover = self.failover.timeout();
        if hold < down {
            let (hold, down) = (show(hold), show(down));
            let text = format!(
                "is {hold}, less than health.down_after ({down}): \
                 clients are refused before a failover can begin"
            );
            problems.warn("hold.timeout", &["health.down_after"], text);
        } else if hold < failover {
            let (hold, failover) = (show(hold), show(failover));
            let text = format!(
                "is {hold}, less than failover.timeout ({failover}): \
                 clients may be refused while a failover is still under way"
            );
            problems.warn("hold.timeout", &["failover.timeout"], text);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::test::{errors, errors_alone, warnings};

    #[test]
    fn nothing_listens_twice_in_one_place() {
        assert_eq!(
            errors(
                "listen: [{ address: 0.0.0.0:9180 }, { address: unix:/a }, { address: unix:/a }]\n\
                 http: { address: 127.0.0.1:9180 }\n\
                 control: { address: unix:/a }"
            ),
            "1:61: listen[2].address: unix:/a is already taken by listen[1].address (unix:/a)\n\
             2:9: http.address: 127.0.0.1:9180 is already taken by listen[0].address (0.0.0.0:9180)\n\
             3:12: control.address: unix:/a is already taken by listen[1].address (unix:/a)",
        );
    }

    #[test]
    fn no_node_is_segue_itself() {
        assert_eq!(
            errors_alone("group: { nodes: [{ name: a, address: localhost:6380 }] }"),
            "1:29: group.nodes[0].address: localhost:6380 leads back to Segue itself, \
             which listens there (listen[0].address: 0.0.0.0:6380)",
        );
    }

    #[test]
    fn one_session_fits_into_all_of_them() {
        assert_eq!(
            errors("hold: { max_bytes: 512KiB }"),
            "1:1: sessions.max_in_flight: is 1MiB, must not exceed hold.max_bytes (512KiB)",
        );
    }

    #[test]
    fn warns_when_clients_are_refused_too_soon() {
        assert_eq!(
            warnings("hold: { timeout: 500ms }"),
            "1:9: hold.timeout: is 500ms, less than health.down_after (1s): \
             clients are refused before a failover can begin",
        );
        assert_eq!(
            warnings("failover: { timeout: 3m }"),
            "1:1: hold.timeout: is 10s, less than failover.timeout (3m): \
             clients may be refused while a failover is still under way",
        );
    }

    #[test]
    fn what_is_not_yet_there_says_so() {
        assert_eq!(
            errors("coordination: etcd\nworkers: 65"),
            "1:1: coordination: `etcd` is not available in this version; write `none`\n\
             2:1: workers: is 65, must be at most 64",
        );
    }
}
