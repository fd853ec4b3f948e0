//! Small things about text that more than one module needs. Pure.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Text from outside as it may be shown: without control characters, which could rewrite a screen, and without the
/// sequences that an escape begins. Lines and tabs stay.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut characters),
            '\n' | '\t' => plain.push(character),
            character if character.is_control() => {}
            character => plain.push(character),
        }
    }
    plain
}

/// Skips what follows an escape: `[`, parameters, and one last character; or a single character.
fn skip_sequence(characters: &mut Peekable<Chars<'_>>) {
    if characters.next_if_eq(&'[').is_none() {
        characters.next_if(|next| !next.is_control());
        return;
    }
    while characters.next_if(|next| (' '..='?').contains(next)).is_some() {}
    characters.next_if(|next| ('@'..='~').contains(next));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_small_letters() {
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
    }

    #[test]
    fn text_from_outside_cannot_drive_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{9b}c\r\nd\te"), "abc\nd\te");
        assert_eq!(plain("\u{1b}[1;31mred\u{1b}[0m\r\nok\u{1b}c\u{1b}["), "red\nok");
        assert_eq!(
            plain("[\x1b[0;32m  OK  \x1b[0m] up\r\n\x1b[2J\x1b[01;01Hlogin: "),
            "[  OK  ] up\nlogin: "
        );
    }

    #[test]
    fn a_sequence_that_is_cut_short_swallows_no_line() {
        assert_eq!(plain("\u{1b}[12\nkept\u{1b}\nkept too"), "\nkept\nkept too");
    }
}
