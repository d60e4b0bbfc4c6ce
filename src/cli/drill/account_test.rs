//! What an account makes of what clients saw.

use super::super::aftermath::Found;
use super::super::history::Write;
use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A client whose writes were answered at these milliseconds, each after one.
fn client(start: Instant, id: u16, parts: u8, answered: &[u64]) -> Seen {
    let mut seen = Seen::of(id, parts);
    for (n, at) in (0..).zip(answered) {
        let answered = start + ms(*at);
        seen.writes.push(Write { n, answered, outcome: Outcome::Acknowledged });
        seen.waits.push((answered - ms(1), ms(1)));
    }
    seen
}

fn whole(numbers: impl IntoIterator<Item = u32>) -> Found {
    Found { whole: numbers.into_iter().collect(), ..Found::default() }
}

fn facts(mode: Mode, start: Instant, found: Findings) -> Facts {
    Facts {
        mode,
        run: "r".to_owned(),
        lossless: false,
        started: start,
        changed: Some(start + ms(100)),
        changes: Vec::new(),
        primary_before: Some("a".to_owned()),
        primary_after: Some("b".to_owned()),
        nodes: Vec::new(),
        found: Ok(found),
        cleaned: Ok(()),
    }
}

#[test]
fn a_switchover_that_nobody_noticed_is_kept() {
    let start = Instant::now();
    let seen = [client(start, 3, 1, &[50, 90, 112, 130])];
    let account = Account::of(&seen, facts(Mode::Switchover, start, [(3, whole(0..4))].into()));
    assert!(account.is_kept(), "{:?}", account.broken);
    assert_eq!((account.acknowledged, account.lost), (4, 0));
    assert_eq!(account.without_write_ms, Millis(ms(22)), "from 90 to 112");
    assert_eq!(account.without_write_before_ms, Millis(ms(50)));
    assert_eq!(account.after.longest_ms, Millis(ms(1)));
}

#[test]
fn a_lost_write_is_broken_unless_the_primary_was_lost() {
    let start = Instant::now();
    let seen = [client(start, 3, 1, &[50, 90, 130])];
    let of = |mode, lossless| {
        let facts = facts(mode, start, [(3, whole([0, 2]))].into());
        Account::of(&seen, Facts { lossless, ..facts })
    };
    assert_eq!(of(Mode::Switchover, false).broken, ["1 acknowledged writes lost"]);
    let account = of(Mode::Failover, false);
    assert_eq!((account.lost, account.is_kept()), (1, true));
    assert!(!of(Mode::Failover, true).is_kept());
}

#[test]
fn uncertain_is_an_answer_to_a_failover_only() {
    let start = Instant::now();
    let mut seen = client(start, 3, 1, &[50, 90, 130]);
    seen.writes[1].outcome = Outcome::Uncertain;
    seen.errors.insert(("write", "UNCERTAIN".to_owned()), 1);
    let of = |mode| Account::of(&[seen.clone()], facts(mode, start, [(3, whole(0..3))].into()));
    let account = of(Mode::Failover);
    assert_eq!((account.uncertain, account.uncertain_ran), (1, 1));
    assert!(account.is_kept(), "{:?}", account.broken);
    assert_eq!(of(Mode::Switchover).broken, ["1 errors"]);
}

#[test]
fn what_is_never_right_is_broken_in_every_mode() {
    let start = Instant::now();
    for mode in [Mode::Switchover, Mode::Failover, Mode::Watch] {
        let mut transactions = client(start, 0, 2, &[40, 120]);
        transactions.wrong = 1;
        let mut plain = client(start, 3, 1, &[50, 130]);
        plain.disconnections = 1;
        plain.errors.insert(("connection", "unexpected end of file".to_owned()), 1);
        plain.errors.insert(("read", "TRYAGAIN".to_owned()), 2);
        plain.missed.insert(1);
        let torn = Found { torn: [1].into(), ..whole([0]) };
        let found = [(0, torn), (3, whole(0..2))].into();
        let account = Account::of(&[transactions, plain], facts(mode, start, found));
        let expected = [
            "1 disconnections",
            "2 errors",
            "1 transactions that ran by halves",
            "1 values that were never written there",
            "1 reads that did not see a write that is there",
        ];
        assert_eq!(account.broken[..5], expected, "{mode:?}");
    }
}

#[test]
fn what_is_given_is_taken_once() {
    let start = Instant::now();
    let mut giver = Seen::of(1, 1);
    giver.given = [0, 1, 2].into();
    let mut taker = Seen::of(1, 1);
    taker.taken = [(0, 1), (1, 2)].into();
    let mut speaker = Seen::of(2, 1);
    speaker.given = [5].into();
    let plain = client(start, 3, 1, &[50, 130]);
    let seen = [giver, taker, speaker, Seen::of(2, 1), plain];
    let of = |mode| Account::of(&seen, facts(mode, start, [(3, whole(0..2))].into()));
    let account = of(Mode::Switchover);
    assert_eq!((account.queue_lost, account.queue_repeated, account.messages_missed), (1, 1, 1));
    assert_eq!(account.broken.len(), 3);
    assert!(of(Mode::Failover).is_kept());
    assert_eq!(account.clients, 3);
}

#[test]
fn somebody_elses_failover_is_where_nothing_was_served() {
    let start = Instant::now();
    let seen = [client(start, 3, 1, &[10, 20, 30, 830, 840])];
    let facts = facts(Mode::Watch, start, [(3, whole(0..5))].into());
    let account = Account::of(&seen, Facts { changed: None, ..facts });
    assert_eq!(account.without_write_ms, Millis(ms(800)));
    assert_eq!(account.without_write_before_ms, Millis(ms(10)));
}

#[test]
fn what_cannot_be_said_is_not_kept() {
    let start = Instant::now();
    let seen = [client(start, 3, 1, &[50])];
    let facts = facts(Mode::Failover, start, Findings::new());
    let facts = Facts { found: Err("gone".to_owned()), cleaned: Err("gone".to_owned()), ..facts };
    let account = Account::of(&seen, facts);
    let expected = [
        "the writes could not be looked for: gone",
        "no write was served after the change",
        "keys of the drill were left behind: gone",
    ];
    assert_eq!(account.broken, expected);
    assert!(!account.cleaned);
}
