//! Verdicts from sequences of answers, by hand and at random.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const PARAMS: Params = Params {
    interval: Duration::from_millis(100),
    timeout: Duration::from_millis(500),
    suspect_after: Duration::from_millis(200),
    down_after: Duration::from_millis(1000),
    refused_after: Duration::from_millis(300),
    rise: 2,
    loading_after: Duration::from_millis(5000),
};

const SILENT: Answer = Answer::Silent { connected: false };

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// The health after `answers`, each with its moment in milliseconds, at `end`.
fn health(answers: &[(u64, Answer)], end: u64) -> Health {
    let mut detector = Detector::new(PARAMS, Time::ZERO);
    for (when, answer) in answers {
        detector.tick(at(*when));
        detector.observe(at(*when), *answer);
    }
    detector.tick(at(end));
    detector.health()
}

#[test]
fn whoever_loads_is_alive_and_not_well() {
    let mut detector = Detector::new(PARAMS, Time::ZERO);
    detector.observe(at(100), Answer::Impaired);
    detector.observe(at(200), Answer::Loading);
    assert_eq!((detector.alive_at(), detector.well_at()), (at(200), at(100)));
    detector.shift(Duration::from_millis(50));
    assert_eq!(detector.well_at(), at(150));
}

#[test]
fn silence_makes_suspect_then_down() {
    let answers = [(100, Answer::Good)];
    assert_eq!(health(&answers, 399), Health::Up);
    assert_eq!(health(&answers, 400), Health::Suspect(Cause::Silent));
    assert_eq!(health(&answers, 1099), Health::Suspect(Cause::Silent));
    assert_eq!(health(&answers, 1100), Health::Down(Cause::Silent));
}

#[test]
fn refusal_is_suspect_at_once_and_down_soon() {
    let once = [(100, Answer::Good), (150, Answer::Refused)];
    assert_eq!(health(&once, 150), Health::Suspect(Cause::Refused));
    assert_eq!(health(&once, 450), Health::Suspect(Cause::Refused), "one refusal is no verdict");
    let twice = [(100, Answer::Good), (150, Answer::Refused), (250, Answer::Refused)];
    assert_eq!(health(&twice, 449), Health::Suspect(Cause::Refused));
    assert_eq!(health(&twice, 450), Health::Down(Cause::Refused));
}

#[test]
fn silence_ends_a_run_of_refusals() {
    let mixed = [
        (0, Answer::Good),
        (50, Answer::Refused),
        (150, SILENT),
        (250, Answer::Refused),
        (340, Answer::Refused),
    ];
    assert_eq!(health(&mixed, 549), Health::Suspect(Cause::Refused));
    assert_eq!(health(&mixed, 550), Health::Down(Cause::Refused));
}

#[test]
fn any_answer_is_a_sign_of_life() {
    let busy: Vec<_> = (0..50).map(|n| (n * 100, Answer::Impaired)).collect();
    assert_eq!(health(&busy, 4_900), Health::Up);
}

#[test]
fn one_sign_of_life_clears_suspicion_but_not_a_verdict() {
    assert_eq!(health(&[(100, Answer::Good), (450, Answer::Good)], 450), Health::Up);
    let down = (2_000, SILENT);
    assert!(health(&[down, (2_100, Answer::Good)], 2_100).is_down());
    assert_eq!(health(&[down, (2_100, Answer::Good), (2_200, Answer::Good)], 2_200), Health::Up);
    let broken = [down, (2_100, Answer::Good), (2_150, SILENT), (2_200, Answer::Good)];
    assert!(health(&broken, 2_200).is_down(), "not in a row");
}

#[test]
fn loading_is_suspect_and_in_the_end_down() {
    let load: Vec<_> = (0..60).map(|n| (n * 100, Answer::Loading)).collect();
    assert_eq!(health(&load[..50], 4_999), Health::Suspect(Cause::Loading));
    assert_eq!(health(&load[..51], 5_000), Health::Down(Cause::Loading));
    let mut loaded = load[..50].to_vec();
    loaded.push((4_950, Answer::Good));
    assert_eq!(health(&loaded, 5_000), Health::Up);
}

