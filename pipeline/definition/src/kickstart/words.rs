//! How the text of a kickstart falls into lines and a line into words, and how words are written back.
//!
//! Knows the rules of the installer's reader, which are those of a POSIX shell without continuation lines,
//! expansion or operators. Must not know commands.

use std::borrow::Cow;

/// What keeps a line from being split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsplit {
    /// A quotation mark has no partner on the line.
    OpenQuote(char),
    /// The text ends with a backslash.
    LoneBackslash,
}

/// Whether an unquoted `#` ends the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comments {
    /// It does.
    Dropped,
    /// It is a character like others.
    Kept,
}

/// Splits a line into words.
pub(super) fn split(line: &str, comments: Comments) -> Result<Vec<String>, Unsplit> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if comments == Comments::Dropped => break,
            '\'' | '"' => quoted(char, &mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(Unsplit::LoneBackslash)?),
            _ => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(mark: char, chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), Unsplit> {
    loop {
        match chars.next().ok_or(Unsplit::OpenQuote(mark))? {
            char if char == mark => return Ok(()),
            '\\' if mark == '"' => match chars.next().ok_or(Unsplit::OpenQuote(mark))? {
                char @ ('\\' | '"') => word.push(char),
                char => word.extend(['\\', char]),
            },
            char => word.push(char),
        }
    }
}

/// Every line with the characters that end it.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().find(|(_, char)| ends_line(*char)).map_or(rest.len(), |(at, char)| {
            let end = at + char.len_utf8();
            if char == '\r' && rest[end..].starts_with('\n') { end + 1 } else { end }
        });
        let (line, after) = rest.split_at(end);
        rest = after;
        Some(line)
    })
}

/// The installer's reader ends lines at more characters than the newline.
pub(super) fn ends_line(char: char) -> bool {
    matches!(char, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether the reader takes the character for a blank.
pub(super) fn is_blank(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\x1c'..='\x1f')
}

/// The text without blanks at either end.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// The word as it stands in double quotes: it reads back as itself.
pub(super) fn in_quotes(word: &str) -> String {
    let mut text = String::with_capacity(word.len() + 2);
    text.push('"');
    let mut chars = word.chars().peekable();
    while let Some(char) = chars.next() {
        // A backslash that escapes nothing stands for itself and is left alone.
        if char == '"' || (char == '\\' && matches!(chars.peek(), None | Some('"' | '\\'))) {
            text.push('\\');
        }
        text.push(char);
    }
    text.push('"');
    text
}

/// The word as it stands, in quotes only when it would not read back as itself without them.
pub(super) fn bare(word: &str) -> Cow<'_, str> {
    let plain = !word.is_empty() && !word.contains([' ', '\t', '\r', '\n', '#', '\'', '"', '\\']);
    if plain { Cow::Borrowed(word) } else { Cow::Owned(in_quotes(word)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, words: &[&str]) {
        assert_eq!(split(line, Comments::Dropped).unwrap(), words, "{line}");
    }

    #[test]
    fn a_line_splits_like_a_shell_command() {
        check("timezone UTC\n", &["timezone", "UTC"]);
        check("a 'b c' \"d\\\"e\\f\" ''", &["a", "b c", "d\"e\\f", ""]);
        check("url --url=http://x/#frag more", &["url", "--url=http://x/"]);
        check("rootpw \"a#b\" # a comment's end", &["rootpw", "a#b"]);
        check("a\\ b", &["a b"]);
    }

    #[test]
    fn a_backslash_does_not_continue_a_line() {
        check("part / \\\n", &["part", "/", "\n"]);
        assert_eq!(split("part \\", Comments::Dropped), Err(Unsplit::LoneBackslash));
    }

    #[test]
    fn an_open_quote_is_an_error() {
        assert_eq!(split("echo it's", Comments::Dropped), Err(Unsplit::OpenQuote('\'')));
        assert_eq!(split("a \"b\\", Comments::Dropped), Err(Unsplit::OpenQuote('"')));
    }

    #[test]
    fn lines_keep_what_ends_them() {
        assert_eq!(lines("a\r\nb\rc\n\nd").collect::<Vec<_>>(), ["a\r\n", "b\r", "c\n", "\n", "d"]);
    }

    proptest::proptest! {
        #[test]
        fn a_written_word_reads_back_as_itself(word in "[^\r\n\x0b\x0c]*") {
            for text in [in_quotes(&word), bare(&word).into_owned()] {
                proptest::prop_assert_eq!(split(&text, Comments::Dropped), Ok(vec![word.clone()]));
            }
        }
    }
}
