//! Times, spans and sizes as people say them, and the addresses in what they say.

use jiff::Timestamp;
use muster_flow::build::Link;

/// How many addresses are taken from one text.
const MOST_LINKS: usize = 8;

/// The addresses that stand in a text, as links. Only those of the web: others may be made to run something.
pub fn links(text: &str) -> Vec<Link> {
    let words = text.split_whitespace().map(|word| word.trim_end_matches([';', ',', '.', ')']));
    let addresses = words.filter(|word| word.starts_with("https://") || word.starts_with("http://"));
    addresses.take(MOST_LINKS).map(|url| Link { text: url.to_owned(), url: url.to_owned() }).collect()
}

/// A span of seconds: `40 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
pub fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if seconds < 60 => format!("{seconds} s"),
        () if minutes < 10 && seconds % 60 != 0 => format!("{minutes} min {} s", seconds % 60),
        () if hours < 1 => format!("{minutes} min"),
        () if days < 1 && minutes % 60 == 0 => format!("{hours} h"),
        () if days < 1 => format!("{hours} h {} min", minutes % 60),
        () if hours % 24 == 0 => format!("{days} d"),
        () => format!("{days} d {} h", hours % 24),
    }
}

/// A span of milliseconds: `850 ms`, `4.2 s`, `12 min`.
pub fn span_ms(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => span(i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)),
    }
}

/// A number of bytes: `512 bytes`, `1.5 KiB`, `300 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") };
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    if tenths >= 1000 || tenths % 10 == 0 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// A time to the second, in UTC: `2026-11-21 14:05:09`.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `1 test`, `2 tests`.
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_people_say_them() {
        let said: Vec<String> =
            [-5, 0, 59, 60, 61, 600, 3599, 3600, 3700, 86_400, 90_000].into_iter().map(span).collect();
        let expected = [
            "0 s",
            "0 s",
            "59 s",
            "1 min",
            "1 min 1 s",
            "10 min",
            "59 min",
            "1 h",
            "1 h 1 min",
            "1 d",
            "1 d 1 h",
        ];
        assert_eq!(said, expected);
        assert_eq!([span_ms(850), span_ms(4249), span_ms(720_000)], ["850 ms", "4.2 s", "12 min"]);
    }

    #[test]
    fn sizes_are_said_as_people_say_them() {
        let said: Vec<String> =
            [0, 1, 1023, 1024, 1536, 314_572_800, 1_610_612_736, u64::MAX].into_iter().map(size).collect();
        let expected =
            ["0 bytes", "1 byte", "1023 bytes", "1 KiB", "1.5 KiB", "300 MiB", "1.5 GiB", "16777215 TiB"];
        assert_eq!(said, expected);
    }

    #[test]
    fn addresses_of_the_web_become_links_and_no_others() {
        let text =
            "Koji task 33: https://k/t?taskID=33; see http://k/log. javascript:alert(1) data:text/html,x";
        let urls: Vec<String> = links(text).into_iter().map(|link| link.url).collect();
        assert_eq!(urls, ["https://k/t?taskID=33", "http://k/log"]);
    }

    #[test]
    fn lists_end_with_and() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([list(&names[..1]), list(&names[..2]), list(&names)], ["a", "a and b", "a, b and c"]);
    }
}
