//! Recordings of real failovers (`recorded/`, one file each): replayed through the brain, the
//! same events must bring the same decisions at the same steps.
//!
//! They are made by `tests/sim/record.py` on real servers. Times in them are those of the
//! machine that they were made on; nothing here depends on them but the brain.

use segue::pure::failover::record::{Beginning, Moment};
use std::fs;
use std::path::{Path, PathBuf};

/// Fewer would mean that somebody lost them.
const RECORDINGS_MIN: usize = 10;

fn recordings() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim/recorded");
    let mut found: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()).collect();
    found.sort();
    found
}

/// The first step at which the brain decides otherwise.
fn differs(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let beginning: Beginning = serde_json::from_str(lines.next().unwrap()).unwrap();
    let mut brain = beginning.brain();
    let mut decisions = 0;
    for (number, line) in lines.enumerate() {
        let Moment { at, event, decided } = serde_json::from_str(line).unwrap();
        let again = Moment::new(at, event.clone(), &brain.step(at, event));
        decisions += again.decided.len();
        if again.decided != decided {
            let line = number + 2;
            return Some(format!("line {line}: {decided:?} then, now {:?}", again.decided));
        }
    }
    (decisions == 0).then(|| "nothing was decided".to_owned())
}

#[test]
fn recorded_failovers_are_decided_alike() {
    let found = recordings();
    assert!(found.len() >= RECORDINGS_MIN, "only {} recordings", found.len());
    let wrong: Vec<String> =
        found.iter().filter_map(|it| Some(format!("{}: {}", it.display(), differs(it)?))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
