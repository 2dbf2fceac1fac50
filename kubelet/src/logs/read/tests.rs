//! Followers and readers over real files.

use std::convert::Infallible;
use std::fs::OpenOptions;
use std::io::Write as _;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

type Chunk = Result<Bytes, Infallible>;

struct Log {
    directory: TempDir,
    file: File,
}

impl Log {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(directory.path().join("0.log")).unwrap();
        Self { directory, file }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("0.log")
    }

    fn write(&mut self, text: &str) {
        write_line(&mut self.file, text);
    }

    /// Renames the log; the old file stays open, as the runtime's does.
    fn rename(&self, stamp: &str) {
        let rotated = self.directory.path().join(format!("0.log.{stamp}"));
        std::fs::rename(self.path(), rotated).unwrap();
    }

    fn create(&self) -> File {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        options.open(self.path()).unwrap()
    }
}

fn write_line(file: &mut File, text: &str) {
    let line = format!("2026-01-01T00:00:00.000000001Z stdout F {text}\n");
    file.write_all(line.as_bytes()).unwrap();
}

struct Follower {
    running: watch::Sender<bool>,
    chunks: mpsc::Receiver<Chunk>,
    task: JoinHandle<Result<(), ReadError>>,
    seen: String,
}

impl Follower {
    fn start(path: &Path, options: &LogOptions) -> Self {
        let (running, state) = watch::channel(true);
        let (sender, chunks) = mpsc::channel(1);
        let reader = LogReader::open(path, options).unwrap();
        let task = tokio::spawn(async move { reader.run(state, &sender).await });
        Self {
            running,
            chunks,
            task,
            seen: String::new(),
        }
    }

