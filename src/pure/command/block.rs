//! Where the timeout of a waiting command stands, so that it can be issued again with
//! the time that is left.

use crate::pure::resp::request::Args;
use std::time::Duration;

/// Which argument is the timeout, and its unit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BlockArg {
    /// The last argument, in seconds with a fraction: `BLPOP`, `BLMOVE`, …
    LastSeconds,
    /// The first argument, in seconds with a fraction: `BLMPOP`, `BZMPOP`.
    FirstSeconds,
    /// The last argument, in milliseconds: `WAIT`, `WAITAOF`.
    LastMillis,
    /// The argument after `BLOCK`, in milliseconds: `XREAD`, `XREADGROUP`.
    OptionMillis,
}

/// How long a command wants to wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wait {
    /// The argument that says so; the name is argument 0.
    pub index: usize,
    /// The limit. None waits for ever.
    pub limit: Option<Duration>,
    /// The argument is in milliseconds, else in seconds.
    pub in_millis: bool,
}

impl Wait {
    /// The argument that asks for `left`. Never 0, which would mean for ever.
    pub fn argument(self, left: Option<Duration>) -> String {
        let Some(left) = left else { return "0".to_owned() };
        let millis = left.as_millis().max(1);
        if self.in_millis {
            millis.to_string()
        } else {
            format!("{}.{:03}", millis / 1_000, millis % 1_000)
        }
    }
}

impl BlockArg {
    /// How long the command `args` waits. None if it does not, or if the server will
    /// refuse the argument.
    pub fn wait(self, args: &Args<'_>) -> Option<Wait> {
        let index = match self {
            Self::FirstSeconds => 1,
            Self::LastSeconds | Self::LastMillis => {
                args.len().checked_sub(1).filter(|&it| it > 0)?
            }
            Self::OptionMillis => option_index(args)?,
        };
        let in_millis = matches!(self, Self::LastMillis | Self::OptionMillis);
        let text = std::str::from_utf8(args.get(index)?).ok()?;
        let limit = if in_millis {
            Duration::from_millis(text.parse().ok()?)
        } else {
            Duration::try_from_secs_f64(text.parse().ok()?).ok()?
        };
        Some(Wait { index, limit: (!limit.is_zero()).then_some(limit), in_millis })
    }
}

/// The argument after `BLOCK`, read as `xreadCommand` of the servers reads its options:
/// the last one wins, and behind `STREAMS` there are only keys and ids.
fn option_index(args: &Args<'_>) -> Option<usize> {
    let mut found = None;
    let mut skip = 0;
    for (index, arg) in args.iter().enumerate().skip(1) {
        if skip > 0 {
            skip -= 1;
        } else if arg.eq_ignore_ascii_case(b"block") {
            found = Some(index + 1);
            skip = 1;
        } else if arg.eq_ignore_ascii_case(b"count") {
            skip = 1;
        } else if arg.eq_ignore_ascii_case(b"group") {
            skip = 2;
        } else if arg.eq_ignore_ascii_case(b"streams") {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::resp::request;

    #[track_caller]
    fn check(arg: BlockArg, line: &str, expected: Option<(usize, Option<u64>)>) {
        let line = format!("{line}\n");
        let wait = arg.wait(&request::args(line.as_bytes()));
        let expected = expected.map(|(index, ms)| Wait {
            index,
            limit: ms.map(Duration::from_millis),
            in_millis: matches!(arg, BlockArg::LastMillis | BlockArg::OptionMillis),
        });
        assert_eq!(wait, expected, "{line}");
    }

    #[test]
    fn finds_the_timeout() {
        use BlockArg::{FirstSeconds, LastMillis, LastSeconds, OptionMillis};
        check(LastSeconds, "BLPOP a b 0", Some((3, None)));
        check(LastSeconds, "BLPOP a 1.5", Some((2, Some(1_500))));
        check(FirstSeconds, "BLMPOP 0.25 1 a LEFT", Some((1, Some(250))));
        check(LastMillis, "WAIT 1 100", Some((2, Some(100))));
        check(OptionMillis, "XREAD BLOCK 10 STREAMS a $", Some((2, Some(10))));
        check(OptionMillis, "XREAD COUNT block block 0 STREAMS a $", Some((4, None)));
        check(OptionMillis, "XREADGROUP GROUP block count BLOCK 7 STREAMS a >", Some((5, Some(7))));
        check(OptionMillis, "XREAD BLOCK 1 BLOCK 2 STREAMS a $", Some((4, Some(2))));
        check(OptionMillis, "XREAD STREAMS block 5", None);
    }

    #[test]
    fn leaves_nonsense_to_the_server() {
        check(BlockArg::LastSeconds, "BLPOP", None);
        check(BlockArg::LastSeconds, "BLPOP a b", None);
        check(BlockArg::LastSeconds, "BLPOP a -1", None);
        check(BlockArg::LastSeconds, "BLPOP a nan", None);
        check(BlockArg::LastSeconds, "BLPOP a inf", None);
        check(BlockArg::FirstSeconds, "BLMPOP", None);
        check(BlockArg::OptionMillis, "XREAD BLOCK", None);
        check(BlockArg::OptionMillis, "XREAD BLOCK -5 STREAMS a $", None);
    }

    #[test]
    fn writes_what_is_left() {
        let wait = |in_millis| Wait { index: 1, limit: None, in_millis };
        assert_eq!(wait(true).argument(None), "0");
        assert_eq!(wait(true).argument(Some(Duration::from_micros(1))), "1");
        assert_eq!(wait(true).argument(Some(Duration::from_millis(2_050))), "2050");
        assert_eq!(wait(false).argument(None), "0");
        assert_eq!(wait(false).argument(Some(Duration::ZERO)), "0.001");
        assert_eq!(wait(false).argument(Some(Duration::from_millis(2_050))), "2.050");
    }
}
