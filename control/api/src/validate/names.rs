//! Forms of names and other short texts. Each check returns what is wrong, in upstream's words.

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

fn form(message: &str, regex: &str, examples: &[&str]) -> String {
    let examples: Vec<_> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!(
        "{message} (e.g. {}regex used for validation is '{regex}')",
        examples.join(" or ")
    )
}

fn lower(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    text.starts_with(lower) && text.ends_with(lower) && text.chars().all(|c| lower(c) || c == '-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// A DNS label: lower case letters, digits and dashes, at most 63.
#[must_use]
pub fn dns_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !is_label(text) {
        wrong.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            let message = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
            form(message, LABEL, &["my-name", "123-abc"])
        });
    }
    wrong
}

/// A DNS subdomain: labels joined by dots, at most 253 characters.
#[must_use]
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    if !is_subdomain(text) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        wrong.push(form(
            message,
            &format!("{LABEL}(\\.{LABEL})*"),
            &["example.com"],
        ));
    }
    wrong
}

/// A subdomain in which labels may hold underscores, as DNS search domains do.
#[must_use]
pub fn dns_search(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    let inner = |c: char| lower(c) || c == '-' || c == '_';
    let label = |text: &str| {
        let body = text.strip_prefix('_').unwrap_or(text);
        body.starts_with(lower) && body.ends_with(lower) && body.chars().all(inner)
    };
    if !text.split('.').all(label) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
        let part = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
        wrong.push(form(
            message,
            &format!("{part}(\\.{part})*"),
            &["example.com"],
        ));
    }
    wrong
}

/// A key of a label or annotation: an optional domain, a slash, a name of at most 63 characters.
#[must_use]
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                wrong.extend(
                    dns_subdomain(prefix)
                        .into_iter()
                        .map(|w| format!("prefix part {w}")),
                );
            }
            *name
        }
        _ => {
            let message = "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
            let regex = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
            let suffix =
                " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![form(message, regex, &["MyName", "my.name", "123-abc"]) + suffix];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        wrong.push(format!("name part {}", too_long(63)));
    }
    if !is_name(name) {
        let message = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        let regex = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
        wrong.push(form(message, regex, &["MyName", "my.name", "123-abc"]));
    }
    wrong
}

fn is_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(edge)
        && text.ends_with(edge)
        && text
            .chars()
            .all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
}

/// A value of a label: empty, or a name of at most 63 characters.
#[must_use]
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !text.is_empty() && !is_name(text) {
        let message = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        let regex = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
        wrong.push(form(message, regex, &["MyValue", "my_value", "12345"]));
    }
    wrong
}

/// A name of a port: at most 15 lower case letters, digits and single dashes, one letter at least.
#[must_use]
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut add = |right: bool, message: &str| {
        if !right {
            wrong.push(message.to_owned());
        }
    };
    add(text.len() <= 15, &too_long(15));
    let charset = !text.is_empty() && text.chars().all(|c| lower(c) || c == '-');
    add(
        charset,
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    let letter = text.chars().any(|c| c.is_ascii_lowercase());
    add(letter, "must contain at least one letter (a-z)");
    add(!text.contains("--"), "must not contain consecutive hyphens");
    let edges = !text.starts_with('-') && !text.ends_with('-');
    add(edges, "must not begin or end with a hyphen");
    wrong
}

/// A number of a port.
#[must_use]
pub fn port_number(port: i64) -> Vec<String> {
    match port {
        1..=65_535 => Vec::new(),
        _ => vec!["must be between 1 and 65535, inclusive".to_owned()],
    }
}

/// A name of an environment variable: printable ASCII without `=`.
#[must_use]
pub fn env_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.is_empty() {
        wrong.push("environment variable name must be non-empty".to_owned());
    }
    if !text.chars().all(|c| matches!(c, ' '..='~') && c != '=') {
        wrong.push("a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned());
    }
    wrong
}

/// A key of a ConfigMap or Secret.
#[must_use]
pub fn config_key(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || !text.chars().all(inner) {
        let message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        wrong.push(form(
            message,
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match text {
        "." => wrong.push("must not be '.'".to_owned()),
        ".." => wrong.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => wrong.push("must not start with '..'".to_owned()),
        _ => {}
    }
    wrong
}

/// A name of an HTTP header.
#[must_use]
pub fn http_header(text: &str) -> Vec<String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !text.is_empty() && text.chars().all(inner) {
        return Vec::new();
    }
    let message = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![form(message, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// An address, in the way addresses are written.
#[must_use]
pub fn ip_address(text: &str) -> Vec<String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Vec::new(),
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
    }
}

/// A name of a sysctl: parts joined by `.` or `/`, at most 253 characters.
#[must_use]
pub fn is_sysctl(text: &str) -> bool {
    let inner = |c: char| lower(c) || c == '-' || c == '_';
    let part =
        |text: &str| text.starts_with(lower) && text.ends_with(lower) && text.chars().all(inner);
    text.len() <= 253 && text.split(['.', '/']).all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(what: fn(&str) -> Vec<String>, right: &[&str], wrong: &[&str]) {
        for text in right {
            assert_eq!(what(text), Vec::<String>::new(), "{text:?}");
        }
        for text in wrong {
            assert_ne!(what(text), Vec::<String>::new(), "{text:?}");
        }
    }

    #[test]
    fn tells_right_names_from_wrong_ones() {
        let (long, longer) = ("a".repeat(64), "a".repeat(254));
        let (long, longer) = (long.as_str(), longer.as_str());
        check(
            dns_label,
            &["a", "a-b", "0"],
            &["", "-a", "a-", "A", "a.b", "a_b", long],
        );
        check(
            dns_subdomain,
            &["a", "a.b-c.d"],
            &["", ".a", "a..b", "A", "a_b", longer],
        );
        check(dns_search, &["_tcp.a_b", "a"], &["", "a_", "A"]);
        check(
            qualified_name,
            &["a", "A_b.c", "x.io/Y"],
            &["", "/a", "a/", "a/b/c", "-a", "X.io/a", long],
        );
        check(label_value, &["", "A-b_c.d"], &["-a", "a b", long]);
        check(
            port_name,
            &["http", "a1", "1-a"],
            &["", "1", "A", "a--b", "-a", "aaaaaaaaaaaaaaaa"],
        );
        check(
            env_name,
            &["A", "a.b", "1", "a b"],
            &["", "a=b", "\u{e9}", "a\n"],
        );
        check(
            config_key,
            &["a", ".a", "A_1"],
            &["", ".", "..", "..a", "a/b"],
        );
        check(http_header, &["X-A"], &["", "a b"]);
        check(
            ip_address,
            &["10.0.0.1", "::1"],
            &["", "10.0.0", "10.0.0.01", "a"],
        );
        assert!(is_sysctl("net.ipv4.ip_local_port_range") && is_sysctl("net/ipv4/conf/eth0-1/x"));
        assert!(!is_sysctl("") && !is_sysctl("a..b") && !is_sysctl("A") && !is_sysctl("a-"));
    }

    #[test]
    fn says_what_upstream_says() {
        let expected = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
        assert_eq!(dns_label("A"), [expected]);
    }
}
