//! Who is chosen, and who never is.

use super::*;
use crate::pure::topology::{Link, ReplId, Role, RunId};
use proptest::prelude::*;

const LIMITS: Limits = Limits { max_lag_bytes: 1000, max_link_down: Duration::from_secs(10) };

fn id(digit: char) -> ReplId {
    ReplId::parse(&digit.to_string().repeat(40)).expect("an id")
}

fn primary() -> Report {
    Report {
        version: "7.0.15".to_owned(),
        run_id: RunId::parse(&"p".repeat(40)).expect("an id"),
        role: Role::Primary,
        replid: id('a'),
        descends: None,
        offset: 5000,
        loading: false,
        failing_over: false,
        followers: Vec::new(),
        keys: 100,
        expiring_keys: 0,
    }
}

/// A replica in perfect order, `change`d.
fn replica(run: char, offset: u64, change: impl FnOnce(&mut Report, &mut Link)) -> Report {
    let mut link = Link {
        host: "127.0.0.1".to_owned(),
        port: 7001,
        state: LinkState::Down { secs: 0 },
        received: offset,
        priority: 100,
    };
    let run_id = RunId::parse(&run.to_string().repeat(40)).expect("an id");
    let mut report = Report { run_id, offset, ..primary() };
    change(&mut report, &mut link);
    report.role = Role::Replica(link);
    report
}

fn lost(report: &Report) -> Lost<'_> {
    Lost { report, ago: Duration::from_secs(2), amnesia: false }
}

fn ranked(reports: &[Report]) -> Vec<u16> {
    let candidates: Vec<Candidate<'_>> = (1..)
        .zip(reports)
        .map(|(n, report)| Candidate { node: NodeId(n), report: Ok(report), priority: None })
        .collect();
    let ranking = rank(LIMITS, lost(&primary()), &Lineage::default(), &candidates);
    ranking.ranked.iter().map(|it| it.node.0).collect()
}

#[track_caller]
fn check_rejected(why: Reject, change: impl FnOnce(&mut Report, &mut Link)) {
    let report = replica('b', 5000, change);
    let candidate = Candidate { node: NodeId(1), report: Ok(&report), priority: None };
    let ranking = rank(LIMITS, lost(&primary()), &Lineage::default(), &[candidate]);
    assert_eq!(ranking.rejected, [(NodeId(1), why)]);
    assert!(!why.to_string().is_empty());
}

#[test]
fn the_most_advanced_wins() {
    let reports = [replica('b', 4990, |_, _| {}), replica('c', 5000, |_, _| {})];
    assert_eq!(ranked(&reports), [2, 1]);
}

#[test]
fn priority_goes_before_offset_and_run_id_decides_the_rest() {
    let preferred = replica('d', 4500, |_, link| link.priority = 10);
    let reports = [replica('c', 5000, |_, _| {}), replica('b', 5000, |_, _| {}), preferred];
    assert_eq!(ranked(&reports), [3, 2, 1]);
}

#[test]
fn a_configured_priority_overrides_the_servers() {
    let report = replica('b', 5000, |_, link| link.priority = 10);
    let candidate = Candidate { node: NodeId(1), report: Ok(&report), priority: Some(0) };
    let ranking = rank(LIMITS, lost(&primary()), &Lineage::default(), &[candidate]);
    assert_eq!(ranking.rejected, [(NodeId(1), Reject::PriorityZero)]);
}

#[test]
fn the_lost_history_goes_before_a_prefix_of_it() {
    let mut gone = primary();
    gone.descends = Some((id('9'), 4000));
    let parent = gone.descends.expect("just set").0;
    let prefix = replica('b', 3999, |report, link| {
        report.replid = parent;
        link.priority = 1;
    });
    let same = replica('c', 4500, |_, _| {});
    let candidates = [(1, &prefix), (2, &same)].map(|(n, report)| Candidate {
        node: NodeId(n),
        report: Ok(report),
        priority: None,
    });
    let limits = Limits { max_lag_bytes: 2000, ..LIMITS };
    let ranking = rank(limits, lost(&gone), &Lineage::default(), &candidates);
    assert_eq!(ranking.ranked.iter().map(|it| it.node.0).collect::<Vec<_>>(), [2, 1]);
    // One byte more than was shared, and it is another history.
    let past = replica('b', 4000, |report, _| report.replid = parent);
    let candidate = Candidate { node: NodeId(1), report: Ok(&past), priority: None };
    let ranking = rank(limits, lost(&gone), &Lineage::default(), &[candidate]);
    assert_eq!(ranking.rejected, [(NodeId(1), Reject::OtherLineage)]);
}

