//! How the processes of fake containers behave.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a process does when it is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTerm {
    /// It ends after a while, with this exit code.
    Ends {
        /// How long it takes.
        after: Duration,
        /// Its exit code.
        code: i32,
    },
    /// It goes on until it is killed.
    Ignores,
}

/// Where a line is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The behaviour of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Ends by itself after so long with this exit code; `None` for never.
    pub exits: Option<(Duration, i32)>,
    /// What it does on the stop signal.
    pub on_term: OnTerm,
    /// It can't even be started, for this reason.
    pub start_fails: Option<String>,
    /// What it prints as it starts.
    pub prints: Vec<(Stream, String)>,
}

impl Default for Program {
    /// Runs forever, and ends at once when asked to.
    fn default() -> Self {
        Self {
            exits: None,
            on_term: OnTerm::Ends {
                after: Duration::ZERO,
                code: 143,
            },
            start_fails: None,
            prints: Vec::new(),
        }
    }
}

impl Program {
    /// Ends by itself.
    #[must_use]
    pub fn exits(after: Duration, code: i32) -> Self {
        Self {
            exits: Some((after, code)),
            ..Self::default()
        }
    }

    /// Runs until it is killed.
    #[must_use]
    pub fn ignores_term() -> Self {
        Self {
            on_term: OnTerm::Ignores,
            ..Self::default()
        }
    }
}

/// Programs by the name of their container, one per attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs(BTreeMap<String, Vec<Program>>);

impl Programs {
    pub(super) fn set(&mut self, container_name: &str, programs: Vec<Program>) {
        self.0.insert(container_name.to_owned(), programs);
    }

    pub(super) fn of(&self, container_name: &str, attempt: u32) -> Program {
        let programs = self.0.get(container_name).map_or(&[][..], Vec::as_slice);
        let index = usize::try_from(attempt).unwrap_or(usize::MAX);
        let chosen = programs.get(index).or(programs.last());
        chosen.cloned().unwrap_or_default()
    }
}
