//! A node that has no room for the connection (`maxclients`): it says so before it reads anything,
//! and closes. Whatever was sent on that connection has not run, and is sent again.
//!
//! Only the server's exact text, and only as the first reply of a connection: later it is the
//! answer to a command. To a script it may be what the script returns, so there it proves nothing.
//!
//! Deliberately absent: a large request that was not kept. What of it is gone cannot be sent again.

use super::{Expect, Session, World};
use crate::pure::time::Time;

/// What Redis and Valkey say then; seen on Redis 7.0.15 and Valkey 9.1.2.
pub(super) const NO_ROOM: &[u8] = b"-ERR max number of clients reached";

impl Session {
    /// Whether `input`, the first that a connection brings, says that the node has no room for it.
    pub fn has_no_room(&self, input: &[u8]) -> bool {
        let is_refusal = input.strip_prefix(NO_ROOM).is_some_and(|it| it.starts_with(b"\r\n"));
        is_refusal && self.log.front().is_none_or(|it| !matches!(it.expect, Expect::Script(_)))
    }

    /// The connection is turned away: nothing that was sent on it was read.
    pub fn turned_away(&mut self) {
        self.log.unsend();
        // Who waits has waited all the time.
        self.suspect = true;
    }

    /// Deals with `frame`, of a dedicated connection, if the node turns it away by that.
    pub(super) fn is_turned_away(&mut self, world: &World, now: Time, frame: &[u8]) -> bool {
        let is_first = std::mem::take(&mut self.is_fresh) && self.passing.is_none();
        if !is_first || !self.has_no_room(frame) {
            return false;
        }
        self.turned_away();
        self.drop_link = true;
        self.retry_later(world, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::command::Table;
    use crate::pure::session::{Limits, Policy};
    use crate::pure::topology::{Epoch, Gate, NodeId, Primary, Route, RunId};
    use std::sync::Arc;
    use std::time::Duration;

    const NOW: Time = Time::from_millis(1_000);
    const REFUSAL: &[u8] = b"-ERR max number of clients reached\r\n";
    const SETS: &[u8] =
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n";

    fn scene() -> (World, Session) {
        let policy = Policy { hold_timeout: Duration::from_secs(1), ..Policy::PLAIN };
        let limits = Limits { in_flight_max: 16, ..Limits::PLAIN };
        let mut world = World::new(Arc::new(Table::builtin()), policy, limits, 1 << 30);
        let process = RunId::parse(&"a".repeat(40)).unwrap();
        let addr = ([127, 0, 0, 1], 1).into();
        let gate = Gate::Open(Primary { node: NodeId(0), addr, process });
        world.set_route(Route { version: 1, epoch: Epoch(1), gate, handed_over: false });
        let mut session = Session::new(&world);
        session.on_link(&mut world, NOW);
        (world, session)
    }

    fn ask(world: &mut World, session: &mut Session, request: &[u8]) {
        session.on_client(world, NOW, request);
        let sent = session.to_node(world).len();
        assert!(sent > 0, "goes out at once");
        session.sent(world, NOW, sent);
    }

    #[test]
    fn what_was_pipelined_on_a_connection_that_is_turned_away_goes_out_again() {
        let (mut world, mut session) = scene();
        ask(&mut world, &mut session, SETS);
        session.on_node(&mut world, NOW, REFUSAL);
        assert!(session.wants_drop());
        session.on_link_lost(&mut world, NOW);
        assert!(session.to_client().is_empty(), "nobody is told anything");
        session.on_link(&mut world, NOW);
        let again = session.to_node(&world).to_vec();
        assert_eq!(again, SETS);
        session.sent(&mut world, NOW, again.len());
        session.on_node(&mut world, NOW, b"+OK\r\n+OK\r\n");
        assert_eq!(session.to_client(), b"+OK\r\n+OK\r\n");
    }

    #[test]
    fn later_or_to_a_script_it_is_a_reply_like_any_other() {
        let (mut world, mut session) = scene();
        ask(&mut world, &mut session, SETS);
        session.on_node(&mut world, NOW, b"+OK\r\n");
        session.on_node(&mut world, NOW, REFUSAL);
        assert!(session.to_client().ends_with(REFUSAL));
        let (mut world, mut session) = scene();
        ask(&mut world, &mut session, b"*3\r\n$4\r\nEVAL\r\n$1\r\nx\r\n$1\r\n0\r\n");
        session.on_node(&mut world, NOW, REFUSAL);
        assert_eq!(session.to_client(), REFUSAL);
    }
}
