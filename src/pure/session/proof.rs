//! Replies that prove that a command was not executed because the node is not a serving primary.
//!
//! Only the server's exact texts count, and only as the top-level reply of a command that could
//! not have made the text itself: a script can return any error, and an admin can unblock a
//! client. Source: `facts/redis.md` section 6, seen on Redis 7.0.15 and Valkey 9.1.2.

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
}

impl Proof {
    /// All of them, in the order of [`Proof::index`].
    pub const ALL: [Self; 5] =
        [Self::Readonly, Self::MasterDown, Self::Loading, Self::Redirect, Self::Unblocked];

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
            _ if line.starts_with(b"-REDIRECT ") => Some(Self::Redirect),
            _ => Self::of_aborted(line),
        }
    }

    /// `EXEC` on a node that was demoted between queueing and running.
    fn of_aborted(line: &[u8]) -> Option<Self> {
        let cause = line.strip_prefix(b"-EXECABORT Transaction discarded because of: ")?;
        [&b"READONLY "[..], b"MASTERDOWN ", b"LOADING ", b"REDIRECT "]
            .iter()
            .zip(Self::ALL)
            .find_map(|(prefix, proof)| cause.starts_with(prefix).then_some(proof))
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
