//! SPDY's bookkeeping between the two directions of one connection: windows, and the control frames
//! that reading makes necessary to write. Pure.
//!
//! The streaming servers of today's runtimes neither send nor heed `WINDOW_UPDATE`: TCP alone pushes
//! back. So our own data is held to the windows only once the peer has shown that it keeps them
//! (by `SETTINGS` or `WINDOW_UPDATE`), else it would wait forever after 64 KiB; and the peer is
//! given room for what was passed on, which others ignore and a stricter one needs.

use std::collections::BTreeMap;

use bytes::BytesMut;

use super::spdy_frame as frame;

/// What every stream and the connection may carry before the first `WINDOW_UPDATE`.
const INITIAL_WINDOW: i64 = 64 * 1024;
/// Room is given back in steps of this size.
const UPDATE_STEP: u32 = 32 * 1024;
/// More unanswered pings than this are not answered.
const MAX_PINGS: usize = 16;

/// The windows of one connection; stream 0 is the connection itself.
#[derive(Debug)]
pub(super) struct Flow {
    peer_keeps_windows: bool,
    initial: i64,
    connection: i64,
    streams: BTreeMap<u32, Stream>,
    /// Bytes passed on and not yet given back, by stream.
    consumed: BTreeMap<u32, u32>,
    pings: Vec<u32>,
    resets: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    window: i64,
    accepted: bool,
}

impl Flow {
    /// For streams that are about to be opened.
    pub(super) fn new(streams: impl IntoIterator<Item = u32>) -> Self {
        let stream = Stream {
            window: INITIAL_WINDOW,
            accepted: false,
        };
        Self {
            peer_keeps_windows: false,
            initial: INITIAL_WINDOW,
            connection: INITIAL_WINDOW,
            streams: streams.into_iter().map(|id| (id, stream)).collect(),
            consumed: BTreeMap::new(),
            pings: Vec::new(),
            resets: Vec::new(),
        }
    }

    /// The peer took the stream: data may be sent.
    pub(super) fn accepted(&mut self, stream: u32) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.accepted = true;
        }
    }

    /// The stream is over: nothing more is sent on it.
    pub(super) fn closed(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    /// The peer's window for each stream, now and later.
    pub(super) fn settings(&mut self, initial_window: Option<u32>) {
        self.peer_keeps_windows = true;
        let Some(window) = initial_window.map(i64::from) else {
            return;
        };
        for stream in self.streams.values_mut() {
            stream.window += window - self.initial;
        }
        self.initial = window;
    }

    /// More room for our data.
    pub(super) fn window_update(&mut self, stream: u32, delta: u32) {
        self.peer_keeps_windows = true;
        if stream == 0 {
            self.connection += i64::from(delta);
        } else if let Some(stream) = self.streams.get_mut(&stream) {
            stream.window += i64::from(delta);
        }
    }

    /// A ping to echo; even numbers are the server's own.
    pub(super) fn ping(&mut self, id: u32) {
        if id.is_multiple_of(2) && self.pings.len() < MAX_PINGS {
            self.pings.push(id);
        }
    }

    /// A stream that the peer opened, which nobody here wants.
    pub(super) fn refuse(&mut self, stream: u32) {
        if self.resets.len() < MAX_PINGS {
            self.resets.push((stream, frame::REFUSED_STREAM));
        }
    }

    /// Data of a stream was passed on to whom it is for.
    pub(super) fn consumed(&mut self, stream: u32, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        for id in [0, stream] {
            let sum = self.consumed.entry(id).or_default();
            *sum = sum.saturating_add(length);
        }
    }

    /// How much of `wanted` bytes may be sent on a stream now, which then counts as sent. `None`: the
    /// stream is over.
    pub(super) fn reserve(&mut self, stream: u32, wanted: usize) -> Option<usize> {
        let stream = self.streams.get_mut(&stream)?;
        if !stream.accepted {
            return Some(0);
        }
        let wanted = wanted.min(frame::MAX_DATA);
        if !self.peer_keeps_windows {
            let sent = i64::try_from(wanted).unwrap_or(0);
            stream.window -= sent;
            self.connection -= sent;
            return Some(wanted);
        }
        let room = stream.window.min(self.connection).max(0);
        let granted = usize::try_from(room).unwrap_or(usize::MAX).min(wanted);
        let sent = i64::try_from(granted).unwrap_or(0);
        stream.window -= sent;
        self.connection -= sent;
        Some(granted)
    }

    /// Moves the control frames that are due to `out`.
    pub(super) fn take_control(&mut self, out: &mut BytesMut) {
        for id in self.pings.drain(..) {
            frame::ping(id, out);
        }
        for (stream, status) in self.resets.drain(..) {
            frame::reset(stream, status, out);
        }
        self.consumed.retain(|&stream, sum| {
            let due = *sum >= UPDATE_STEP;
            if due {
                frame::window_update(stream, *sum, out);
            }
            !due
        });
    }

    /// Whether [`Self::take_control`] has something to give.
    pub(super) fn has_control(&self) -> bool {
        let due = |sum: &u32| *sum >= UPDATE_STEP;
        !self.pings.is_empty() || !self.resets.is_empty() || self.consumed.values().any(due)
    }
}

