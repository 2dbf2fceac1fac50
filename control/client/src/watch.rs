//! A watch as it arrives: lines of JSON become events. Must not know what is done with them.

use bytes::{Buf as _, BytesMut};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{Error, Status};
use crate::transport::body::Body;

/// The longest line: etcd's limit on an object with room for the encoding.
const LINE_LIMIT: usize = 16 << 20;

/// Something happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent<T> {
    /// It is there, new or changed.
    Applied(T),
    /// It is gone; this was its last state.
    Deleted(T),
    /// Everything up to this version was sent.
    Bookmark {
        /// The version.
        resource_version: String,
        /// Whether with it the initial objects are complete.
        initial_end: bool,
    },
    /// The server ends the watch with an error, such as 410 for a version too old.
    Failed(Status),
}

/// An open watch.
#[derive(Debug)]
pub struct WatchStream {
    label: String,
    body: Body,
    lines: Lines,
}

impl WatchStream {
    pub(crate) fn new(label: String, body: Body) -> Self {
        Self {
            label,
            body,
            lines: Lines::default(),
        }
    }

    /// The next event; `None` when the server ended the watch. May be dropped while it waits:
    /// nothing is lost.
    ///
    /// # Errors
    /// The connection broke, or what came is no event.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<WatchEvent<T>>, Error> {
        loop {
            if let Some(line) = self.lines.take() {
                return decode(&line).map(Some).map_err(|source| Error::Decode {
                    request: self.label.clone(),
                    source,
                });
            }
            let chunk = self.body.chunk().await.map_err(|source| Error::Broken {
                request: self.label.clone(),
                source,
            })?;
            let Some(chunk) = chunk else {
                return Ok(None);
            };
            if !self.lines.add(&chunk) {
                return Err(Error::TooLarge {
                    request: self.label.clone(),
                    limit: LINE_LIMIT,
                });
            }
        }
    }
}

/// Bytes on their way to become lines.
#[derive(Debug, Default)]
struct Lines {
    buffer: BytesMut,
    /// So much of the buffer has no line end in it.
    seen: usize,
}

impl Lines {
    fn add(&mut self, chunk: &[u8]) -> bool {
        self.buffer.extend_from_slice(chunk);
        self.buffer.len() <= LINE_LIMIT
    }

    fn take(&mut self) -> Option<BytesMut> {
        loop {
            let end = self.buffer[self.seen..].iter().position(|b| *b == b'\n');
            let Some(end) = end else {
                self.seen = self.buffer.len();
                if self.buffer.is_empty() && self.buffer.capacity() > 0 {
                    // An idle watch holds no memory.
                    self.buffer = BytesMut::new();
                }
                return None;
            };
            let line = self.buffer.split_to(self.seen + end);
            self.buffer.advance(1);
            self.seen = 0;
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }
}

/// Reads one line. The kind of event decides as what the object is read.
fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<WatchEvent<T>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Typed<T> {
        object: T,
    }
    #[derive(Deserialize)]
    struct Peek<'a> {
        #[serde(rename = "type", borrow)]
        kind: std::borrow::Cow<'a, str>,
        #[serde(rename = "object")]
        _object: IgnoredAny,
    }
    let peek: Peek<'_> = serde_json::from_slice(line)?;
    let object = |line| serde_json::from_slice::<Typed<T>>(line).map(|typed| typed.object);
    match peek.kind.as_ref() {
        "ADDED" | "MODIFIED" => object(line).map(WatchEvent::Applied),
        "DELETED" => object(line).map(WatchEvent::Deleted),
        "BOOKMARK" => {
            let mark: Typed<Marked> = serde_json::from_slice(line)?;
            Ok(mark.object.into_event())
        }
        "ERROR" => {
            let typed: Typed<serde_json::Value> = serde_json::from_slice(line)?;
            let body = typed.object.to_string();
            Ok(WatchEvent::Failed(Status::read(500, body.as_bytes(), None)))
        }
        other => Err(serde::de::Error::custom(format!(
            "watch event of unknown type {other:?}"
        ))),
    }
}

#[derive(Deserialize)]
struct Marked {
    metadata: MarkedMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MarkedMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl Marked {
    fn into_event<T>(self) -> WatchEvent<T> {
        let annotations = self.metadata.annotations.unwrap_or_default();
        let initial_end = annotations.get("k8s.io/initial-events-end");
        WatchEvent::Bookmark {
            resource_version: self.metadata.resource_version,
            initial_end: initial_end.is_some_and(|value| value == "true"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, WatchEvent, decode};
    use serde_json::{Value, json};

    #[test]
    fn lines_are_found_wherever_chunks_end() {
        let text = b"{\"a\":1}\n\n{\"b\":2}\r\n{\"c\"";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for chunk in text.chunks(size) {
                assert!(lines.add(chunk));
                while let Some(line) = lines.take() {
                    found.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            assert_eq!(found, ["{\"a\":1}", "{\"b\":2}\r"], "chunks of {size}");
        }
    }

    #[test]
    fn events() {
        let check = |line: &str, expected: WatchEvent<Value>| {
            assert_eq!(decode::<Value>(line.as_bytes()).unwrap(), expected);
        };
        check(
            r#"{"type":"ADDED","object":{"x":1}}"#,
            WatchEvent::Applied(json!({"x":1})),
        );
        check(
            r#"{"object":{"x":1},"type":"DELETED"}"#,
            WatchEvent::Deleted(json!({"x":1})),
        );
        check(
            r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
            WatchEvent::Bookmark {
                resource_version: "7".into(),
                initial_end: true,
            },
        );
        let line = br#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#;
        let WatchEvent::<Value>::Failed(status) = decode(line).unwrap() else {
            panic!("an error");
        };
        assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
        assert!(decode::<Value>(br#"{"type":"NEW","object":{}}"#).is_err());
    }
}
