//! Addresses of repositories that Koji's builders check out: their form, and the commit that they are held to.

/// The address with the commit put in, when it is held to one commit for good.
pub fn pinned(url: &str, commit: &str) -> Result<String, String> {
    let fault = faults("the address", url);
    if let Some(fault) = fault.into_iter().next() {
        return Err(fault);
    }
    if url.contains("$commit") && commit.is_empty() {
        return Err(format!("{url} wants the definition's commit, and the definition lies in no repository"));
    }
    Ok(url.replace("$commit", commit))
}

/// What is wrong with an address, as the recipe's key `name` says it.
pub fn faults(name: &str, url: &str) -> Vec<String> {
    let is_git = url.split_once("://").is_some_and(|(scheme, rest)| {
        (scheme == "git" || scheme.starts_with("git+")) && rest.contains('/') && !rest.starts_with('/')
    });
    if !is_git {
        let form = "git+https://HOST/REPOSITORY?FOLDER#$commit";
        return vec![format!("{name}: {url:?} is no address that Koji's builders check out: write {form}")];
    }
    match url.split_once('#') {
        Some((_, "$commit")) => Vec::new(),
        Some((_, commit)) if is_commit(commit) => Vec::new(),
        Some((_, other)) => vec![format!(
            "{name}: {other:?} may be another commit tomorrow: write #$commit for the one that is frozen"
        )],
        None => vec![format!("{name}: {url} names no commit: write #$commit behind it")],
    }
}

fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The path of a file within the folder that an address names: `x/y.ks` with `?x` is `y.ks`.
pub fn within(url: &str, file: &str) -> Result<String, String> {
    let before = url.split_once('#').map_or(url, |(before, _)| before);
    let folder = before.split_once('?').map_or("", |(_, folder)| folder).trim_matches('/');
    if folder.is_empty() {
        return Ok(file.to_owned());
    }
    let inside = file.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
    inside
        .map(str::to_owned)
        .ok_or_else(|| format!("{file} does not lie in the folder {folder} that {url} names"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn an_address_is_held_to_the_commit_that_is_frozen() {
        let url = "git+https://forge.example.org/kickstarts?#$commit";
        assert_eq!(pinned(url, COMMIT).unwrap(), url.replace("$commit", COMMIT));
        assert!(pinned(url, "").unwrap_err().contains("lies in no repository"));
        let fixed = format!("git://forge.example.org/x#{COMMIT}");
        assert_eq!(pinned(&fixed, "").unwrap(), fixed);
    }

    #[test]
    fn an_address_that_moves_or_has_no_form_is_said() {
        let cases = [
            ("https://forge.example.org/x#$commit", "is no address that Koji's builders check out"),
            ("git+https://#$commit", "is no address"),
            ("git+https://forge.example.org/x", "names no commit"),
            ("git+https://forge.example.org/x#main", "\"main\" may be another commit tomorrow"),
            ("git+https://forge.example.org/x#HEAD", "\"HEAD\" may be another commit tomorrow"),
            ("git+https://forge.example.org/x#0123456", "may be another commit"),
        ];
        for (url, why) in cases {
            let said = faults("ksurl", url).join("; ");
            assert!(said.starts_with("ksurl: ") && said.contains(why), "{url}: {said}");
        }
    }

    #[test]
    fn a_file_is_named_from_the_folder_that_is_checked_out() {
        assert_eq!(within("git://h/r#x", "ks/a.ks").unwrap(), "ks/a.ks");
        assert_eq!(within("git://h/r?#x", "ks/a.ks").unwrap(), "ks/a.ks");
        assert_eq!(within("git://h/r?ks/#x", "ks/a.ks").unwrap(), "a.ks");
        assert!(within("git://h/r?k#x", "ks/a.ks").unwrap_err().contains("does not lie in the folder k"));
    }
}
