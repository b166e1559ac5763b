//! The words of Rust source text that are code: not those in comments, strings and characters.
//!
//! Enough of a lexer to find a keyword without being fooled by a comment that mentions it. It knows
//! line comments, nested block comments, strings with escapes, raw strings, characters and lifetimes.

/// A word of the code with its line, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// The identifier or keyword.
    pub text: &'a str,
    /// Where it stands.
    pub line: usize,
}

/// All identifiers and keywords of the code, in order.
#[must_use]
pub fn words(source: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            string(rest)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '\'' {
            character_or_lifetime(rest)
        } else if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length.min(rest.len()));
        if is_word(first) && token.chars().all(is_word) {
            words.push(Word { text: token, line });
        }
        line += token.matches('\n').count();
        rest = after;
    }
    words
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Length of a block comment with the comments inside it.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            match rest.chars().next() {
                Some(c) => at += c.len_utf8(),
                None => break,
            }
        }
    }
    text.len()
}

/// Length of a string with its quotes.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Length of a raw string with its prefix, if the text starts with one.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|p| text.starts_with(p))?;
    let after = text.get(prefix.len()..)?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after.get(hashes..)?.strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |at| at + close.len());
    Some(prefix.len() + hashes + 1 + end)
}

/// Length of a character literal, or 1 for the quote of a lifetime or label.
fn character_or_lifetime(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            // The escaped character itself may be a quote: look for the end after it.
            chars.next();
            chars.find(|(_, c)| *c == '\'').map_or(text.len(), |(at, _)| at + 1)
        }
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            Some(_) | None => 1,
        },
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[(&str, usize)]) {
        let found: Vec<_> = words(source).into_iter().map(|w| (w.text, w.line)).collect();
        assert_eq!(found, expected, "in {source:?}");
    }

    #[test]
    fn words_are_found_with_their_lines() {
        check("fn f() {\n    unsafe { g() }\n}", &[("fn", 1), ("f", 1), ("unsafe", 2), ("g", 2)]);
    }

    #[test]
    fn a_longer_word_is_one_word() {
        check("deny(unsafe_code)", &[("deny", 1), ("unsafe_code", 1)]);
    }

    #[test]
    fn comments_hold_no_words() {
        check("// unsafe\na /* unsafe /* nested */ unsafe\n */ b", &[("a", 2), ("b", 3)]);
    }

    #[test]
    fn strings_hold_no_words() {
        check(r#"a "unsafe \" unsafe \\" b"#, &[("a", 1), ("b", 1)]);
    }

    #[test]
    fn raw_strings_hold_no_words() {
        check("a r#\"unsafe \" unsafe\"# b br\"x\\\" c", &[("a", 1), ("b", 1), ("c", 1)]);
    }

    #[test]
    fn a_quote_as_a_character_opens_no_string() {
        check(r#"a '"' b '\'' c 'é' d"#, &[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    }

    #[test]
    fn a_lifetime_is_a_word_and_opens_no_character() {
        check("&'static str, 'a: unsafe", &[("static", 1), ("str", 1), ("a", 1), ("unsafe", 1)]);
    }

    #[test]
    fn text_that_breaks_off_ends_the_words() {
        for text in ["a /* b", "a \"b", "a r#\"b", "a '", "a '\\", "a 'é"] {
            assert_eq!(words(text).first().unwrap().text, "a", "in {text:?}");
        }
    }
}
