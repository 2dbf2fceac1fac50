//! D-Bus messages, as far as three calls to systemd need them: little-endian method calls are
//! made, replies, errors and signals are read. Pure: values in, bytes out, and back. Input is
//! bounded and never trusted.

/// Header bytes before the header fields' array.
pub const FIXED: usize = 16;
/// No message of systemd comes near this.
const MAX_LENGTH: usize = 1 << 20;

/// An argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `t`
    U64(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `a(sv)`: names and values of unit properties.
    Properties(Vec<(&'static str, Value)>),
    /// `a(sa(sv))`, always empty.
    NoAuxiliaryUnits,
}

impl Value {
    /// A string.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::U64(_) => "t",
            Self::Text(_) => "s",
            Self::Texts(_) => "as",
            Self::Properties(_) => "a(sv)",
            Self::NoAuxiliaryUnits => "a(sa(sv))",
        }
    }
}

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// Bus name; `None` on a connection without a bus.
    pub destination: Option<&'a str>,
    /// Object path.
    pub path: &'a str,
    /// Interface.
    pub interface: &'a str,
}

/// A method call as it goes over the wire.
#[must_use]
pub fn call(serial: u32, to: Address<'_>, member: &str, arguments: &[Value]) -> Vec<u8> {
    let mut body = Writer::default();
    arguments.iter().for_each(|argument| body.value(argument));
    let signature: String = arguments.iter().map(Value::signature).collect();
    let mut out = Writer(vec![b'l', 1, 0, 1]);
    out.u32(length(&body.0));
    out.u32(serial);
    out.array(8, |fields| {
        fields.field(1, "o", to.path);
        fields.field(2, "s", to.interface);
        fields.field(3, "s", member);
        if let Some(destination) = to.destination {
            fields.field(6, "s", destination);
        }
        if !signature.is_empty() {
            fields.align(8);
            fields.0.push(8);
            fields.signature("g");
            fields.signature(&signature);
        }
    });
    out.align(8);
    out.0.extend(body.0);
    out.0
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Bytes with D-Bus alignment, counted from the first byte.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u32(length(text.as_bytes()));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, signature: &str) {
        self.0
            .push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
        self.0.extend(signature.as_bytes());
        self.0.push(0);
    }

    fn field(&mut self, code: u8, signature: &str, value: &str) {
        self.align(8);
        self.0.push(code);
        self.signature(signature);
        self.text(value);
    }

    /// An array whose elements are aligned to `to`; the length leaves out the padding before
    /// the first one.
    fn array(&mut self, to: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let at = self.0.len() - 4;
        self.align(to);
        let start = self.0.len();
        elements(self);
        let length = length(&self.0[start..]).to_le_bytes();
        self.0[at..at + 4].copy_from_slice(&length);
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.u32(u32::from(*value)),
            Value::U64(value) => {
                self.align(8);
                self.0.extend(value.to_le_bytes());
            }
            Value::Text(text) => self.text(text),
            Value::Texts(texts) => self.array(4, |out| texts.iter().for_each(|t| out.text(t))),
            Value::Properties(properties) => self.array(8, |out| {
                for (name, value) in properties {
                    out.align(8);
                    out.text(name);
                    out.signature(value.signature());
                    out.value(value);
                }
            }),
            Value::NoAuxiliaryUnits => self.array(8, |_| {}),
        }
    }
}

/// What kind of message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The answer to a call.
    Reply,
    /// The refusal of a call.
    Error,
    /// A signal.
    Signal,
    /// Anything else.
    Other,
}

/// A message as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Its kind.
    pub kind: Kind,
    /// Serial of the call that is answered.
    pub reply_to: Option<u32>,
    /// Name of the error.
    pub error: Option<String>,
    /// Name of the signal.
    pub member: Option<String>,
    /// Leading arguments that are strings or object paths; numbers before them are skipped.
    pub texts: Vec<String>,
}

/// How many bytes follow the fixed part of a message; `None` when it is none of D-Bus.
#[must_use]
pub fn rest_length(fixed: &[u8; FIXED]) -> Option<usize> {
    if fixed[0] != b'l' || fixed[3] != 1 {
        return None;
    }
    let body = number(fixed, 4)?;
    let fields = number(fixed, 12)?.checked_next_multiple_of(8)?;
    body.checked_add(fields).filter(|all| *all <= MAX_LENGTH)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(four.try_into().ok()?)).ok()
}