#[cfg(test)]
mod tests {
    use super::super::spdy_frame::{Decoder, Event};
    use super::*;

    fn open(streams: &[u32]) -> Flow {
        let mut flow = Flow::new(streams.iter().copied());
        for stream in streams {
            flow.accepted(*stream);
        }
        flow
    }

    fn control(flow: &mut Flow) -> Vec<Event> {
        let mut out = BytesMut::new();
        assert_eq!(flow.has_control(), {
            flow.take_control(&mut out);
            !out.is_empty()
        });
        let mut decoder = Decoder::default();
        std::iter::from_fn(|| decoder.next(&mut out).unwrap()).collect()
    }

    #[test]
    fn a_peer_without_windows_is_never_waited_for() {
        let mut flow = open(&[3]);
        for _ in 0..100 {
            assert_eq!(flow.reserve(3, 100_000), Some(frame::MAX_DATA));
        }
    }

    #[test]
    fn nothing_is_sent_before_the_stream_is_accepted_or_after_it_is_closed() {
        let mut flow = Flow::new([3]);
        assert_eq!(flow.reserve(3, 5), Some(0));
        flow.accepted(3);
        assert_eq!(flow.reserve(3, 5), Some(5));
        flow.closed(3);
        assert_eq!(flow.reserve(3, 5), None);
    }

    #[test]
    fn a_peer_with_windows_is_held_to_them() {
        let mut flow = open(&[3, 5]);
        flow.settings(Some(10));
        assert_eq!(flow.reserve(3, 100), Some(10));
        assert_eq!(flow.reserve(3, 100), Some(0));
        flow.window_update(3, 7);
        assert_eq!(flow.reserve(3, 5), Some(5));
        assert_eq!(flow.reserve(3, 5), Some(2));
        flow.settings(Some(0));
        assert_eq!(flow.reserve(5, 5), Some(0));
        flow.window_update(5, u32::MAX >> 1);
        let mut sent = 0;
        while let Some(granted @ 1..) = flow.reserve(5, 1 << 20) {
            sent += granted;
        }
        assert_eq!(sent, 64 * 1024 - 17, "the connection's window");
    }

    #[test]
    fn what_was_sent_before_the_peer_showed_its_windows_counts() {
        let mut flow = open(&[3]);
        assert_eq!(flow.reserve(3, 30_000), Some(30_000));
        flow.window_update(3, 1_000);
        assert_eq!(flow.reserve(3, 32_000), Some(32_000));
        assert_eq!(flow.reserve(3, 32_000), Some(64 * 1024 - 62_000));
    }

    #[test]
    fn room_is_given_back_in_steps() {
        let mut flow = open(&[5]);
        flow.consumed(5, 20_000);
        assert_eq!(control(&mut flow), []);
        flow.consumed(5, 20_000);
        let update = |stream| Event::WindowUpdate {
            stream,
            delta: 40_000,
        };
        assert_eq!(control(&mut flow), [update(0), update(5)]);
        assert_eq!(control(&mut flow), []);
    }

    #[test]
    fn pings_are_echoed_and_unwanted_streams_refused() {
        let mut flow = open(&[]);
        flow.ping(2);
        flow.ping(3);
        flow.refuse(4);
        let reset = Event::Reset {
            stream: 4,
            status: frame::REFUSED_STREAM,
        };
        assert_eq!(control(&mut flow), [Event::Ping(2), reset]);
        (0..100).for_each(|id| flow.ping(id * 2));
        assert_eq!(control(&mut flow).len(), MAX_PINGS);
    }
}
