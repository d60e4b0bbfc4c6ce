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
    /// Sessions that others have not waited for any longer.
    pub subscribers_late: u64,
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

impl Tally {
    /// What was admitted has been counted elsewhere.
    pub const fn forget_requests(&mut self) {
        self.reads = 0;
        self.writes = 0;
        self.connection = 0;
    }

    /// Whether nothing was counted but requests that were admitted: in quiet times, always.
    pub fn is_plain(&self) -> bool {
        // Taken apart by name, so that no count is forgotten; one sum, because this is asked in
        // every turn and a comparison field by field takes five times as long.
        let Self {
            reads: _,
            writes: _,
            connection: _,
            held,
            released,
            replayed_reads,
            replayed_writes,
            uncertain,
            refused_timeout,
            refused_full,
            refused_policy,
            refused_streamed,
            proofs: [proof_a, proof_b, proof_c, proof_d, proof_e, proof_f],
            restored,
            restore_failures,
            transactions_replayed,
            watches_broken,
            blocking_reissued,
            subscription_gaps,
            subscribers_late,
            invalidations,
            scans_restarted,
            scripts_reloaded,
            guarded_writes,
            unguarded_writes,
            guarded_reads,
            unguarded_reads,
        } = self;
        let lost = held | released | replayed_reads | replayed_writes | uncertain;
        let refused = refused_timeout | refused_full | refused_policy | refused_streamed;
        let proofs = proof_a | proof_b | proof_c | proof_d | proof_e | proof_f;
        let restored = restored | restore_failures | transactions_replayed | watches_broken;
        let again = blocking_reissued | subscription_gaps | invalidations | scans_restarted;
        let again = again | subscribers_late;
        let guarded = guarded_writes | unguarded_writes | guarded_reads | unguarded_reads;
        lost | refused | proofs | restored | again | scripts_reloaded | guarded == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admitted_requests_are_plain() {
        let plain = Tally { reads: 1, writes: 2, connection: 3, ..Tally::default() };
        assert!(plain.is_plain() && Tally::default().is_plain());
        let counts: [fn(&mut Tally) -> &mut u64; 29] = [
            |it| &mut it.held,
            |it| &mut it.released,
            |it| &mut it.replayed_reads,
            |it| &mut it.replayed_writes,
            |it| &mut it.uncertain,
            |it| &mut it.refused_timeout,
            |it| &mut it.refused_full,
            |it| &mut it.refused_policy,
            |it| &mut it.refused_streamed,
            |it| &mut it.proofs[0],
            |it| &mut it.proofs[1],
            |it| &mut it.proofs[2],
            |it| &mut it.proofs[3],
            |it| &mut it.proofs[4],
            |it| &mut it.proofs[5],
            |it| &mut it.restored,
            |it| &mut it.restore_failures,
            |it| &mut it.transactions_replayed,
            |it| &mut it.watches_broken,
            |it| &mut it.blocking_reissued,
            |it| &mut it.subscription_gaps,
            |it| &mut it.subscribers_late,
            |it| &mut it.invalidations,
            |it| &mut it.scans_restarted,
            |it| &mut it.scripts_reloaded,
            |it| &mut it.guarded_writes,
            |it| &mut it.unguarded_writes,
            |it| &mut it.guarded_reads,
            |it| &mut it.unguarded_reads,
        ];
        for (which, count) in counts.into_iter().enumerate() {
            let mut tally = plain;
            *count(&mut tally) = 1;
            assert!(!tally.is_plain(), "count {which}");
        }
    }
}
