//! The seam of admission: those who may change a write or refuse it, in order.

use std::pin::Pin;

use serde_json::Value;

use crate::api::Api;
use crate::failure::Outcome;
use crate::handle::Call;

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Create,
    Update,
    Delete,
    /// A stream or a proxied request.
    Connect,
}

/// A write that asks to be let in.
pub(crate) struct Ask<'a> {
    pub(crate) call: &'a Call,
    pub(crate) action: Action,
    /// Empty while a name is yet to be generated.
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    /// The object as it is; null for creations and streams.
    pub(crate) old: &'a Value,
    pub(crate) dry_run: bool,
}

/// A decision on its way.
pub(crate) type Deciding<'a, T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send + 'a>>;

/// Somebody who is asked before a write.
pub(crate) trait Admission: Send + Sync {
    /// May change the new object, null for deletions, and says what the caller should know.
    fn mutate<'a>(
        &'a self,
        api: &'a Api,
        ask: &'a Ask<'a>,
        object: &'a mut Value,
    ) -> Deciding<'a, Vec<String>>;

    /// Judges the object as it would be stored, and says what the caller should know.
    fn validate<'a>(
        &'a self,
        api: &'a Api,
        ask: &'a Ask<'a>,
        object: &'a Value,
    ) -> Deciding<'a, Vec<String>>;
}

/// Lets everybody change the object; answers with their warnings.
pub(crate) async fn mutate(api: &Api, ask: &Ask<'_>, object: &mut Value) -> Outcome<Vec<String>> {
    let mut warnings = Vec::new();
    for admission in &api.admissions {
        warnings.extend(admission.mutate(api, ask, object).await?);
    }
    Ok(warnings)
}

/// Asks everybody; answers with their warnings.
pub(crate) async fn validate(api: &Api, ask: &Ask<'_>, object: &Value) -> Outcome<Vec<String>> {
    let mut warnings = Vec::new();
    for admission in &api.admissions {
        warnings.extend(admission.validate(api, ask, object).await?);
    }
    Ok(warnings)
}
