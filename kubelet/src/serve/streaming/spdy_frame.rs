//! SPDY/3.1 frames to bytes and back, as a client of a runtime's streaming server needs them. Pure:
//! reads and writes no socket, and knows no stream's meaning.
//!
//! Header blocks are written as a zlib stream of stored blocks: every inflater takes that, with or
//! without SPDY's dictionary, and it needs no compressor. Header blocks that arrive are skipped: as
//! nothing reads them, the peer's compression state need not be kept either. Data frames may be
//! 16 MiB long; their payload is handed on piece by piece as it arrives, so no frame is ever held in
//! memory as a whole.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The protocol version in control frames.
const VERSION: u16 = 3;
const HEADER: usize = 8;
/// Control frames larger than this are refused; the largest we expect is a few hundred bytes.
const MAX_CONTROL: usize = 64 * 1024;
/// The largest payload of one data frame that is written.
pub(super) const MAX_DATA: usize = 32 * 1024;
const FLAG_FIN: u8 = 1;
const SETTINGS_INITIAL_WINDOW: u32 = 7;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// `RST_STREAM`: this endpoint does not take the stream.
pub(super) const REFUSED_STREAM: u32 = 3;

/// What the peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A piece of a stream's data; `fin` with the last one.
    Data { stream: u32, data: Bytes, fin: bool },
    /// The peer opens a stream; its headers, still compressed.
    SynStream { stream: u32, headers: Bytes },
    /// The peer took our stream.
    SynReply { stream: u32, fin: bool },
    /// The stream is over for both sides.
    Reset { stream: u32, status: u32 },
    /// New window for streams to come, if one is among the settings.
    Settings { initial_window: Option<u32> },
    /// To be echoed when its number is not ours.
    Ping(u32),
    /// No new streams; the connection ends when the present ones do.
    GoAway { status: u32 },
    /// More headers of a stream.
    Headers { stream: u32, fin: bool },
    /// More room for our data; stream 0 is the whole connection.
    WindowUpdate { stream: u32, delta: u32 },
}

/// Bytes that are not SPDY/3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// Another version of SPDY, or something else altogether.
    #[error("control frame of SPDY version {0}, not 3")]
    Version(u16),
    /// A frame that we would have to hold in memory.
    #[error("control frame of type {kind} has {length} bytes, more than {MAX_CONTROL}")]
    TooLong { kind: u16, length: usize },
    /// A frame whose length does not fit its type.
    #[error("control frame of type {kind} has {length} bytes, too few")]
    TooShort { kind: u16, length: usize },
    /// Data for stream 0.
    #[error("data frame for stream 0")]
    ZeroStream,
}

/// Splits what arrives into events.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    data: Option<DataFrame>,
}

/// A data frame whose payload is arriving.
#[derive(Clone, Copy, Debug)]
struct DataFrame {
    stream: u32,
    left: usize,
    fin: bool,
}

impl Decoder {
    /// Takes the next event off `buffer`; `None` when more bytes are needed.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        loop {
            if let Some(frame) = self.data {
                return Ok(self.data_event(frame, buffer));
            }
            let Some(head) = buffer.first_chunk::<HEADER>() else {
                return Ok(None);
            };
            let [a, b, c, d, flags, e, f, g] = *head;
            let length = u32::from_be_bytes([0, e, f, g]) as usize;
            if a & 0x80 == 0 {
                let stream = u32::from_be_bytes([a, b, c, d]);
                self.start_data(stream, length, flags)?;
                buffer.advance(HEADER);
                continue;
            }
            let version = u16::from_be_bytes([a & 0x7f, b]);
            let kind = u16::from_be_bytes([c, d]);
            check_control(version, kind, length)?;
            if buffer.len() < HEADER + length {
                return Ok(None);
            }
            buffer.advance(HEADER);
            let payload = buffer.split_to(length).freeze();
            if let Some(event) = control(kind, flags, payload)? {
                return Ok(Some(event));
            }
        }
    }

    /// True between frames: where a peer may close without cutting one.
    pub(super) fn is_between_frames(&self) -> bool {
        self.data.is_none()
    }

    fn start_data(&mut self, stream: u32, length: usize, flags: u8) -> Result<(), FrameError> {
        if stream == 0 {
            return Err(FrameError::ZeroStream);
        }
        self.data = Some(DataFrame {
            stream,
            left: length,
            fin: flags & FLAG_FIN != 0,
        });
        Ok(())
    }

    fn data_event(&mut self, frame: DataFrame, buffer: &mut BytesMut) -> Option<Event> {
        if buffer.is_empty() && frame.left > 0 {
            return None;
        }
        let data = buffer.split_to(frame.left.min(buffer.len())).freeze();
        let left = frame.left - data.len();
        self.data = (left > 0).then_some(DataFrame { left, ..frame });
        Some(Event::Data {
            stream: frame.stream,
            data,
            fin: frame.fin && left == 0,
        })
    }
}

