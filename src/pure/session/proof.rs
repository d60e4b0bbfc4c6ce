//! Replies that prove that a command was not executed because the node is not a serving primary.
//!
//! Only the server's exact texts count, and only as the top-level reply of a command that could
//! not have made the text itself: a script can return any error, and an admin can unblock a
//! client. Source: the servers' own texts, as Redis 7.0.15 and Valkey 9.1.2 send them.

/// Why a node did not run a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proof {
    /// `-READONLY`: it is a replica.
    Readonly,
    /// `-MASTERDOWN`: it is a replica that lost its primary.
    MasterDown,
    /// `-LOADING`: it is reading its data set.
    Loading,
    /// `-REDIRECT`: it is a replica, and the client had said that it understands.
    Redirect,
    /// `-UNBLOCKED`: it became a replica while the command waited.
    Unblocked,
    /// `-NOREPLICAS`: it is a primary, but too few replicas follow it. A proof only if the operator
    /// wants such writes to be held ([`NoReplicas::Hold`](super::NoReplicas::Hold)).
    NoReplicas,
}

impl Proof {
    /// All of them, in the order of [`Proof::index`].
    pub const ALL: [Self; 6] = [
        Self::Readonly,
        Self::MasterDown,
        Self::Loading,
        Self::Redirect,
        Self::Unblocked,
        Self::NoReplicas,
    ];

    /// Position in [`Proof::ALL`], for counting.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// What an error line (from `-` to before the line break) proves, if anything.
    pub fn of(line: &[u8]) -> Option<Self> {
        match line {
            b"-READONLY You can't write against a read only replica." => Some(Self::Readonly),
            b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'." => {
                Some(Self::MasterDown)
            }
            b"-LOADING Redis is loading the dataset in memory"
            | b"-LOADING Valkey is loading the dataset in memory" => Some(Self::Loading),
            b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> \
replica?)" => Some(Self::Unblocked),
            b"-NOREPLICAS Not enough good replicas to write." => Some(Self::NoReplicas),
            _ if line.starts_with(b"-REDIRECT ") => Some(Self::Redirect),
            _ => Self::of_aborted(line),
        }
    }

    /// Whether `line`, the error of a script, is what a script meets on a node that is not a
    /// primary: the server's text, as it is or with the place in the script behind it.
    pub fn is_said_by_scripts(line: &[u8]) -> bool {
        let text = line.windows(9).position(|it| it == b" script: ");
        let line = text.and_then(|it| line.get(..it)).unwrap_or(line);
        matches!(Self::of(line), Some(Self::Readonly | Self::MasterDown | Self::Redirect))
    }

    /// `EXEC` on a node that was demoted between queueing and running.
    fn of_aborted(line: &[u8]) -> Option<Self> {
        let cause = line.strip_prefix(b"-EXECABORT Transaction discarded because of: ")?;
        let causes: [(&[u8], Self); 5] = [
            (b"READONLY ", Self::Readonly),
            (b"MASTERDOWN ", Self::MasterDown),
            (b"LOADING ", Self::Loading),
            (b"REDIRECT ", Self::Redirect),
            (b"NOREPLICAS ", Self::NoReplicas),
        ];
        causes.into_iter().find_map(|(prefix, it)| cause.starts_with(prefix).then_some(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<Proof>) {
        assert_eq!(Proof::of(line.as_bytes()), expected, "{line}");
    }

    #[test]
    fn only_the_servers_exact_texts_are_proofs() {
        check("-READONLY You can't write against a read only replica.", Some(Proof::Readonly));
        check("-LOADING Valkey is loading the dataset in memory", Some(Proof::Loading));
        check("-REDIRECT 10.0.0.1:6379", Some(Proof::Redirect));
        check(
            "-EXECABORT Transaction discarded because of: READONLY You can't write against a read \
             only replica.",
            Some(Proof::Readonly),
        );
        check("-READONLY because I say so", None);
        check("-UNBLOCKED client unblocked via CLIENT UNBLOCK", None);
        check("-EXECABORT Transaction discarded because of previous errors.", None);
        check("-ERR unknown command", None);
        check("", None);
    }
}