#[test]
fn each_reason_rejects() {
    check_rejected(Reject::PriorityZero, |_, link| link.priority = 0);
    check_rejected(Reject::Loading, |report, _| report.loading = true);
    check_rejected(Reject::FailingOver, |report, _| report.failing_over = true);
    check_rejected(Reject::Syncing, |_, link| link.state = LinkState::Syncing);
    check_rejected(Reject::NeverSynced, |report, _| {
        report.replid = id('x');
        report.offset = 1;
    });
    // It has the primary's id, so its first copy is complete: only far behind.
    check_rejected(Reject::Lagging { lag_bytes: 4999 }, |report, _| report.offset = 1);
    check_rejected(Reject::NeverSynced, |report, link| {
        report.replid = id('x');
        link.state = LinkState::Never;
    });
    check_rejected(Reject::OtherLineage, |report, _| report.replid = id('x'));
    check_rejected(Reject::LinkDown { secs: 11 }, |_, link| {
        link.state = LinkState::Down { secs: 13 };
    });
    check_rejected(Reject::Lagging { lag_bytes: 1001 }, |report, _| report.offset = 3999);
    let mut report = primary();
    report.run_id = RunId::parse(&"b".repeat(40)).expect("an id");
    let candidate = Candidate { node: NodeId(1), report: Ok(&report), priority: None };
    let ranking = rank(LIMITS, lost(&primary()), &Lineage::default(), &[candidate]);
    assert_eq!(ranking.rejected, [(NodeId(1), Reject::IsPrimary)]);
}

#[test]
fn limits_are_inclusive() {
    let at_limits = replica('b', 4000, |_, link| link.state = LinkState::Down { secs: 12 });
    assert_eq!(ranked(&[at_limits]), [1]);
}

#[test]
fn after_amnesia_a_copy_just_begun_is_no_obstacle() {
    let syncing = replica('b', 1, |_, link| link.state = LinkState::Syncing);
    let wiped = replica('c', 1, |report, link| {
        link.state = LinkState::Syncing;
        report.keys = 0;
    });
    let candidates = [(1, &syncing), (2, &wiped)].map(|(n, report)| Candidate {
        node: NodeId(n),
        report: Ok(report),
        priority: None,
    });
    let gone = primary();
    let amnesia = Lost { amnesia: true, ..lost(&gone) };
    let ranking = rank(LIMITS, amnesia, &Lineage::default(), &candidates);
    assert_eq!(ranking.ranked.len(), 1, "{ranking:?}");
    assert_eq!(ranking.rejected, [(NodeId(2), Reject::NeverSynced)]);
}

proptest! {
    /// The ranking depends on nothing but what nodes say: not on the order of the list.
    #[test]
    fn the_order_of_the_list_does_not_matter(
        offsets in proptest::collection::vec(3_990_u64..5_010, 1..8),
        priorities in proptest::collection::vec(0_u32..3, 8),
    ) {
        let runs = ['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'];
        let reports: Vec<Report> = offsets
            .iter()
            .zip(runs)
            .zip(&priorities)
            .map(|((offset, run), priority)| replica(run, *offset, |_, link| link.priority = *priority))
            .collect();
        let mut candidates: Vec<Candidate<'_>> = (1..)
            .zip(&reports)
            .map(|(n, report)| Candidate { node: NodeId(n), report: Ok(report), priority: None })
            .collect();
        let gone = primary();
        let forth = rank(LIMITS, lost(&gone), &Lineage::default(), &candidates);
        candidates.reverse();
        let back = rank(LIMITS, lost(&gone), &Lineage::default(), &candidates);
        prop_assert_eq!(&forth.ranked, &back.ranked);
        prop_assert_eq!(forth.ranked.len() + forth.rejected.len(), reports.len());
        let best = forth.ranked.first().map(|it| it.node);
        for it in &forth.ranked {
            prop_assert!(it.offset >= 4_000);
            prop_assert!(it.lag_bytes <= LIMITS.max_lag_bytes);
        }
        let top = |n: NodeId| {
            let n = usize::from(n.0) - 1;
            (priorities[n], Reverse(offsets[n]))
        };
        if let Some(best) = best {
            prop_assert!(forth.ranked.iter().all(|it| top(best) <= top(it.node)));
        }
    }
}
