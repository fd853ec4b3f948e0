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

/// Text as it may stand in an address: every byte but letters, digits, `-._~` and those in `also` becomes `%XX`.
pub fn in_address(text: &str, also: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut address, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.as_bytes().contains(&byte) {
            address.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(address, "%{byte:02X}");
        }
        address
    })
}

/// Text in one line: every run of white space becomes one blank.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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
    fn what_means_something_in_an_address_is_written_in_hex() {
        assert_eq!(in_address("a/b#2 é.~+", "/"), "a/b%232%20%C3%A9.~%2B");
    }

    #[test]
    fn text_of_several_lines_becomes_one() {
        assert_eq!(one_line(" a \n\tb\r\n"), "a b");
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
