//! The options of a request, from its query. Pure.

use crate::failure::{Failure, Outcome};
use crate::route::Query;

/// What every write takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteOptions {
    /// Everything is done but the writing.
    pub(crate) dry_run: bool,
    /// Who owns the fields that are written.
    pub(crate) manager: String,
    pub(crate) validation: Validation,
    /// Takes fields from their owners.
    pub(crate) force: bool,
    /// Whether a configuration is applied, which says itself who owns what.
    pub(crate) applied: bool,
}

/// What happens to fields that are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Validation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

impl WriteOptions {
    /// Reads the query; `agent` is who writes if nothing else is said.
    pub(crate) fn read(query: &Query, agent: &str) -> Outcome<Self> {
        let validation = match query.value("fieldValidation") {
            None | Some("Warn") => Validation::Warn,
            Some("Ignore") => Validation::Ignore,
            Some("Strict") => Validation::Strict,
            Some(other) => {
                return Err(Failure::bad_request(format!(
                    "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                )));
            }
        };
        let manager = query
            .value("fieldManager")
            .unwrap_or_else(|| agent_name(agent));
        if manager.chars().count() > 128 || manager.chars().any(char::is_control) {
            return Err(Failure::bad_request(
                "fieldManager: must be at most 128 printable characters",
            ));
        }
        Ok(Self {
            dry_run: dry_run(query.values("dryRun"))?,
            manager: manager.to_owned(),
            validation,
            force: query.flag("force"),
            applied: false,
        })
    }
}

/// Whether nothing is to be written.
pub(crate) fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Outcome<bool> {
    let mut dry = false;
    for value in values {
        match value {
            "All" => dry = true,
            "" => {}
            other => {
                return Err(Failure::bad_request(format!(
                    "dryRun: Unsupported value: {other:?}: supported values: \"All\""
                )));
            }
        }
    }
    Ok(dry)
}

/// The program's name in a user agent.
fn agent_name(agent: &str) -> &str {
    let name = agent.split('/').next().unwrap_or_default();
    let end = name
        .char_indices()
        .nth(128)
        .map_or(name.len(), |(at, _)| at);
    &name[..end]
}

/// How `resourceVersion` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest there is.
    Newest,
    /// Whatever is at hand.
    Any,
    /// At least this new.
    NotOlderThan(u64),
    /// As of this revision.
    Exactly(u64),
}

/// What a list or a watch takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListOptions {
    pub(crate) wanted: Wanted,
    pub(crate) limit: usize,
    pub(crate) token: Option<String>,
    pub(crate) bookmarks: bool,
    /// What a watch begins with: `None` leaves it to `resourceVersion`.
    pub(crate) initial: Option<bool>,
    pub(crate) timeout_seconds: Option<u64>,
}

impl ListOptions {
    /// Reads the query of a list, or of a watch.
    pub(crate) fn read(query: &Query, watch: bool) -> Outcome<Self> {
        let initial = query
            .has("sendInitialEvents")
            .then(|| query.flag("sendInitialEvents"));
        let matching = query.value("resourceVersionMatch");
        let token = query.value("continue").map(str::to_owned);
        if initial.is_some() && !watch {
            return Err(invalid("sendInitialEvents is forbidden for list"));
        }
        if watch && matching.is_some() && initial.is_none() {
            return Err(invalid(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        if initial.is_some() && matching != Some("NotOlderThan") {
            return Err(invalid(
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        Ok(Self {
            wanted: wanted(
                query.value("resourceVersion"),
                matching,
                initial.is_some(),
                token.is_some(),
            )?,
            limit: number(query, "limit")?.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX)),
            token,
            bookmarks: query.flag("allowWatchBookmarks"),
            initial,
            timeout_seconds: number(query, "timeoutSeconds")?,
        })
    }
}

fn wanted(
    version: Option<&str>,
    matching: Option<&str>,
    streamed: bool,
    continued: bool,
) -> Outcome<Wanted> {
    let number = version.map(|text| {
        let parsed = text.parse::<u64>();
        parsed.map_err(|_| {
            Failure::bad_request(format!("Invalid value: {text:?}: invalid resource version"))
        })
    });
    let number = number.transpose()?;
    if continued {
        return match (number, matching) {
            (_, Some(_)) => Err(invalid(
                "resourceVersionMatch is forbidden when continue is provided",
            )),
            (Some(1..), None) => Err(Failure::bad_request(
                "specifying resource version is not allowed when using continue",
            )),
            _ => Ok(Wanted::Newest),
        };
    }
    match (number, matching) {
        (None, None) => Ok(Wanted::Newest),
        (None, Some(_)) if streamed => Ok(Wanted::Newest),
        (None, Some(_)) => Err(invalid(
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        (Some(0), Some("Exact")) => Err(invalid(
            "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
        )),
        (Some(0), None | Some("NotOlderThan")) => Ok(Wanted::Any),
        (Some(at), Some("Exact")) => Ok(Wanted::Exactly(at)),
        (Some(at), None | Some("NotOlderThan")) => Ok(Wanted::NotOlderThan(at)),
        (_, Some(other)) => Err(invalid(&format!(
            "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
        ))),
    }
}

fn number(query: &Query, name: &str) -> Outcome<Option<u64>> {
    let Some(text) = query.value(name) else {
        return Ok(None);
    };
    match text.parse::<i64>() {
        Ok(number) => Ok(u64::try_from(number).ok().filter(|number| *number > 0)),
        Err(_) => Err(Failure::bad_request(format!(
            "{name}: {text:?} is not a number"
        ))),
    }
}

fn invalid(message: &str) -> Failure {
    Failure::invalid(
        "meta.k8s.io",
        "ListOptions",
        "",
        [(
            "resourceVersionMatch".to_owned(),
            "FieldValueForbidden".to_owned(),
            format!("Forbidden: {message}"),
        )],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, watch: bool, expected: Option<Wanted>) {
        let found = ListOptions::read(&Query::parse(query), watch).ok();
        assert_eq!(found.map(|options| options.wanted), expected, "{query}");
    }

    #[test]
    fn resource_versions_and_how_they_match() {
        check("", false, Some(Wanted::Newest));
        check("resourceVersion=", false, Some(Wanted::Newest));
        check("resourceVersion=0", false, Some(Wanted::Any));
        check("resourceVersion=7", false, Some(Wanted::NotOlderThan(7)));
        check(
            "resourceVersion=7&resourceVersionMatch=Exact",
            false,
            Some(Wanted::Exactly(7)),
        );
        check("resourceVersion=0&resourceVersionMatch=Exact", false, None);
        check("resourceVersionMatch=Exact", false, None);
        check("resourceVersion=7&resourceVersionMatch=Other", false, None);
        check("resourceVersion=x", false, None);
        check("continue=x&resourceVersion=7", false, None);
        check("continue=x", false, Some(Wanted::Newest));
        check("sendInitialEvents=true", true, None);
        let streamed = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        check(streamed, true, Some(Wanted::Newest));
        check(streamed, false, None);
    }

    #[test]
    fn write_options() {
        let read = |query| WriteOptions::read(&Query::parse(query), "kubectl/v1.36 (linux)");
        let options = read("dryRun=All&force=true").unwrap();
        assert_eq!(
            (options.dry_run, options.force, &*options.manager),
            (true, true, "kubectl")
        );
        assert!(read("dryRun=Some").is_err());
        assert!(read("fieldValidation=Maybe").is_err());
        assert_eq!(read("fieldManager=me").unwrap().manager, "me");
    }
}
