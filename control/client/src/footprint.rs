//! Keeps a program small while it waits: heap that was freed, and pages of the program that only
//! the start or a burst of work needed, go back to the kernel.
//!
//! An idle program's resident memory is nearly all its own code. The kernel maps sixteen pages for
//! each that is touched and, without pressure, takes none back, so that most of what is resident
//! was needed once or never. What is given back stays in the page cache and is mapped again with
//! the next call of it, some hundred minor faults in all. Knows nothing of the work.

mod segments;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::allocator;
use segments::Pages;

/// Nothing happened for so long: what was busy is over.
const CALM: Duration = Duration::from_secs(1);
/// Memory is given back after so long though things go on happening.
const AT_LAST: Duration = Duration::from_secs(5);
/// The least time from one time to the next.
const PAUSE: Duration = Duration::from_secs(2);
/// Questions and audits happen without a change: memory is given back so often all the same.
const IDLE: Duration = Duration::from_secs(60);

/// Gives memory back whenever what was going on is over. `changes` counts what goes on.
pub async fn stay_small(mut changes: watch::Receiver<u64>) {
    let pages = segments::of_this_program();
    loop {
        calm(&mut changes).await;
        give_back(&pages);
        sleep(PAUSE).await;
        // That nothing happened is as good a reason.
        drop(timeout(IDLE, changes.changed()).await);
    }
}

async fn calm(changes: &mut watch::Receiver<u64>) {
    let latest = Instant::now() + AT_LAST;
    loop {
        let quiet = latest.min(Instant::now() + CALM);
        match timeout_at(quiet, changes.changed()).await {
            Ok(Ok(())) if quiet < latest => {}
            Ok(Err(_)) => return sleep(CALM).await,
            _ => return,
        }
    }
}

fn give_back(pages: &[Pages]) {
    allocator::trim();
    pages.iter().for_each(release);
}

/// Unmaps pages of the program's file, which come back from the page cache when they are needed.
#[expect(
    unsafe_code,
    reason = "madvise is the only way to give pages back, and has no safe binding"
)]
fn release(pages: &Pages) {
    let start = std::ptr::with_exposed_provenance_mut(pages.start);
    // SAFETY: `pages` is a whole mapping of a segment of this program which cannot be written, so
    // its pages hold what the file holds: dropped, they come back as they were. A refusal is harmless.
    unsafe {
        libc::madvise(start, pages.length, libc::MADV_DONTNEED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calm_is_waited_for_but_not_for_ever() {
        let (send, mut changes) = watch::channel(0_u64);
        let before = Instant::now();
        calm(&mut changes).await;
        assert_eq!(before.elapsed(), CALM);

        let busy = tokio::spawn(async move {
            loop {
                sleep(CALM / 2).await;
                send.send_modify(|count| *count += 1);
            }
        });
        let before = Instant::now();
        calm(&mut changes).await;
        busy.abort();
        assert!((AT_LAST - CALM..=AT_LAST).contains(&before.elapsed()));
    }

    /// What would crash or lie if a page came back other than it was.
    #[test]
    fn the_program_works_on_without_its_pages() {
        let pages = segments::of_this_program();
        assert!(!pages.is_empty(), "code and constants are found");
        let words = || format!("{:?} {}", "a b c".split(' ').collect::<Vec<_>>(), f64::MAX);
        let before = words();
        for _ in 0..3 {
            give_back(&pages);
            assert_eq!(words(), before);
        }
    }
}