/// Reads a whole message; `None` when it is malformed.
#[must_use]
pub fn parse(message: &[u8]) -> Option<Incoming> {
    let fields_end = FIXED.checked_add(number(message, 12)?)?;
    let mut reader = Reader {
        bytes: message.get(..fields_end)?,
        at: FIXED,
    };
    let mut incoming = Incoming {
        kind: match message.get(1)? {
            2 => Kind::Reply,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => Kind::Other,
        },
        reply_to: None,
        error: None,
        member: None,
        texts: Vec::new(),
    };
    let mut signature = String::new();
    while reader.at < fields_end {
        reader.align(8);
        let code = reader.byte()?;
        match (code, reader.signature()?.as_str()) {
            (5, "u") => incoming.reply_to = Some(reader.u32()?),
            (4, "s") => incoming.error = Some(reader.text()?),
            (3, "s") => incoming.member = Some(reader.text()?),
            (8, "g") => signature = reader.signature()?,
            (_, "s" | "o") => drop(reader.text()?),
            (_, "g") => drop(reader.signature()?),
            (_, "u") => drop(reader.u32()?),
            _ => return None,
        }
    }
    let body = message.get(fields_end.checked_next_multiple_of(8)?..)?;
    incoming.texts = texts(&signature, body)?;
    Some(incoming)
}

/// The strings of a body, up to the first argument that is neither string nor `u`.
fn texts(signature: &str, body: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader { bytes: body, at: 0 };
    let mut texts = Vec::new();
    for kind in signature.chars() {
        match kind {
            's' | 'o' => texts.push(reader.text()?),
            'u' => drop(reader.u32()?),
            _ => break,
        }
    }
    Some(texts)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.string(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        self.string(length)
    }

    /// A string of `length` bytes and its closing NUL.
    fn string(&mut self, length: usize) -> Option<String> {
        let text = std::str::from_utf8(self.take(length)?).ok()?.to_owned();
        (self.byte()? == 0).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TO: Address<'_> = Address {
        destination: Some("org.freedesktop.DBus"),
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
    };

    #[test]
    fn a_call_without_arguments_is_byte_exact() {
        let got = call(1, TO, "Hello", &[]);
        let want: &[&[u8]] = &[
            b"l\x01\0\x01\0\0\0\0\x01\0\0\0\x6d\0\0\0",
            b"\x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0",
            b"\x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0",
            b"\x03\x01s\0\x05\0\0\0Hello\0\0\0",
            b"\x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0",
        ];
        assert_eq!(got, want.concat());
    }

    #[test]
    fn arguments_are_aligned() {
        let arguments = [
            Value::text("a"),
            Value::Properties(vec![("P", Value::U64(7)), ("Q", Value::Bool(true))]),
            Value::NoAuxiliaryUnits,
        ];
        let got = call(2, TO, "M", &arguments);
        let body: &[&[u8]] = &[
            b"\x01\0\0\0a\0\0\0",
            b"\x29\0\0\0\0\0\0\0"[..4].into(),
            b"\0\0\0\0",
            b"\x01\0\0\0P\0\x01t\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0",
            b"\x01\0\0\0Q\0\x01b\0\0\0\0\x01\0\0\0",
            b"\0\0\0\0\0\0\0\0",
        ];
        let body = body.concat();
        // The array of properties ends where its last value ends.
        let length = u8::try_from(24 + 16).unwrap();
        assert_eq!(got[got.len() - body.len() + 8], length);
        assert_eq!(got[got.len() - body.len()..][..8], body[..8]);
        assert_eq!(got[got.len() - body.len() + 16..], body[16..]);
    }

    #[test]
    fn what_is_written_is_read() {
        let sent = call(
            3,
            TO,
            "JobRemoved",
            &[Value::text("/job/1"), Value::text("done")],
        );
        let fixed: &[u8; FIXED] = sent[..FIXED].try_into().unwrap();
        assert_eq!(rest_length(fixed), Some(sent.len() - FIXED));
        let got = parse(&sent).unwrap();
        assert_eq!(got.kind, Kind::Other);
        assert_eq!(got.member.as_deref(), Some("JobRemoved"));
        assert_eq!(got.texts, ["/job/1", "done"]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused_not_followed(bytes in prop::collection::vec(any::<u8>(), 0..200),
                                                  cut in 0..200_usize) {
            let _ = parse(&bytes);
            let mut sent = call(3, TO, "M", &[Value::text("x")]);
            let length = sent.len();
            sent[cut % length] = bytes.first().copied().unwrap_or(0);
            let _ = parse(&sent);
            let _ = parse(&sent[..cut % length]);
        }
    }
}
