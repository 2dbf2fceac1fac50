//! What form of an object a client wants: whole, as a row of a table, or its metadata. Pure.

use keelson_api::status_error::Reason;

use crate::failure::{Failure, Outcome};
use crate::route::Query;

/// The form of a reply's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    /// `meta.k8s.io` `Table`.
    Table(MetaVersion, Include),
    /// `meta.k8s.io` `PartialObjectMetadata`, and lists of it.
    Metadata(MetaVersion),
}

/// A version of the `meta.k8s.io` group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaVersion {
    V1,
    V1Beta1,
}

impl MetaVersion {
    /// As in `apiVersion`.
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// What a row of a table carries of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    Nothing,
    Metadata,
    Object,
}

/// How a reply is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) form: Form,
    /// Indented for people.
    pub(crate) pretty: bool,
}

/// Reads `Accept` and the query.
pub(crate) fn output(accept: &str, user_agent: &str, query: &Query) -> Outcome<Output> {
    let person = ["curl", "Wget", "Mozilla/5.0"];
    let pretty = if query.has("pretty") {
        query.flag("pretty")
    } else {
        person.iter().any(|name| user_agent.starts_with(name))
    };
    let include = match query.value("includeObject") {
        Some("None") => Include::Nothing,
        Some("Object") => Include::Object,
        _ => Include::Metadata,
    };
    let mut forms = clauses(accept).filter_map(|clause| form(clause, include));
    let form = forms.next().ok_or_else(not_acceptable)?;
    Ok(Output { form, pretty })
}

/// Refuses who takes nothing but rows or metadata of what has none.
pub(crate) fn whole(accept: &str) -> Outcome<()> {
    let mut forms = clauses(accept).filter_map(|clause| form(clause, Include::Nothing));
    let found = forms.find(|form| *form == Form::Whole);
    found.map(drop).ok_or_else(not_acceptable)
}

fn clauses(accept: &str) -> impl Iterator<Item = &str> {
    let anything = accept.trim().is_empty();
    if anything { "*/*" } else { accept }.split(',')
}

fn not_acceptable() -> Failure {
    Failure::new(
        Reason::NotAcceptable,
        "only the following media types are accepted: application/json",
    )
}

fn form(clause: &str, include: Include) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    if !matches!(parts.next()?, "application/json" | "application/*" | "*/*") {
        return None;
    }
    let (mut kind, mut group, mut version) = ("", "", "");
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("as", value)) => kind = value,
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            _ => {}
        }
    }
    let meta = match version {
        "v1" => MetaVersion::V1,
        "v1beta1" => MetaVersion::V1Beta1,
        "" if kind.is_empty() => return Some(Form::Whole),
        _ => return None,
    };
    match (group, kind) {
        ("meta.k8s.io", "Table") => Some(Form::Table(meta, include)),
        ("meta.k8s.io", "PartialObjectMetadata" | "PartialObjectMetadataList") => {
            Some(Form::Metadata(meta))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, query: &str, expected: Option<Form>) {
        let found = output(accept, "kubectl", &Query::parse(query)).ok();
        assert_eq!(found.map(|output| output.form), expected, "{accept}");
    }

    #[test]
    fn the_first_form_we_know_wins() {
        check("", "", Some(Form::Whole));
        check(
            "application/vnd.kubernetes.protobuf,application/json",
            "",
            Some(Form::Whole),
        );
        check("application/vnd.kubernetes.protobuf", "", None);
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        check(
            table,
            "",
            Some(Form::Table(MetaVersion::V1, Include::Metadata)),
        );
        let object = Form::Table(MetaVersion::V1, Include::Object);
        check(table, "includeObject=Object", Some(object));
        let partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        check(partial, "", Some(Form::Metadata(MetaVersion::V1)));
        check(
            "application/json;as=Other;g=x;v=v1,*/*",
            "",
            Some(Form::Whole),
        );
    }

    #[test]
    fn some_things_are_only_whole() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(whole(table).map_err(|failure| failure.code()), Err(406));
        assert!(whole(&format!("{table}, application/json")).is_ok());
        assert!(whole("").is_ok());
    }

    #[test]
    fn people_get_it_indented() {
        let pretty = |agent, query| output("*/*", agent, &Query::parse(query)).unwrap().pretty;
        assert!(pretty("curl/8", ""));
        assert!(!pretty("curl/8", "pretty=false"));
        assert!(!pretty("kubectl", ""));
        assert!(pretty("kubectl", "pretty=true"));
    }
}
