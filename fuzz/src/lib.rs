//! What the fuzz targets share: every refusal has to be one that a person can act on.

use hal_diagnostics::Diagnostic;

/// The name of the texts that are TOML.
pub const FILE: &str = "fuzz.toml";

/// Checks a complaint about the text of a file: it names the file, a place inside the text, and a remedy.
///
/// # Panics
/// If the complaint would leave its reader helpless.
pub fn assert_helpful(file: &str, text: &str, complaint: &Diagnostic) {
    assert_eq!(complaint.file, file);
    assert!(!complaint.what.is_empty(), "says nothing: {complaint:?}");
    assert!(!complaint.remedy.is_empty(), "no remedy: {complaint:?}");
    if let Some((line, column)) = complaint.position {
        // The end of the text may be complained about: one line or column further.
        let lines = text.split('\n').count() + 1;
        let columns = text.len() + 1;
        assert!((1..=lines).contains(&line) && (1..=columns).contains(&column), "outside: {complaint:?}");
    }
}
