//! The SHA-512 scheme of crypt(3), for passwords that a kickstart writes in clear.

use sha2::{Digest, Sha512};

/// Rounds when a salt does not say how many, as crypt(3) has it.
const ROUNDS: usize = 5000;

/// crypt(3)'s own alphabet, in its order.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The hash of a password as it stands in `/etc/shadow`; of the salt the first 16 bytes count.
pub fn sha512_crypt(password: &str, salt: &str) -> String {
    let salt = &salt[..salt.len().min(16)];
    let (password, salt_bytes) = (password.as_bytes(), salt.as_bytes());
    let mut digest = first(password, salt_bytes);
    let p = stretched(&repeated(password, password.len()), password.len());
    let s = stretched(&repeated(salt_bytes, 16 + usize::from(digest[0])), salt_bytes.len());
    for round in 0..ROUNDS {
        let mut hasher = Sha512::new();
        hasher.update(if round % 2 == 1 { &p[..] } else { &digest[..] });
        if round % 3 != 0 {
            hasher.update(&s);
        }
        if round % 7 != 0 {
            hasher.update(&p);
        }
        hasher.update(if round % 2 == 1 { &digest[..] } else { &p[..] });
        digest = hasher.finalize().into();
    }
    format!("$6${salt}${}", encoded(&digest))
}

fn first(password: &[u8], salt: &[u8]) -> [u8; 64] {
    let mut other = Sha512::new();
    for part in [password, salt, password] {
        other.update(part);
    }
    let other: [u8; 64] = other.finalize().into();
    let mut hasher = Sha512::new();
    hasher.update(password);
    hasher.update(salt);
    hasher.update(stretched(&other, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        hasher.update(if bits & 1 == 1 { &other[..] } else { password });
        bits >>= 1;
    }
    hasher.finalize().into()
}

/// The digest of `bytes`, written `times` times.
fn repeated(bytes: &[u8], times: usize) -> [u8; 64] {
    let mut hasher = Sha512::new();
    for _ in 0..times {
        hasher.update(bytes);
    }
    hasher.finalize().into()
}

/// A digest, repeated and cut to `length` bytes.
fn stretched(digest: &[u8; 64], length: usize) -> Vec<u8> {
    digest.iter().copied().cycle().take(length).collect()
}

/// Three bytes give four letters, in the order that crypt(3) shuffles them.
fn encoded(digest: &[u8; 64]) -> String {
    let mut text = String::with_capacity(86);
    let mut push = |value: u32, letters: usize| {
        text.extend((0..letters).map(|letter| char::from(ALPHABET[(value >> (6 * letter)) as usize & 63])));
    };
    for step in 0..21 {
        let at = |offset: usize| u32::from(digest[(step * 22 + offset) % 63]);
        push(at(0) << 16 | at(21) << 8 | at(42), 4);
    }
    push(u32::from(digest[63]), 2);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_crypt() {
        // Made with `openssl passwd -6 -salt SALT PASSWORD`.
        let long = "we have a short salt string but not a short password";
        let cases = [
            ("Hello world!", "saltstring", OPENSSL[0]),
            (long, "short", OPENSSL[1]),
            ("", "0123456789abcdef", OPENSSL[2]),
        ];
        for (password, salt, expected) in cases {
            assert_eq!(sha512_crypt(password, salt), expected);
        }
    }

    const OPENSSL: [&str; 3] = [
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        "$6$short$qmfj2meTBr5G2EAGIJ4vjX7RpefsD4JzpEyTAeEUJdzdxlBS6pe8gdMHm5zFftaFSj/2p2bjBwyVS9ZhWpLZt.",
        "$6$0123456789abcdef$F2ysjt5Ng5qVz2/gDtbz.ycdictosXpZ7Xsgu8PlbAws/.ekNFWz9XrSKXBI0tVYfdxX.nsVfGs7qe4jMrOWH0",
    ];
}
