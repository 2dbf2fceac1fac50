//! What a streaming request asks for in its query. Pure.

use crate::serve::query::Query;

/// The streams that an exec or attach wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

/// A query that makes no sense. The texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OptionsError {
    #[error("you must specify at least 1 of stdin, stdout, stderr")]
    NoStream,
    #[error("query parameter \"port\" is required")]
    NoPort,
    #[error("unable to parse {0:?} as a port")]
    InvalidPort(String),
}

impl Streams {
    /// Reads `input`, `output`, `error` and `tty`, which the apiserver sends, and the names that its
    /// own API has for the same. A terminal has one output, so `error` is dropped with it.
    pub(super) fn parse(query: &Query) -> Result<Self, OptionsError> {
        let tty = is_set(query, &["tty"]);
        let streams = Self {
            stdin: is_set(query, &["input", "stdin"]),
            stdout: is_set(query, &["output", "stdout"]),
            stderr: is_set(query, &["error", "stderr"]) && !tty,
            tty,
        };
        if streams.stdin || streams.stdout || streams.stderr {
            Ok(streams)
        } else {
            Err(OptionsError::NoStream)
        }
    }
}

fn is_set(query: &Query, names: &[&str]) -> bool {
    let mut values = names.iter().filter_map(|name| query.first(name));
    values.any(|value| value == "1" || value == "true")
}

/// The ports of a legacy port forward over WebSocket, where the query names them.
pub(super) fn ports(query: &Query) -> Result<Vec<u16>, OptionsError> {
    let ports: Vec<u16> = query
        .all("port")
        .flat_map(|value| value.split(','))
        .map(|text| match text.parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(OptionsError::InvalidPort(text.to_owned())),
        })
        .collect::<Result<_, _>>()?;
    if ports.is_empty() {
        return Err(OptionsError::NoPort);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams() {
        let all = Streams {
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
        };
        let none = "you must specify at least 1 of stdin, stdout, stderr";
        for (query, expected) in [
            ("input=1&output=1&error=1", Ok(all)),
            ("stdin=true&stdout=true&stderr=true&tty=false", Ok(all)),
            (
                "input=1&output=1&error=1&tty=1",
                Ok(Streams {
                    stderr: false,
                    tty: true,
                    ..all
                }),
            ),
            ("error=1&tty=1", Err(none)),
            ("command=ls", Err(none)),
            ("output=0", Err(none)),
        ] {
            let parsed = Streams::parse(&Query::parse(query));
            assert_eq!(
                parsed.map_err(|error| error.to_string()),
                expected.map_err(str::to_owned),
                "{query}"
            );
        }
    }

    #[test]
    fn port_lists() {
        for (query, expected) in [
            ("port=80&port=81,82", Ok(vec![80, 81, 82])),
            ("", Err("query parameter \"port\" is required")),
            ("port=0", Err("unable to parse \"0\" as a port")),
            ("port=80,x", Err("unable to parse \"x\" as a port")),
            ("port=65536", Err("unable to parse \"65536\" as a port")),
        ] {
            let parsed = ports(&Query::parse(query));
            assert_eq!(
                parsed.map_err(|error| error.to_string()),
                expected.map_err(str::to_owned),
                "{query}"
            );
        }
    }
}