fn check_control(version: u16, kind: u16, length: usize) -> Result<(), FrameError> {
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    if length > MAX_CONTROL {
        return Err(FrameError::TooLong { kind, length });
    }
    Ok(())
}

/// The event of a control frame; `None` for kinds that mean nothing to us.
fn control(kind: u16, flags: u8, mut payload: Bytes) -> Result<Option<Event>, FrameError> {
    let length = payload.len();
    let least = match kind {
        SYN_STREAM => 10,
        RST_STREAM | GOAWAY | WINDOW_UPDATE => 8,
        SYN_REPLY | HEADERS | SETTINGS | PING => 4,
        _ => return Ok(None),
    };
    if length < least {
        return Err(FrameError::TooShort { kind, length });
    }
    let fin = flags & FLAG_FIN != 0;
    let first = payload.get_u32();
    let stream = first & 0x7fff_ffff;
    Ok(Some(match kind {
        SYN_STREAM => Event::SynStream {
            stream,
            headers: payload.split_off(6),
        },
        SYN_REPLY => Event::SynReply { stream, fin },
        RST_STREAM => Event::Reset {
            stream,
            status: payload.get_u32(),
        },
        SETTINGS => Event::Settings {
            initial_window: initial_window(first, payload),
        },
        PING => Event::Ping(first),
        GOAWAY => Event::GoAway {
            status: payload.get_u32(),
        },
        HEADERS => Event::Headers { stream, fin },
        _ => Event::WindowUpdate {
            stream,
            delta: payload.get_u32() & 0x7fff_ffff,
        },
    }))
}

fn initial_window(count: u32, mut entries: Bytes) -> Option<u32> {
    let mut window = None;
    for _ in 0..count {
        if entries.len() < 8 {
            break;
        }
        let id = entries.get_u32() & 0x00ff_ffff;
        let value = entries.get_u32();
        if id == SETTINGS_INITIAL_WINDOW {
            window = Some(value & 0x7fff_ffff);
        }
    }
    window
}

/// Writes frames; keeps the state of the one compression stream that all header blocks share.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    zlib_started: bool,
}

impl Encoder {
    /// Opens a stream with these headers (names in lower case).
    pub(super) fn syn_stream(&mut self, stream: u32, headers: &[(&str, &str)], out: &mut BytesMut) {
        let block = self.compress(&header_block(headers));
        control_header(SYN_STREAM, 10 + block.len(), out);
        out.put_u32(stream);
        out.put_u32(0);
        out.put_u16(0);
        out.put_slice(&block);
    }

    /// One stored block (RFC 1951, 3.2.4) per 65,535 bytes, after the zlib header the first time. The
    /// empty block at the end is a flush: without one, Go's inflater keeps the bytes to itself and
    /// waits for more.
    fn compress(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut block = Vec::with_capacity(plain.len() + 12);
        if !self.zlib_started {
            self.zlib_started = true;
            block.extend([0x78, 0x01]);
        }
        let flush: &[u8] = &[];
        for piece in plain.chunks(usize::from(u16::MAX)).chain([flush]) {
            let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
            block.push(0);
            block.extend(length.to_le_bytes());
            block.extend((!length).to_le_bytes());
            block.extend_from_slice(piece);
        }
        block
    }
}

fn header_block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    block.put_u32(narrow(headers.len()));
    for (name, value) in headers {
        for text in [name, value] {
            block.put_u32(narrow(text.len()));
            block.put_slice(text.as_bytes());
        }
    }
    block
}

/// Writes the header of a data frame; `length` bytes have to follow, [`MAX_DATA`] at most.
pub(super) fn data_header(stream: u32, length: usize, fin: bool, out: &mut BytesMut) {
    out.put_u32(stream);
    out.put_u32(u32::from(fin) << 24 | narrow(length));
}

/// Writes `RST_STREAM`.
pub(super) fn reset(stream: u32, status: u32, out: &mut BytesMut) {
    control_header(RST_STREAM, 8, out);
    out.put_u32(stream);
    out.put_u32(status);
}

