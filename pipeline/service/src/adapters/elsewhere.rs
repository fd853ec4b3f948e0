//! What the sections of all builders have in common that are not this machine.

/// The size of a disk in GB, where nobody says another.
pub fn disk_gb() -> u32 {
    10
}

/// What our work is known by, where nobody says otherwise.
pub fn mark() -> String {
    "muster".to_owned()
}

/// Seconds between two looks, where nobody says otherwise: a build takes a quarter of an hour and more.
pub fn poll_s() -> u64 {
    30
}

/// What TOML cannot say of a section: that these keys are web addresses, and that the mark is one word.
pub fn faults(addresses: &[(&str, &str)], mark: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (key, value) in addresses {
        if !value.starts_with("https://") && !value.starts_with("http://") {
            faults.push(format!("{key}: {value:?} is no http address"));
        }
    }
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    if mark.is_empty() || !mark.chars().all(is_plain) {
        faults.push(format!("mark: {mark:?} must be letters, digits and any of - _"));
    }
    faults
}
