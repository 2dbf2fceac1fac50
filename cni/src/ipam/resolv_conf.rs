//! Reads a resolv.conf into the name resolution of a result. Pure.

use crate::wire::result::Dns;

/// What the text of a resolv.conf says.
#[must_use]
pub fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (Some(keyword), Some(first)) = (words.next(), words.next()) else {
            continue;
        };
        match keyword.as_str() {
            "nameserver" => dns.nameservers.push(first),
            "domain" => dns.domain = first,
            "search" => dns.search.extend(std::iter::once(first).chain(words)),
            "options" => dns.options.extend(std::iter::once(first).chain(words)),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_keywords_and_skips_the_rest() {
        let dns = parse(
            "# c\nnameserver 10.0.0.2\n nameserver ::1 x\nsearch a b\ndomain d\noptions ndots:5 edns0\nsortlist\n;x y\n",
        );
        assert_eq!(dns.nameservers, ["10.0.0.2", "::1"]);
        assert_eq!(dns.search, ["a", "b"]);
        assert_eq!(dns.options, ["ndots:5", "edns0"]);
        assert_eq!(dns.domain, "d");
    }
}
