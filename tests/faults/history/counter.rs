//! The counter that everybody increments: no number is given twice, later ones are larger, and
//! the end is what was acknowledged and at most what is unknown on top.

use super::{Action, Findings, History, Nanos, Op, Outcome, Window};

/// Checks the counter.
pub(crate) fn check(history: &History, windows: &[Window], findings: &mut Findings) {
    let all: Vec<_> = history
        .ops
        .iter()
        .filter_map(|it| match it.action {
            Action::Increment { saw } => Some((it, saw)),
            _ => None,
        })
        .collect();
    let of = |outcome: Outcome| all.iter().filter(move |(it, _)| it.outcome == outcome);
    let is_doubtful = |it: &Op| windows.iter().any(|window| window.holds(it.invoked, it.done));
    let acknowledged = of(Outcome::Done).count();
    let unknown = of(Outcome::Unknown).count();
    let mut safe: Vec<(Nanos, Nanos, i64)> = of(Outcome::Done)
        .filter(|(it, _)| !is_doubtful(it))
        .map(|(it, saw)| (it.invoked, it.done, *saw))
        .collect();

    let count = usize::try_from(history.count).unwrap_or(0);
    findings.lost += acknowledged.saturating_sub(count);
    if count < safe.len() {
        findings.wrong(format!("the counter is {count} after {} safe increments", safe.len()));
    }
    if count > acknowledged + unknown {
        findings.wrong(format!(
            "the counter is {count} after {acknowledged} increments and {unknown} unknown ones"
        ));
    }
    findings.wrong_all(falling(&mut safe));
}

/// Whoever began after another had ended got a larger number.
fn falling(safe: &mut [(Nanos, Nanos, i64)]) -> Vec<String> {
    let mut odd = Vec::new();
    safe.sort_by_key(|it| it.2);
    for pair in safe.windows(2) {
        if let [one, other] = pair
            && one.2 == other.2
        {
            odd.push(format!("two increments got the number {}", one.2));
        }
    }
    // From the largest number down: nobody may have ended before the latest begin so far did.
    let mut latest_end = Nanos::MAX;
    for (invoked, done, saw) in safe.iter().rev() {
        if *invoked > latest_end {
            odd.push(format!("an increment that began later got the smaller number {saw}"));
        }
        latest_end = latest_end.min(*done);
    }
    odd
}