/// Writes `PING`.
pub(super) fn ping(id: u32, out: &mut BytesMut) {
    control_header(PING, 4, out);
    out.put_u32(id);
}

/// Writes `WINDOW_UPDATE`.
pub(super) fn window_update(stream: u32, delta: u32, out: &mut BytesMut) {
    control_header(WINDOW_UPDATE, 8, out);
    out.put_u32(stream);
    out.put_u32(delta);
}

/// Writes `GOAWAY` without a complaint.
pub(super) fn go_away(out: &mut BytesMut) {
    control_header(GOAWAY, 8, out);
    out.put_u32(0);
    out.put_u32(0);
}

fn control_header(kind: u16, length: usize, out: &mut BytesMut) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(narrow(length));
}

/// Lengths here are far below 24 bits.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Frames that only a server writes, and the reading of header blocks.
#[cfg(test)]
pub(super) mod server {
    use super::*;

    pub(in super::super) fn syn_reply(stream: u32, out: &mut BytesMut) {
        control_header(SYN_REPLY, 4, out);
        out.put_u32(stream);
    }

    pub(in super::super) fn settings(initial_window: u32, out: &mut BytesMut) {
        control_header(SETTINGS, 12, out);
        out.put_u32(1);
        out.put_u32(SETTINGS_INITIAL_WINDOW);
        out.put_u32(initial_window);
    }

    /// Inflates the header blocks of one connection.
    pub(in super::super) struct Headers(flate2::Decompress);

    impl Headers {
        pub(in super::super) fn new() -> Self {
            Self(flate2::Decompress::new(true))
        }

