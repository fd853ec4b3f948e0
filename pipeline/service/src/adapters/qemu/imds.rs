//! The metadata service of EC2, both versions, for one guest.
//!
//! QEMU starts `muster job imds FOLDER` for each connection that the guest opens to 169.254.169.254, with the
//! connection as its standard input and output. So there is no port, no root and no server that could be left behind.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::identity::Identity;
use crate::clock::Clock;
use crate::text::hex;

/// The file in the folder that holds what is served.
pub const FILE: &str = "imds.json";

/// The log beside it: one line per request.
pub const LOG: &str = "imds.log";

/// How long a guest may be silent in the middle of a request.
const SILENCE: Duration = Duration::from_secs(10);

/// The longest request that is read; a real one has a few hundred bytes.
const LONGEST: u64 = 16 * 1024;

/// The longest time a token may live, as on EC2.
const LONGEST_TOKEN_S: i64 = 21_600;

/// What is served to one guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Who the guest is.
    pub identity: Identity,
    /// What tokens are made from.
    pub secret: String,
}

#[derive(Debug, Default)]
struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: &'static str,
    body: String,
}

/// Answers one request on standard input and output.
pub fn serve(folder: &Path) -> Result<()> {
    let service = std::fs::read(folder.join(FILE)).context("cannot read what the metadata service serves")?;
    let service: Service = serde_json::from_slice(&service)?;
    let connection = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Where standard input is no socket, there is no time limit to set.
    let _ = connection.set_read_timeout(Some(SILENCE));
    let request = read_request(io::stdin().lock().take(LONGEST))?;
    let answer = service.answer(&request, Clock::system().now().as_second());
    let mut log = File::options().create(true).append(true).open(folder.join(LOG))?;
    writeln!(log, "{} {} {}", request.method, request.path, answer.status)?;
    let mut out = io::stdout().lock();
    write_answer(&mut out, &request, &answer)
}

fn read_request(input: impl Read) -> Result<Request> {
    let mut lines = BufReader::new(input).lines();
    let first = lines.next().context("the guest said nothing")??;
    let mut words = first.split_ascii_whitespace().map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        headers: Vec::new(),
    };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(request)
}

fn write_answer(out: &mut impl Write, request: &Request, answer: &Answer) -> Result<()> {
    let body = if request.method == "HEAD" { "" } else { &answer.body };
    write!(
        out,
        "HTTP/1.1 {}\r\nServer: EC2ws\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        answer.status,
        answer.body.len(),
    )?;
    out.flush()?;
    Ok(())
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Service {
    fn answer(&self, request: &Request, now: i64) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default();
        match (request.method.as_str(), path) {
            ("PUT", "/latest/api/token") => self.token_answer(request, now),
            ("GET" | "HEAD", path) => match request.header("x-aws-ec2-metadata-token") {
                Some(token) if !self.is_valid(token, now) => refuse("401 Unauthorized"),
                Some(_) | None => self.find(path).map_or(refuse("404 Not Found"), ok),
            },
            _ => refuse("405 Method Not Allowed"),
        }
    }

    fn token_answer(&self, request: &Request, now: i64) -> Answer {
        // EC2 gives no token through a proxy.
        if request.header("x-forwarded-for").is_some() {
            return refuse("403 Forbidden");
        }
        let life = request.header("x-aws-ec2-metadata-token-ttl-seconds").and_then(|text| text.parse().ok());
        match life {
            Some(life) if (1..=LONGEST_TOKEN_S).contains(&life) => ok(self.token(now + life)),
            Some(_) | None => refuse("400 Bad Request"),
        }
    }

    /// A token that needs no memory: the second it ends at, and a hash that only we can make.
    fn token(&self, until: i64) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.secret);
        hash.update(until.to_le_bytes());
        format!("{until}-{}", hex(&hash.finalize()))
    }

    fn is_valid(&self, token: &str, now: i64) -> bool {
        let until = token.split_once('-').and_then(|(until, _)| until.parse().ok());
        until.is_some_and(|until| now < until && token == self.token(until))
    }

    /// What lies at a path, or the names below it when it is a folder.
    fn find(&self, path: &str) -> Option<String> {
        let path = path.trim_start_matches('/');
        let (version, rest) = path.split_once('/').unwrap_or((path, ""));
        if version.is_empty() {
            return Some("latest".to_owned());
        }
        if version != "latest" && !is_date(version) {
            return None;
        }
        let rest = rest.trim_end_matches('/');
        let leaves = self.leaves();
        if let Some((_, value)) = leaves.iter().find(|(name, _)| *name == rest) {
            return Some(value.clone());
        }
        listing(&leaves, rest)
    }

    fn leaves(&self) -> Vec<(&'static str, String)> {
        let identity = &self.identity;
        vec![
            ("meta-data/ami-id", "ami-00000000000000000".to_owned()),
            ("meta-data/ami-launch-index", "0".to_owned()),
            ("meta-data/hostname", identity.hostname.clone()),
            ("meta-data/instance-id", identity.instance.clone()),
            ("meta-data/instance-type", "t3.micro".to_owned()),
            ("meta-data/local-hostname", identity.hostname.clone()),
            ("meta-data/local-ipv4", super::machine::GUEST_ADDRESS.to_owned()),
            ("meta-data/placement/availability-zone", "local-1a".to_owned()),
            ("meta-data/placement/region", "local-1".to_owned()),
            ("meta-data/public-keys", "0=muster".to_owned()),
            ("meta-data/public-keys/0", "openssh-key".to_owned()),
            ("meta-data/public-keys/0/openssh-key", identity.key.clone()),
            ("user-data", identity.user_data()),
        ]
    }
}

