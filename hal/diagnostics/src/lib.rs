//! TOML text into typed values, with errors that say what is wrong, where, and what to do.
//!
//! Everything a person writes for Takt (site configuration, device profiles, plans) passes through
//! [`Document`]: syntax and types by `serde`, meaning by the caller, and every complaint in the one
//! shape of [`Diagnostic`].

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
pub use serde_spanned::Spanned;

/// One complaint about a text, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file's name as the user gave it.
    pub file: String,
    /// Line and column, both from 1; `None` if the complaint is about the file as a whole.
    pub position: Option<(usize, usize)>,
    /// What is wrong and why.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "\n  remedy: {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// The largest text that is read, in bytes: a larger one is a mistake, not a configuration.
pub const TEXT_BYTES_MAX: u64 = 4 << 20;

/// A text with the name of its file.
#[derive(Debug, Clone)]
pub struct Document {
    file: String,
    text: String,
}

impl Document {
    /// A text that did not come from a file, under a name to complain about.
    #[must_use]
    pub fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned() }
    }

    /// Reads a file of at most [`TEXT_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// As [`Document::read_at_most`].
    pub fn read(path: &Path) -> Result<Self, Diagnostic> {
        Self::read_at_most(path, TEXT_BYTES_MAX)
    }

    /// Reads a text file of at most `bytes_max` bytes, see [`read_bytes_at_most`].
    ///
    /// # Errors
    /// If the file cannot be read, is larger than `bytes_max`, or is not UTF-8.
    pub fn read_at_most(path: &Path, bytes_max: u64) -> Result<Self, Diagnostic> {
        let text = String::from_utf8(read_bytes_at_most(path, bytes_max)?).map_err(|error| {
            complaint_about(path, format!("is not UTF-8: {error}"), "save the file as UTF-8")
        })?;
        Ok(Self { file: path.display().to_string(), text })
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Syntax and types. Wrap a field in [`Spanned`] to complain about its meaning later.
    ///
    /// # Errors
    /// At the first place that is not TOML or does not fit `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        toml::from_str(&self.text).map_err(|error| {
            let what = error.message().trim().to_owned();
            let remedy = remedy_for(&what);
            match error.span() {
                Some(span) => self.at(span, what, remedy),
                None => self.whole(what, remedy),
            }
        })
    }

    /// A complaint about one place, given as a byte range of the text.
    #[must_use]
    pub fn at(&self, span: Range<usize>, what: impl Into<String>, remedy: impl Into<String>) -> Diagnostic {
        Diagnostic { position: Some(self.position_of(span.start)), ..self.whole(what, remedy) }
    }

    /// A complaint about the text as a whole.
    #[must_use]
    pub fn whole(&self, what: impl Into<String>, remedy: impl Into<String>) -> Diagnostic {
        Diagnostic { file: self.file.clone(), position: None, what: what.into(), remedy: remedy.into() }
    }

    fn position_of(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
        (line, column)
    }
}

fn remedy_for(what: &str) -> &'static str {
    if what.starts_with("unknown field") || what.starts_with("unknown variant") {
        "correct the spelling to one of the expected names, or remove the line"
    } else if what.starts_with("missing field") {
        "add the field"
    } else if what.starts_with("duplicate") {
        "keep one of the two"
    } else if what.starts_with("invalid type") || what.starts_with("invalid value") {
        "give a value of the expected kind"
    } else {
        "correct the TOML syntax here"
    }
}

/// Reads a file of at most `bytes_max` bytes, and no more than one byte beyond: a device or a pipe does not
/// tell its length, and may have no end.
///
/// # Errors
/// If the file cannot be read or is larger than `bytes_max`.
pub fn read_bytes_at_most(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Diagnostic> {
    let unreadable = |error: std::io::Error| {
        complaint_about(path, format!("cannot be read: {error}"), "give the path of a readable file")
    };
    let mut bytes = Vec::new();
    let mut bounded = File::open(path).map_err(unreadable)?.take(bytes_max.saturating_add(1));
    bounded.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        let what = format!("has more than {bytes_max} bytes");
        return Err(complaint_about(path, what, "check that this is the right file, or split it"));
    }
    Ok(bytes)
}

fn complaint_about(path: &Path, what: String, remedy: &str) -> Diagnostic {
    Diagnostic { file: path.display().to_string(), position: None, what, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Loop {
        period_ms: Spanned<u32>,
    }

    fn complaint_about(text: &str) -> Diagnostic {
        Document::new("site.toml", text).parse::<Loop>().unwrap_err()
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let complaint = complaint_about("period_ms = 10\nperod_ms = 3\n");
        assert_eq!(complaint.position, Some((2, 1)));
        assert!(complaint.to_string().contains("perod_ms"), "{complaint}");
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let complaint = Document::read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(complaint.what, format!("has more than {TEXT_BYTES_MAX} bytes"));
    }

    #[test]
    fn a_wrong_type_is_named_with_its_column() {
        assert_eq!(complaint_about("period_ms = \"ten\"\n").position, Some((1, 13)));
    }

    #[test]
    fn a_meaning_is_complained_about_where_it_stands() {
        let document = Document::new("site.toml", "\nperiod_ms = 0\n");
        let parsed: Loop = document.parse().unwrap();
        let complaint = document.at(parsed.period_ms.span(), "a period of 0", "give at least 1");
        assert_eq!(complaint.to_string(), "site.toml:2:13: a period of 0\n  remedy: give at least 1");
    }
}