        pub(in super::super) fn read(&mut self, block: &[u8]) -> Vec<(String, String)> {
            let mut plain = Vec::with_capacity(1 << 18);
            let before = self.0.total_in();
            self.0
                .decompress_vec(block, &mut plain, flate2::FlushDecompress::Sync)
                .unwrap();
            assert_eq!(self.0.total_in() - before, block.len() as u64);
            let mut plain = Bytes::from(plain);
            let count = plain.get_u32();
            let mut text = || {
                let length = plain.get_u32() as usize;
                String::from_utf8(plain.split_to(length).to_vec()).unwrap()
            };
            (0..count).map(|_| (text(), text())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Result<Vec<Event>, FrameError> {
        let mut decoder = Decoder::default();
        let mut buffer = BytesMut::from(bytes);
        let mut events = Vec::new();
        while let Some(event) = decoder.next(&mut buffer)? {
            events.push(event);
        }
        Ok(events)
    }

    #[test]
    fn control_frames() {
        for (bytes, expected) in [
            (
                &b"\x80\x03\0\x02\x01\0\0\x04\0\0\0\x05"[..],
                Event::SynReply {
                    stream: 5,
                    fin: true,
                },
            ),
            (
                b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x05\0\0\0\x03",
                Event::Reset {
                    stream: 5,
                    status: 3,
                },
            ),
            (
                b"\x80\x03\0\x04\0\0\0\x14\0\0\0\x02\0\0\0\x04\0\0\0\x64\x01\0\0\x07\0\x01\0\0",
                Event::Settings {
                    initial_window: Some(65536),
                },
            ),
            (b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x02", Event::Ping(2)),
            (
                b"\x80\x03\0\x07\0\0\0\x08\0\0\0\x09\0\0\0\x01",
                Event::GoAway { status: 1 },
            ),
            (
                b"\x80\x03\0\x08\x01\0\0\x06\0\0\0\x01\x78\x9c",
                Event::Headers {
                    stream: 1,
                    fin: true,
                },
            ),
            (
                b"\x80\x03\0\x09\0\0\0\x08\0\0\0\0\x80\0\0\x10",
                Event::WindowUpdate {
                    stream: 0,
                    delta: 16,
                },
            ),
        ] {
            assert_eq!(decode(bytes), Ok(vec![expected]), "{bytes:?}");
            assert_eq!(decode(&bytes[..bytes.len() - 1]), Ok(vec![]), "{bytes:?}");
        }
    }

    #[test]
    fn frames_of_no_interest_are_skipped() {
        let bytes = b"\x80\x03\0\x63\0\0\0\x01x\x80\x03\0\x06\0\0\0\x04\0\0\0\x02";
        assert_eq!(decode(bytes), Ok(vec![Event::Ping(2)]));
    }

    #[test]
    fn frames_that_are_refused() {
        for (bytes, expected) in [
            (
                &b"\x80\x02\0\x06\0\0\0\x04\0\0\0\x02"[..],
                FrameError::Version(2),
            ),
            (
                b"\x80\x03\0\x06\0\0\0\x03\0\0\0",
                FrameError::TooShort { kind: 6, length: 3 },
            ),
            (
                b"\x80\x03\0\x08\0\xff\xff\xff",
                FrameError::TooLong {
                    kind: 8,
                    length: 0x00ff_ffff,
                },
            ),
            (b"\0\0\0\0\0\0\0\x01x", FrameError::ZeroStream),
        ] {
            assert_eq!(decode(bytes), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn data_is_handed_on_as_it_arrives() {
        let mut decoder = Decoder::default();
        let mut buffer = BytesMut::from(&b"\0\0\0\x05\x01\0\0\x04ab"[..]);
        let data = |text: &'static str, fin| Event::Data {
            stream: 5,
            data: Bytes::from_static(text.as_bytes()),
            fin,
        };
        assert_eq!(decoder.next(&mut buffer), Ok(Some(data("ab", false))));
        assert_eq!(decoder.next(&mut buffer), Ok(None));
        assert!(!decoder.is_between_frames());
        buffer.extend_from_slice(b"cd\0\0\0\x05\0\0\0\0");
        assert_eq!(decoder.next(&mut buffer), Ok(Some(data("cd", true))));
        assert_eq!(decoder.next(&mut buffer), Ok(Some(data("", false))));
        assert_eq!(decoder.next(&mut buffer), Ok(None));
        assert!(decoder.is_between_frames());
    }

    #[test]
    fn header_blocks_inflate_as_one_stream() {
        let mut encoder = Encoder::default();
        let mut headers = server::Headers::new();
        let long = "x".repeat(70_000);
        for (stream, value) in [(1, "error"), (3, "stdin"), (5, &long), (7, "")] {
            let mut out = BytesMut::new();
            encoder.syn_stream(stream, &[("streamtype", value), ("a", "b")], &mut out);
            let block = out.split_off(HEADER + 10);
            assert_eq!(out[..4], *b"\x80\x03\0\x01");
            assert!(block.ends_with(b"\0\0\0\xff\xff"), "a flush");
            let expected = [("streamtype", value), ("a", "b")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(headers.read(&block), expected);
        }
    }

    #[test]
    fn what_we_write_we_can_read() {
        let mut out = BytesMut::new();
        Encoder::default().syn_stream(1, &[], &mut out);
        reset(3, REFUSED_STREAM, &mut out);
        ping(9, &mut out);
        window_update(5, 77, &mut out);
        go_away(&mut out);
        data_header(7, 2, true, &mut out);
        out.extend_from_slice(b"hi");
        let events = decode(&out).unwrap();
        assert!(matches!(events[0], Event::SynStream { stream: 1, .. }));
        let expected = [
            Event::Reset {
                stream: 3,
                status: REFUSED_STREAM,
            },
            Event::Ping(9),
            Event::WindowUpdate {
                stream: 5,
                delta: 77,
            },
            Event::GoAway { status: 0 },
            Event::Data {
                stream: 7,
                data: Bytes::from_static(b"hi"),
                fin: true,
            },
        ];
        assert_eq!(events[1..], expected);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn almost_frames_never_panic(
            kind in 0u16..12,
            flags: u8,
            payload in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = BytesMut::new();
            control_header(kind, payload.len(), &mut bytes);
            bytes[4] = flags;
            bytes.extend_from_slice(&payload);
            let _ = decode(&bytes);
        }

        #[test]
        fn pieces_do_not_matter(
            cuts in proptest::collection::vec(1usize..20, 1..40),
            data in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut whole = BytesMut::new();
            ping(2, &mut whole);
            data_header(1, data.len(), true, &mut whole);
            whole.extend_from_slice(&data);
            window_update(1, 5, &mut whole);
            let mut decoder = Decoder::default();
            let mut buffer = BytesMut::new();
            let (mut read, mut others, mut fins) = (Vec::new(), 0, 0);
            let mut cuts = cuts.into_iter().cycle();
            while !whole.is_empty() {
                let cut = cuts.next().unwrap_or(1).min(whole.len());
                buffer.unsplit(whole.split_to(cut));
                while let Some(event) = decoder.next(&mut buffer).unwrap() {
                    match event {
                        Event::Data { data, fin, .. } => {
                            read.extend_from_slice(&data);
                            fins += usize::from(fin);
                        }
                        _ => others += 1,
                    }
                }
            }
            prop_assert_eq!(read, data);
            prop_assert_eq!((others, fins), (2, 1));
        }
    }
}