#[test]
fn a_node_never_heard_of_is_unknown_then_down() {
    assert_eq!(health(&[], 999), Health::Unknown);
    assert_eq!(health(&[], 1_000), Health::Down(Cause::Silent));
    assert_eq!(health(&[(0, Answer::Refused), (100, Answer::Refused)], 299), Health::Unknown);
    assert_eq!(
        health(&[(0, Answer::Refused), (100, Answer::Refused)], 300),
        Health::Down(Cause::Refused)
    );
}

#[test]
fn knows_whether_the_host_was_reached() {
    let mut detector = Detector::new(PARAMS, Time::ZERO);
    detector.observe(at(100), SILENT);
    assert!(!detector.is_reached());
    detector.observe(at(200), Answer::Silent { connected: true });
    detector.observe(at(300), SILENT);
    assert!(detector.is_reached());
    detector.observe(at(400), Answer::Good);
    assert!(!detector.is_reached(), "that was another silence");
    detector.observe(at(500), Answer::Refused);
    assert!(detector.is_reached());
}

#[test]
fn a_stall_of_our_own_counts_for_nothing() {
    let mut detector = Detector::new(PARAMS, Time::ZERO);
    detector.observe(at(100), Answer::Good);
    detector.observe(at(200), Answer::Refused);
    detector.observe(at(300), Answer::Refused);
    detector.shift(Duration::from_secs(60));
    detector.tick(at(60_499));
    assert_eq!(detector.health(), Health::Suspect(Cause::Refused));
    detector.tick(at(60_500));
    assert!(detector.health().is_down());
}

fn any_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Good),
        Just(Answer::Impaired),
        Just(Answer::Loading),
        Just(Answer::Refused),
        any::<bool>().prop_map(|connected| Answer::Silent { connected }),
    ]
}

proptest! {
    /// Safety: no verdict without its time of evidence; liveness: silence ends in down, and
    /// `rise` signs of life in up.
    #[test]
    fn judges_in_time_and_never_early(history in vec((0_u64..400, any_answer()), 0..100)) {
        let mut detector = Detector::new(PARAMS, Time::ZERO);
        let mut now = Time::ZERO;
        let mut alive_at = Time::ZERO;
        let mut not_well_from = Time::ZERO;
        for (wait, answer) in history {
            let then = now + Duration::from_millis(wait);
            // Time passes as a driver would let it: deadline by deadline.
            while let Some(next) = detector.deadline().filter(|it| *it <= then) {
                let before = detector.health();
                detector.tick(next);
                prop_assert_ne!(before, detector.health(), "a deadline at which nothing happens");
            }
            now = then;
            let was_down = detector.health().is_down();
            detector.observe(now, answer);
            match answer {
                Answer::Good | Answer::Impaired => {
                    alive_at = now;
                    not_well_from = now;
                    prop_assert!(was_down || detector.health().is_up());
                }
                Answer::Loading => alive_at = now,
                Answer::Refused | Answer::Silent { .. } => prop_assert!(!detector.health().is_up() || now.since(alive_at) < PARAMS.down_after),
            }
            match detector.health() {
                Health::Down(Cause::Refused) if !was_down => prop_assert!(now.since(not_well_from) >= PARAMS.refused_after),
                Health::Down(Cause::Silent) if !was_down => prop_assert!(now.since(alive_at) >= PARAMS.down_after),
                Health::Down(Cause::Loading) if !was_down => prop_assert!(now.since(not_well_from) >= PARAMS.loading_after),
                Health::Up => prop_assert!(now.since(alive_at) < PARAMS.interval + PARAMS.suspect_after),
                Health::Unknown | Health::Suspect(_) | Health::Down(_) => {
                    prop_assert!(was_down || detector.health().is_down() || now.since(alive_at) < PARAMS.down_after);
                }
            }
        }
        let mut down = detector.clone();
        while let Some(next) = down.deadline() { down.tick(next); }
        prop_assert!(down.health().is_down(), "silence for ever is not noticed");
        for _ in 0..PARAMS.rise { detector.observe(now, Answer::Good); }
        prop_assert!(detector.health().is_up(), "never comes up again");
    }
}
