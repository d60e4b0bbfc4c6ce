//! Asks before something that touches production.
//!
//! Only a person at a terminal can agree; for everybody else there is `--yes`. Standard output is
//! left to the answer of the command, so the question goes to standard error.

use super::change::TEMPORARY;
use super::{Failure, USAGE};
use std::io::{self, BufRead, IsTerminal, Write};

/// Whether nobody could be asked.
///
/// # Errors
///
/// Without a terminal, unless the answer was given in advance: `EX_USAGE`.
pub(super) fn expect_somebody(is_yes: bool) -> Result<(), Failure> {
    if is_yes || io::stdin().is_terminal() {
        return Ok(());
    }
    let text = "this touches every client, and there is no terminal to ask on; nothing was \
                touched\nGive --yes if it shall be done.";
    Err(Failure { code: USAGE, text: text.to_owned() })
}

/// Asks `question`, unless the answer was given in advance.
///
/// # Errors
///
/// If the answer is not yes: `EX_TEMPFAIL`.
pub(super) fn confirm(question: &str, is_yes: bool) -> Result<(), Failure> {
    if is_yes {
        return Ok(());
    }
    ask(question, &mut io::stdin().lock(), &mut io::stderr())
}

fn ask(question: &str, answers: &mut impl BufRead, output: &mut impl Write) -> Result<(), Failure> {
    let mut answer = String::new();
    let is_heard = write!(output, "{question} [yes/no] ")
        .and_then(|()| output.flush())
        .and_then(|()| answers.read_line(&mut answer));
    if is_heard.is_ok() && matches!(answer.trim(), "yes" | "y") {
        return Ok(());
    }
    Err(Failure { code: TEMPORARY, text: "nothing was touched".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, is_yes) in
            [("yes\n", true), ("y\n", true), (" yes ", true), ("no\n", false), ("", false)]
        {
            let mut asked = Vec::new();
            let said = ask("Really?", &mut answer.as_bytes(), &mut asked);
            assert_eq!(said.is_ok(), is_yes, "{answer:?}");
            assert_eq!(asked, b"Really? [yes/no] ");
        }
    }
}
