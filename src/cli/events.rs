//! `segue events`.
//!
//! Exit codes: as `segue status`.

use super::Outcome;
use super::status::{self, Target};
use crate::ops::client::{Client, ClientError};
use crate::telemetry::recent::Happening;
use clap::Args;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};
use tokio::runtime::Runtime;

/// How often `--follow` asks.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// Show the last transitions: who was suspected, held, promoted, demoted, and why.
///
/// Segue keeps the last 256 in memory; the log has all of them.
#[derive(Args, Debug)]
pub(super) struct Events {
    #[command(flatten)]
    target: Target,
    /// Go on with what happens from now on, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// Print each as a line of JSON.
    #[arg(long)]
    json: bool,
}

impl Events {
    pub(super) fn run(self) -> Outcome {
        let client = self.target.client()?;
        let runtime = status::runtime()?;
        let events = runtime.block_on(client.events()).map_err(|error| status::failure(&error))?;
        let text = self.render(&events);
        if self.follow {
            self.follow(&client, &runtime, text, events);
            return Ok(String::new());
        }
        Ok(text)
    }

    /// Tells what is new until nobody reads it. A Segue that is started again begins anew; one that
    /// does not answer is waited for.
    fn follow(&self, client: &Client, runtime: &Runtime, mut text: String, first: Vec<Happening>) {
        let mut known = first;
        let mut is_gone = false;
        loop {
            let mut output = io::stdout();
            if output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_err() {
                return;
            }
            thread::sleep(FOLLOW_EVERY);
            text.clear();
            match runtime.block_on(client.events()) {
                Ok(events) => {
                    text = self.render(news(&known, &events));
                    known = events;
                    is_gone = false;
                }
                Err(error) => complain(&error, &mut is_gone),
            }
        }
    }

    fn render(&self, events: &[Happening]) -> String {
        let mut text = String::new();
        for event in events {
            if self.json {
                text.push_str(&serde_json::to_string(event).expect("its map has text for keys"));
                text.push('\n');
            } else {
                text.push_str(&line(event));
            }
        }
        text
    }
}

/// Once for each time that it goes.
fn complain(error: &ClientError, is_gone: &mut bool) {
    if !*is_gone {
        *is_gone = true;
        let _closed = writeln!(io::stderr(), "{}", status::failure(error).text);
    }
}

/// Those of `events` that are not among the `known` ones. Numbers start again with the process.
fn news<'a>(known: &[Happening], events: &'a [Happening]) -> &'a [Happening] {
    let Some(last) = known.last() else { return events };
    let is_known = |it: &Happening| it.seq == last.seq && it.at_ms == last.at_ms;
    let from = events.iter().rposition(is_known).map_or(0, |it| it.saturating_add(1));
    events.get(from..).unwrap_or_default()
}

fn line(event: &Happening) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(event.at_ms);
    let at = humantime::format_rfc3339_millis(at);
    let mut text = format!("{at}  {:<5}  {}", event.level, event.message);
    for (name, value) in &event.fields {
        let is_word = !value.is_empty() && !value.contains(char::is_whitespace);
        let _infallible = if is_word {
            write!(text, "  {name}={value}")
        } else {
            write!(text, "  {name}={value:?}")
        };
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, at_ms: u64) -> Happening {
        Happening {
            seq,
            at_ms,
            level: "WARN".to_owned(),
            message: "The primary is lost".to_owned(),
            fields: [
                ("old_primary".to_owned(), "a".to_owned()),
                ("reason".to_owned(), "a refuses connections".to_owned()),
            ]
            .into(),
        }
    }

    #[test]
    fn a_line_has_time_level_words_and_fields() {
        let expected = "2026-11-26T06:09:51.381Z  WARN   The primary is lost  old_primary=a  \
                        reason=\"a refuses connections\"\n";
        assert_eq!(line(&event(1, 1_795_673_391_381)), expected);
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let known = [event(1, 10), event(2, 20)];
        let more = [event(2, 20), event(3, 30)];
        assert_eq!(news(&known, &more), [event(3, 30)]);
        assert_eq!(news(&known, &known), []);
        assert_eq!(news(&[], &more), more);
        let anew = [event(1, 40), event(2, 50)];
        assert_eq!(news(&known, &anew), anew, "another process");
        let far = [event(400, 40)];
        assert_eq!(news(&known, &far), far, "more than is kept happened meanwhile");
    }
}
