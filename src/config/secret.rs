//! Passwords and tokens: where they come from, and the way they are kept.
//!
//! The file names a place, never the secret itself, so that the file can be shown, committed
//! and sent to somebody for help. What was read is kept in memory that is wiped when it is
//! dropped, and is never printed: not by `Debug`, not in a message, not by `segue config`.

use super::section::Section;
use secrecy::SecretString;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Longer than any password; shorter than a file that was meant for something else.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Whether the places that the file names are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Secrets {
    /// Read them; that one cannot be read is a problem.
    Read,
    /// Read only the token of the control API: enough to talk to a running Segue.
    Token,
    /// Leave them empty: enough to look at a file on another machine than its own.
    Skip,
}

impl Secrets {
    /// The content of the file that `key` names; without the line break at its end.
    pub(super) fn file(
        self,
        section: &mut Section<'_>,
        key: &str,
        path: &Path,
    ) -> Option<SecretString> {
        let wanted = match self {
            Self::Read => true,
            Self::Token => key == "token_file",
            Self::Skip => false,
        };
        if !wanted {
            return Some(SecretString::default());
        }
        let key = section.path_of(key);
        read_file(path).map_err(|text| section.problems().push(&key, text)).ok()
    }

    /// The value of the environment variable that `key` names.
    pub(super) fn variable(
        self,
        section: &mut Section<'_>,
        key: &str,
        name: &str,
    ) -> Option<SecretString> {
        if self != Self::Read {
            return Some(SecretString::default());
        }
        let key = section.path_of(key);
        let outcome = match env::var(name) {
            Ok(value) if value.is_empty() => Err(format!("the variable `{name}` is empty")),
            Ok(value) => Ok(SecretString::from(value)),
            Err(env::VarError::NotPresent) => Err(format!("the variable `{name}` is not set")),
            Err(env::VarError::NotUnicode(_)) => {
                Err(format!("the variable `{name}` is not valid UTF-8"))
            }
        };
        outcome.map_err(|text| section.problems().push(&key, text)).ok()
    }
}

/// A path in the file.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("is empty".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// A name of an environment variable in the file.
pub(super) fn variable_name(text: &str) -> Result<String, String> {
    let fits = |it: char| it.is_ascii_alphanumeric() || it == '_';
    if text.is_empty() || !text.chars().all(fits) {
        // Not quoted: it may well be the secret itself, written into the wrong place.
        return Err("is not the name of a variable: use letters, digits and `_`, \
                    and no `$` before it"
            .to_owned());
    }
    Ok(text.to_owned())
}

fn read_file(path: &Path) -> Result<SecretString, String> {
    let shown = path.display();
    let refuse = |error| format!("`{shown}` cannot be read: {error}");
    // Looked at first: a device or a pipe in its place might never end.
    let about = fs::metadata(path).map_err(refuse)?;
    if !about.is_file() {
        return Err(format!("`{shown}` is not a file"));
    }
    if about.len() > SECRET_BYTES_MAX {
        let bytes = about.len();
        return Err(format!("`{shown}` has {bytes} bytes, more than any secret"));
    }
    let mut text = fs::read_to_string(path).map_err(refuse)?;
    // One line break, as editors and `echo` leave it; anything more may be meant.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(format!("`{shown}` is empty"));
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn strips_one_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        for (content, expected) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")]
        {
            fs::write(&file, content).unwrap();
            assert_eq!(read_file(&file).unwrap().expose_secret(), expected, "{content:?}");
        }
        for content in ["", "\n", "\r\n"] {
            fs::write(&file, content).unwrap();
            assert!(read_file(&file).unwrap_err().ends_with("is empty"), "{content:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_file(folder.path()).unwrap_err().ends_with("is not a file"));
        let file = folder.path().join("large");
        assert!(read_file(&file).unwrap_err().contains("cannot be read"));
        fs::write(&file, vec![b'a'; 65 * 1024]).unwrap();
        assert!(read_file(&file).unwrap_err().contains("more than any secret"));
    }
}
