//! Rounds of guarded writes, as the shell would ask for them, and what they prove: a reply that
//! reaches the client speaks of a write that a round has confirmed.
//!
//! Apart from the session's own account of it: what is confirmed is told by what nodes ran.

use super::client::Outcome;
use super::node::Role;
use super::sim::Sim;
use crate::pure::session::{GuardedReads, Promise, Rounds, Verdict};
use std::collections::BTreeSet;
use std::time::Duration;

/// What is known of rounds.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    /// Its number, and all that had run when it began.
    flying: Option<(u64, u64)>,
    /// What had run when this epoch began: rounds of it prove nothing about that.
    from: u64,
    /// What was confirmed, by sequence number.
    runs: BTreeSet<u64>,
    /// How many outcomes were looked at, and which of those are to be looked at again: what is
    /// queued in a transaction that has not run.
    checked: usize,
    open: Vec<usize>,
}

/// What happens to a round.
#[derive(Clone, Copy, Debug)]
pub(super) enum Round {
    Begins,
    Confirms,
    FallsShort,
    Breaks,
}

impl Sim {
    /// Makes the session a guarded one.
    pub(super) fn guard(&mut self, reads: GuardedReads) {
        let promise = Promise { replicas: 1, timeout: Duration::from_millis(500), reads };
        self.world.rounds.push(Rounds::new(promise));
        self.session.guard(&self.world, 1, 0);
        self.client.guarded = true;
    }

    pub(super) fn round(&mut self, what: Round) -> bool {
        let Some(rounds) = self.world.rounds.first_mut() else { return false };
        match what {
            Round::Begins => {
                let may = rounds.is_wanted() && self.world.route.lets_finish();
                if may {
                    self.confirmed.flying = Some((rounds.begin(), self.store.seq));
                }
                return may;
            }
            Round::Breaks => {
                let Some((round, _)) = self.confirmed.flying.take() else { return false };
                rounds.again(round);
            }
            Round::Confirms => return self.end_round(true),
            Round::FallsShort => return self.end_round(false),
        }
        true
    }

    fn end_round(&mut self, is_confirmed: bool) -> bool {
        let Some((round, upto)) = self.confirmed.flying.take() else { return false };
        let is_primary = self.nodes[self.routed].role == Role::Primary;
        let verdict = if is_confirmed && is_primary { Verdict::Confirmed } else { Verdict::Short };
        if verdict == Verdict::Confirmed {
            let (from, node) = (self.confirmed.from, self.routed);
            let ran = self.store.runs.iter().filter(|it| it.node == node);
            let proved = ran.map(|it| it.seq).filter(|it| *it > from && *it <= upto);
            self.confirmed.runs.extend(proved);
        }
        for id in self.world.rounds[0].end(round) {
            assert_eq!(id, 1);
            self.session.on_round(&mut self.world, round, verdict);
            self.session.on_turn_end(&mut self.world, self.now);
        }
        self.reconcile();
        true
    }

    /// Whether a round is wanted, or under way.
    pub(super) fn awaits_round(&self) -> bool {
        self.confirmed.flying.is_some() || self.world.rounds.iter().any(Rounds::is_wanted)
    }

    /// A new epoch: the shell forgets the round that was under way.
    pub(super) fn sever_round(&mut self) {
        self.confirmed.flying = None;
        self.confirmed.from = self.store.seq;
    }

    /// Whatever the client was told is done has been confirmed.
    pub(super) fn check_confirmed(&mut self) {
        if self.world.rounds.is_empty() {
            return;
        }
        let new = self.confirmed.checked..self.client.outcomes.len();
        let looked_at = std::mem::take(&mut self.confirmed.open).into_iter().chain(new);
        for at in looked_at.collect::<Vec<_>>() {
            let (request, outcome) = &self.client.outcomes[at];
            let outcome = match outcome {
                Outcome::Queued(number) => self.client.transactions[*number].outcome.as_ref(),
                outcome => Some(outcome),
            };
            if outcome.is_none() {
                self.confirmed.open.push(at);
            }
            if outcome == Some(&Outcome::Done) && request.is_write() {
                let run = self.store.last_run(&request.token);
                let is_confirmed = run.is_none_or(|it| self.confirmed.runs.contains(&it.seq));
                assert!(is_confirmed, "acknowledged, and not confirmed: {request:?} {run:?}");
            }
        }
        self.confirmed.checked = self.client.outcomes.len();
    }
}
