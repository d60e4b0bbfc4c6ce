//! What sessions did, as plain counts. The shell moves them into metrics after each turn.

/// Counts since they were last taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Requests admitted, by effect.
    pub reads: u64,
    /// Commands that may change data, and unknown ones.
    pub writes: u64,
    /// Commands that change only their connection.
    pub connection: u64,
    /// Commands that had to wait because nobody was primary.
    pub held: u64,
    /// Of those, sent in the end.
    pub released: u64,
    /// Sent, lost, and sent again: harmless ones.
    pub replayed_reads: u64,
    /// Writes sent again because the node proved that it had not run them, or by policy.
    pub replayed_writes: u64,
    /// Writes that may or may not have run.
    pub uncertain: u64,
    /// Refused after `hold.timeout`.
    pub refused_timeout: u64,
    /// Refused because the hold was full.
    pub refused_full: u64,
    /// Refused by `sessions.allow`.
    pub refused_policy: u64,
    /// Too large to be kept, lost before they were wholly sent.
    pub refused_streamed: u64,
    /// Proofs of non-execution that no client saw.
    pub proofs: [u64; 6],
    /// Sessions restored on a new link.
    pub restored: u64,
    /// Restorations that the node refused.
    pub restore_failures: u64,
    /// Transactions reopened.
    pub transactions_replayed: u64,
    /// `EXEC` answered null because its watch was lost.
    pub watches_broken: u64,
    /// Blocking commands issued again.
    pub blocking_reissued: u64,
    /// Sessions that may have missed messages.
    pub subscription_gaps: u64,
    /// Invalidate-everything pushes.
    pub invalidations: u64,
    /// Iterations that started again.
    pub scans_restarted: u64,
    /// Scripts sent by body because the new primary does not know them.
    pub scripts_reloaded: u64,
    /// Withheld replies to writes that enough replicas have confirmed.
    pub guarded_writes: u64,
    /// Those that they have not; all of them count as uncertain, too.
    pub unguarded_writes: u64,
    /// Withheld replies to reads that enough replicas have confirmed.
    pub guarded_reads: u64,
    /// Those that they have not.
    pub unguarded_reads: u64,
}