    async fn until(&mut self, text: &str) {
        while !self.seen.ends_with(text) {
            let chunk = self.chunks.recv().await.expect("stream ended");
            self.seen
                .push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    /// Says that the container has stopped and reads what is left.
    async fn finish(mut self) -> String {
        self.running.send_replace(false);
        while let Some(Ok(chunk)) = self.chunks.recv().await {
            self.seen.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        self.task.await.unwrap().unwrap();
        self.seen
    }
}

fn follow() -> LogOptions {
    LogOptions {
        follow: true,
        ..LogOptions::default()
    }
}

async fn read(path: &Path, options: &LogOptions) -> Result<String, ReadError> {
    let reader = LogReader::open(path, options)?;
    let (sender, mut chunks) = mpsc::channel::<Chunk>(64);
    let (_running, state) = watch::channel(true);
    reader.run(state, &sender).await?;
    drop(sender);
    let mut seen = String::new();
    while let Some(Ok(chunk)) = chunks.recv().await {
        seen.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    Ok(seen)
}

#[tokio::test]
async fn tail_and_limit() {
    let mut log = Log::new();
    for text in ["one", "two", "three"] {
        log.write(text);
    }
    log.file
        .write_all(b"2026-01-01T00:00:01Z stdout F cut off")
        .unwrap();
    for (tail, limit, expected) in [
        (None, None, "one\ntwo\nthree\ncut off"),
        (Some(1), None, "three\n"),
        (Some(2), None, "two\nthree\n"),
        (Some(0), None, ""),
        (Some(9), None, "one\ntwo\nthree\ncut off"),
        (None, Some(5), "one\nt"),
        (Some(2), Some(4), "two\n"),
    ] {
        let options = LogOptions {
            tail_lines: tail,
            limit_bytes: limit,
            ..LogOptions::default()
        };
        let seen = read(&log.path(), &options).await.unwrap();
        assert_eq!(seen, expected, "{tail:?} {limit:?}");
    }
}

#[tokio::test]
async fn lines_across_chunks_are_whole() {
    let mut log = Log::new();
    let lines: Vec<String> = (0..40)
        .map(|n| format!("{n}-{}", "x".repeat(3000)))
        .collect();
    for line in &lines {
        log.write(line);
    }
    let seen = read(&log.path(), &LogOptions::default()).await.unwrap();
    assert_eq!(seen, lines.join("\n") + "\n");
}

#[tokio::test]
async fn what_is_no_log_is_refused_and_a_bad_line_is_left_out() {
    let mut log = Log::new();
    log.write("good");
    log.file.write_all(b"bad\n").unwrap();
    log.write("again");
    let seen = read(&log.path(), &LogOptions::default()).await.unwrap();
    assert_eq!(seen, "good\nagain\n");

    std::fs::write(log.path(), "plain text\n").unwrap();
    let refused = read(&log.path(), &LogOptions::default()).await.unwrap_err();
    assert!(matches!(refused, ReadError::Format { .. }), "{refused}");
    let missing = LogReader::open(Path::new("/nonexistent/0.log"), &follow()).unwrap_err();
    assert!(matches!(missing, ReadError::Open { .. }), "{missing}");
}

#[tokio::test]
async fn a_follower_sees_what_comes_and_ends_with_the_container() {
    let mut log = Log::new();
    log.write("one");
    let mut follower = Follower::start(&log.path(), &follow());
    follower.until("one\n").await;
    log.write("two");
    follower.until("two\n").await;
    log.write("three");
    assert_eq!(follower.finish().await, "one\ntwo\nthree\n");
}

#[tokio::test]
async fn a_half_written_line_waits_for_its_end() {
    let mut log = Log::new();
    log.write("one");
    let mut follower = Follower::start(&log.path(), &follow());
    follower.until("one\n").await;
    log.file
        .write_all(b"2026-01-01T00:00:01Z stdout F tw")
        .unwrap();
    log.file.write_all(b"o\n").unwrap();
    follower.until("two\n").await;
    assert_eq!(follower.finish().await, "one\ntwo\n");
}

#[tokio::test]
async fn rotation_loses_and_repeats_nothing() {
    let mut log = Log::new();
    log.write("a1");
    let mut follower = Follower::start(&log.path(), &follow());
    follower.until("a1\n").await;
    log.rename("20260101-000001");
    log.write("a2 after the rename");
    let mut next = log.create();
    log.write("a3 after the next file was made");
    write_line(&mut next, "b1");
    follower.until("b1\n").await;
    write_line(&mut next, "b2");
    assert_eq!(
        follower.finish().await,
        "a1\na2 after the rename\na3 after the next file was made\nb1\nb2\n"
    );
}

#[tokio::test]
async fn a_follower_that_was_away_for_two_rotations_reads_all_three_files() {
    let mut log = Log::new();
    log.write("a1");
    let mut follower = Follower::start(&log.path(), &follow());
    follower.until("a1\n").await;
    log.rename("20260101-000001");
    let mut second = log.create();
    write_line(&mut second, "b1");
    log.rename("20260101-000002");
    let mut third = log.create();
    write_line(&mut third, "c1");
    follower.until("c1\n").await;
    assert_eq!(follower.finish().await, "a1\nb1\nc1\n");
}

#[tokio::test]
async fn a_container_that_stops_amid_rotation_is_read_to_the_end() {
    let mut log = Log::new();
    log.write("a1");
    let mut follower = Follower::start(&log.path(), &follow());
    follower.until("a1\n").await;
    log.rename("20260101-000001");
    let mut next = log.create();
    write_line(&mut next, "b1");
    assert_eq!(follower.finish().await, "a1\nb1\n");
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_follower() {
    let log = Log::new();
    let Follower {
        chunks,
        task,
        running,
        ..
    } = Follower::start(&log.path(), &follow());
    drop(chunks);
    task.await.unwrap().unwrap();
    drop(running);
}

#[tokio::test]
async fn a_fast_writer_with_many_rotations_and_a_slow_reader() {
    let mut log = Log::new();
    let path = log.path();
    let mut follower = Follower::start(&path, &follow());
    let mut expected = String::new();
    for round in 0..8 {
        for number in 0..200 {
            let text = format!("{round}/{number}");
            log.write(&text);
            expected += &text;
            expected.push('\n');
        }
        log.rename(&format!("20260101-00000{round}"));
        log.file = log.create();
        tokio::task::yield_now().await;
    }
    log.write("end");
    follower.until("end\n").await;
    assert_eq!(follower.finish().await, expected + "end\n");
}
