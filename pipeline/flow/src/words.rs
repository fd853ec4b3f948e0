//! How our words stand in sentences for people.

/// A word, or several, behind the indefinite article: `a release`, `an emergency`. It goes by the letter, which is how all
/// our words are spoken.
pub fn a(words: &str) -> String {
    let is_vowel = words.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']);
    format!("{} {words}", if is_vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_article_fits_its_word() {
        let said = ["release", "emergency release", "untag", "Koji task", "OCI image"].map(a);
        assert_eq!(said, ["a release", "an emergency release", "an untag", "a Koji task", "an OCI image"]);
    }
}