/// The names right below a folder; what has names below it itself ends with a slash.
fn listing(leaves: &[(&'static str, String)], folder: &str) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    for (path, _) in leaves {
        let below = if folder.is_empty() {
            Some(*path)
        } else {
            path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'))
        };
        let Some(below) = below else { continue };
        let name = below.split_once('/').map_or(below.to_owned(), |(name, _)| format!("{name}/"));
        let bare = name.trim_end_matches('/');
        names.retain(|known| known != bare);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join("\n"))
}

/// Whether a version is spelled like a date, as those of EC2 are.
fn is_date(version: &str) -> bool {
    version.len() == 10 && version.split('-').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn ok(body: String) -> Answer {
    Answer { status: "200 OK", body }
}

fn refuse(status: &'static str) -> Answer {
    Answer { status, body: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str, now: i64) -> Answer {
        let identity = Identity {
            hostname: "muster-1".to_owned(),
            instance: "i-1".to_owned(),
            key: "ssh-ed25519 AAAA muster".to_owned(),
        };
        let service = Service { identity, secret: "s".to_owned() };
        service.answer(&read_request(request.as_bytes()).unwrap(), now)
    }

    fn get(path: &str) -> Answer {
        ask(&format!("GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n"), 0)
    }

    #[test]
    fn the_first_version_answers_without_a_token() {
        assert_eq!(get("/latest/meta-data/instance-id"), ok("i-1".to_owned()));
        assert_eq!(get("/2021-03-23/meta-data/local-hostname/"), ok("muster-1".to_owned()));
        assert!(get("/latest/user-data").body.starts_with("#cloud-config\n"));
    }

    #[test]
    fn folders_list_their_names() {
        assert_eq!(get("/latest/").body, "meta-data/\nuser-data");
        assert_eq!(get("/latest/meta-data/placement/").body, "availability-zone\nregion");
        assert_eq!(get("/latest/meta-data/public-keys/").body, "0=muster");
        assert!(get("/latest/meta-data").body.ends_with("placement/\npublic-keys/"));
    }

    #[test]
    fn what_is_not_there_is_not_found_and_nothing_is_written() {
        assert_eq!(get("/latest/meta-data/nothing").status, "404 Not Found");
        assert_eq!(get("/older/meta-data/").status, "404 Not Found");
        assert_eq!(ask("POST /latest/user-data HTTP/1.1\r\n\r\n", 0).status, "405 Method Not Allowed");
    }

    #[test]
    fn a_token_holds_for_its_life_and_a_forged_one_never() {
        let life = "x-aws-ec2-metadata-token-ttl-seconds: 60";
        let token = ask(&format!("PUT /latest/api/token HTTP/1.1\r\n{life}\r\n\r\n"), 1000).body;
        let with = |token: &str, now| {
            let request = format!(
                "GET /latest/meta-data/instance-id HTTP/1.1\r\nX-aws-ec2-metadata-token: {token}\r\n\r\n"
            );
            ask(&request, now).status
        };
        assert_eq!(with(&token, 1059), "200 OK");
        assert_eq!(with(&token, 1060), "401 Unauthorized");
        assert_eq!(with(&token.replace("1060", "9999"), 1059), "401 Unauthorized");
    }

    #[test]
    fn a_token_needs_a_life_within_bounds_and_no_proxy() {
        let put = |headers: &str| ask(&format!("PUT /latest/api/token HTTP/1.1\r\n{headers}\r\n"), 0).status;
        assert_eq!(put(""), "400 Bad Request");
        assert_eq!(put("X-aws-ec2-metadata-token-ttl-seconds: 21601\r\n"), "400 Bad Request");
        let proxied = "X-Forwarded-For: 10.0.0.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n";
        assert_eq!(put(proxied), "403 Forbidden");
    }
}
