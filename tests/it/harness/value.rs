//! A reply, RESP2 or RESP3, read from a blocking stream.
//!
//! Written apart from Segue's own scanner and from any codec it uses, so that a mistake shared by
//! both sides cannot hide. Recursive: its peer is a server under test.

use std::fmt;
use std::io::{self, BufRead};

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Self>),
    Set(Vec<Self>),
    Push(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Double(String),
    Boolean(bool),
    BigNumber(String),
    Verbatim(Vec<u8>),
}

impl Value {
    /// Reads one frame.
    pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let line = read_line(from)?;
        let (mark, text) = line.split_at_checked(1).ok_or_else(|| broken("an empty line"))?;
        Ok(match mark {
            "+" => Self::Simple(text.to_owned()),
            "-" => Self::Error(text.to_owned()),
            ":" => Self::Integer(number(text)?),
            "," => Self::Double(text.to_owned()),
            "(" => Self::BigNumber(text.to_owned()),
            "#" => Self::Boolean(text == "t"),
            "_" => Self::Null,
            "$" => bulk(from, text)?.map_or(Self::Null, Self::Bulk),
            "=" => Self::Verbatim(bulk(from, text)?.ok_or_else(|| broken("a null verbatim"))?),
            "*" if text == "-1" => Self::Null,
            "*" => Self::Array(elements(from, number(text)?)?),
            "~" => Self::Set(elements(from, number(text)?)?),
            ">" => Self::Push(elements(from, number(text)?)?),
            "%" => {
                let mut flat = elements(from, number(text)? * 2)?.into_iter();
                let mut pairs = Vec::new();
                while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                    pairs.push((key, value));
                }
                Self::Map(pairs)
            }
            _ => return Err(broken(&format!("frame mark {line:?}"))),
        })
    }

    /// The text of an error, without its `-`.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The items of an array, set or push.
    #[track_caller]
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items,
            _ => panic!("{self} has no items"),
        }
    }

    #[track_caller]
    pub(crate) fn integer(&self) -> i64 {
        match self {
            Self::Integer(it) => *it,
            _ => panic!("{self} is no integer"),
        }
    }

    /// The bytes of a bulk or verbatim string, as text.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Bulk(it) | Self::Verbatim(it) => String::from_utf8_lossy(it).into_owned(),
            _ => panic!("{self} is no string"),
        }
    }
}

/// As it reads in an assertion: `+OK`, `-ERR no`, `:7`, `text`, `(null)`, `[a, b]`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(it) => write!(f, "+{it}"),
            Self::Error(it) => write!(f, "-{it}"),
            Self::Integer(it) => write!(f, ":{it}"),
            Self::Double(it) => write!(f, ",{it}"),
            Self::BigNumber(it) => write!(f, "({it}"),
            Self::Boolean(it) => write!(f, "#{it}"),
            Self::Null => f.write_str("(null)"),
            Self::Bulk(it) | Self::Verbatim(it) => f.write_str(&String::from_utf8_lossy(it)),
            Self::Array(items) | Self::Set(items) | Self::Push(items) => {
                let items: Vec<_> = items.iter().map(Self::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Map(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}: {v}")).collect();
                write!(f, "{{{}}}", pairs.join(", "))
            }
        }
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        let text = self.to_string();
        text == *other
    }
}

fn elements(from: &mut impl BufRead, count: i64) -> io::Result<Vec<Value>> {
    (0..count).map(|_| Value::read(from)).collect()
}

fn bulk(from: &mut impl BufRead, length: &str) -> io::Result<Option<Vec<u8>>> {
    let Ok(length) = usize::try_from(number(length)?) else { return Ok(None) };
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    let mut end = [0; 2];
    from.read_exact(&mut end)?;
    if &end == b"\r\n" { Ok(Some(bytes)) } else { Err(broken("a bulk string without its end")) }
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed between frames"));
    }
    let text = line.strip_suffix(b"\r\n").ok_or_else(|| broken("a line without its end"))?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| broken(&format!("number {text:?}")))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the peer sent {what}"))
}
