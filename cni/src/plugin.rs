//! The four plugins: for each command, what is read, observed, planned and applied, in order.

pub mod bridge;
pub mod host_local;
pub mod loopback;
pub mod portmap;

use crate::wire::config::Input;
use crate::wire::env::Env;
use crate::wire::error_code::{Code, Failure, Outcome};
use crate::wire::result::Attached;

/// A plugin: what it does for each command.
pub trait Plugin {
    /// Attaches.
    ///
    /// # Errors
    /// Why not; nothing is left of the attempt.
    fn add(&self, input: &Input, env: &Env) -> Outcome<Attached>;

    /// Detaches; what is gone already is no error.
    ///
    /// # Errors
    /// All that could not be removed; the rest has been.
    fn del(&self, input: &Input, env: &Env) -> Outcome<()>;

    /// Checks an attachment.
    ///
    /// # Errors
    /// What is not as ADD left it.
    fn check(&self, input: &Input, env: &Env) -> Outcome<()>;

    /// Releases what no valid attachment owns.
    ///
    /// # Errors
    /// All that could not be released.
    fn gc(&self, input: &Input, env: &Env) -> Outcome<()>;

    /// Says whether an ADD could succeed.
    ///
    /// # Errors
    /// Why not.
    fn status(&self, input: &Input, env: &Env) -> Outcome<()>;
}

/// Several results as one: the first failure, with the others as its details.
///
/// # Errors
/// When any of them failed.
pub fn all(results: impl IntoIterator<Item = Outcome<()>>) -> Outcome<()> {
    let mut failures = results.into_iter().filter_map(Result::err);
    let Some(first) = failures.next() else {
        return Ok(());
    };
    Err(failures.fold(first, |sum, next| sum.with_details(next.message)))
}

/// STATUS: the plugin cannot serve ADD.
pub(crate) fn not_available(failure: &Failure) -> Failure {
    Failure::new(Code::NotAvailable, failure.message.clone()).with_details(failure.details.clone())
}
