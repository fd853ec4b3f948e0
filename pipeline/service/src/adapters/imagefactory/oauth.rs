//! OAuth 1 with two legs (RFC 5849): each request is signed with the consumer's secret, and there is no token.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::text::in_address;

/// Who signs, and what makes this request another than the one before.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The consumer's key.
    pub key: &'a str,
    /// The consumer's secret.
    pub secret: &'a str,
    /// A word that is used once.
    pub nonce: &'a str,
    /// Seconds since 1970.
    pub timestamp: i64,
}

/// The value of `Authorization` for a request without parameters in its address.
pub fn header(signer: &Signer<'_>, method: &str, url: &str) -> String {
    let timestamp = signer.timestamp.to_string();
    let mut params = vec![
        ("oauth_consumer_key", signer.key),
        ("oauth_nonce", signer.nonce),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", &timestamp),
        ("oauth_version", "1.0"),
    ];
    let signature = signature(signer.secret, (method, url), &params);
    params.push(("oauth_signature", &signature));
    let params: Vec<String> =
        params.iter().map(|(name, value)| format!("{name}=\"{}\"", encoded(value))).collect();
    format!("OAuth {}", params.join(", "))
}

/// Text as it is signed and sent.
fn encoded(text: &str) -> String {
    in_address(text, "")
}

fn signature(secret: &str, (method, url): (&str, &str), params: &[(&str, &str)]) -> String {
    let mut pairs: Vec<String> =
        params.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.sort();
    let base = format!("{method}&{}&{}", encoded(url), encoded(&pairs.join("&")));
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{}&", encoded(secret)).as_bytes());
    STANDARD.encode(hmac::sign(&key, base.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_signed_as_another_implementation_signs_it() {
        // The request of RFC 5849, section 1.2; the value is what Python's hmac and urllib make of it.
        let params = [
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131200"),
            ("oauth_nonce", "wIjqoxSW"),
            ("oauth_callback", "http://printer.example.com/ready"),
        ];
        let of = ("POST", "https://photos.example.net/initiate");
        assert_eq!(signature("kd94hf93k423kf44", of, &params), "+FxnWvPFUEtxWxJHngk5ftcrorY=");
    }

    #[test]
    fn a_header_carries_everything_that_was_signed() {
        let signer = Signer { key: "k&y", secret: "s", nonce: "n", timestamp: 7 };
        let header = header(&signer, "GET", "https://factory.example.org:8075/imagefactory");
        assert!(header.starts_with("OAuth oauth_consumer_key=\"k%26y\", oauth_nonce=\"n\""), "{header}");
        assert!(
            header.contains("oauth_timestamp=\"7\", oauth_version=\"1.0\", oauth_signature=\""),
            "{header}"
        );
    }
}
