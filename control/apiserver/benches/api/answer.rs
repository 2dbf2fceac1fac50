//! Answers as far as the load has to understand them: codes, lengths and ends of lines. Pure.

/// The head of an answer.
pub struct Head {
    pub code: u16,
    pub framing: Framing,
    /// Its own length.
    pub size: usize,
}

impl Head {
    /// Reads a head, if all of it is there.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = std::str::from_utf8(&bytes[..end]).expect("a head");
        let code = text.split(' ').nth(1).and_then(|code| code.parse().ok());
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then_some(value)
        });
        let chunks = Framing::Chunks {
            left: 0,
            over: false,
        };
        let framing = length.map_or(chunks, |length| {
            Framing::Length(length.parse().expect("a length"))
        });
        Some(Self {
            code: code.expect("a code"),
            framing,
            size: end + 4,
        })
    }
}

/// Where a body ends.
pub enum Framing {
    /// After so many bytes more.
    Length(usize),
    /// After a chunk that is empty; `left` counts what is left of the current one with its end of line.
    Chunks { left: usize, over: bool },
}

impl Framing {
    pub fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks { over, .. } => *over,
        }
    }

    /// Takes what it can of the bytes: how many belong to the body, how many were used.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, usize) {
        match self {
            Self::Length(left) => {
                let count = bytes.len().min(*left);
                *left -= count;
                (count, count)
            }
            Self::Chunks { left, over } => chunk(left, over, bytes),
        }
    }
}

fn chunk(left: &mut usize, over: &mut bool, bytes: &[u8]) -> (usize, usize) {
    if *left > 0 {
        let used = bytes.len().min(*left);
        *left -= used;
        return (used, used);
    }
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
        return (0, 0);
    };
    let text = std::str::from_utf8(&bytes[..end]).expect("a chunk's size");
    let size = usize::from_str_radix(text, 16).expect("a chunk's size");
    if size > 0 {
        *left = size + 2;
        return (0, end + 2);
    }
    // The line after the last chunk.
    if bytes.len() < end + 4 {
        return (0, 0);
    }
    *over = true;
    (0, end + 4)
}

/// Counts ends of lines in a body of chunks.
#[derive(Default)]
pub struct Newlines {
    pub seen: usize,
    left: usize,
}

impl Newlines {
    /// Counts those of the bytes; how many were used.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let (mut used, mut over) = (0, false);
        loop {
            let inside = self.left > 2;
            let (_, step) = chunk(&mut self.left, &mut over, &bytes[used..]);
            assert!(!over, "the stream has ended");
            if step == 0 {
                return used;
            }
            if inside {
                let block = &bytes[used..used + step];
                // The two bytes after a chunk are an end of line that is not its own.
                let framing = 2_usize.saturating_sub(self.left);
                let block = &block[..block.len().saturating_sub(framing)];
                self.seen += count(block);
            }
            used += step;
        }
    }
}

/// How many ends of lines there are, eight bytes at a time.
fn count(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let (eights, rest) = bytes.as_chunks::<8>();
    let found = eights.iter().map(|eight| {
        let other = u64::from_le_bytes(*eight) ^ 0x0a0a_0a0a_0a0a_0a0a;
        let zeros = !(((other & LOW) + LOW) | other | LOW);
        zeros.count_ones() as usize
    });
    found.sum::<usize>() + rest.iter().filter(|byte| **byte == b'\n').count()
}
