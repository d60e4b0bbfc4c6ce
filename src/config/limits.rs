//! Lower and upper ends of values, all inclusive, and one way to say so.

use super::{human, problems::Findings};
use std::time::Duration;

pub(super) fn time(problems: &mut Findings, key: &str, it: Duration, min: Duration, max: Duration) {
    let show = human::show_duration;
    within(problems, key, it, min, max, show);
}

pub(super) fn bytes(problems: &mut Findings, key: &str, it: u64, min: u64, max: u64) {
    within(problems, key, it, min, max, human::show_size);
}

pub(super) fn number(problems: &mut Findings, key: &str, it: u64, min: u64, max: u64) {
    within(problems, key, it, min, max, |it| it.to_string());
}

fn within<T: Copy + PartialOrd>(
    problems: &mut Findings,
    key: &str,
    it: T,
    min: T,
    max: T,
    show: fn(T) -> String,
) {
    if it < min {
        problems.push(key, format!("is {}, must be at least {}", show(it), show(min)));
    } else if it > max {
        problems.push(key, format!("is {}, must be at most {}", show(it), show(max)));
    }
}
