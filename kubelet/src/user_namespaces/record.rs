//! `pods/UID/userns`: the mapping of one pod as upstream's kubelet writes and reads it. Pure: text
//! in, text out.

use serde::{Deserialize, Serialize};

use super::ranges::IdRange;

/// Why a mapping on disk can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is no such document.
    #[error("not a mapping of user ids: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It maps in a way that no kubelet writes.
    #[error("not a mapping that a kubelet writes: one range, the same for uids and gids, from 0")]
    Unusual,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    uid_mappings: Vec<Mapping>,
    gid_mappings: Vec<Mapping>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    host_id: u32,
    container_id: u32,
    length: u32,
}

/// The text for a range.
#[must_use]
pub fn write(range: IdRange) -> String {
    let mapping = Mapping {
        host_id: range.first,
        container_id: 0,
        length: range.length,
    };
    let record = Record {
        uid_mappings: vec![mapping.clone()],
        gid_mappings: vec![mapping],
    };
    serde_json::to_string(&record).unwrap_or_default()
}

/// The range of a text.
///
/// # Errors
/// When it is damaged or maps otherwise than this kubelet would.
pub fn read(text: &str) -> Result<IdRange, RecordError> {
    let record: Record = serde_json::from_str(text)?;
    match record.uid_mappings.as_slice() {
        [only] if record.gid_mappings == [only.clone()] && only.container_id == 0 => Ok(IdRange {
            first: only.host_id,
            length: only.length,
        }),
        _ => Err(RecordError::Unusual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_what_upstream_writes() {
        let range = IdRange {
            first: 131_072,
            length: 65_536,
        };
        let text = r#"{"uidMappings":[{"hostId":131072,"containerId":0,"length":65536}],"gidMappings":[{"hostId":131072,"containerId":0,"length":65536}]}"#;
        assert_eq!(write(range), text);
        assert_eq!(read(text).unwrap(), range);
    }

    #[test]
    fn refuses_other_mappings() {
        let check = |uids: &str, gids: &str| {
            let text = format!(r#"{{"uidMappings":[{uids}],"gidMappings":[{gids}]}}"#);
            assert!(matches!(read(&text), Err(RecordError::Unusual)), "{text}");
        };
        let mapping =
            |host, inside| format!(r#"{{"hostId":{host},"containerId":{inside},"length":65536}}"#);
        check("", "");
        check(&mapping(65_536, 1), &mapping(65_536, 1));
        check(&mapping(65_536, 0), &mapping(131_072, 0));
        let two = format!("{},{}", mapping(65_536, 0), mapping(131_072, 65_536));
        check(&two, &two);
        assert!(matches!(read("{"), Err(RecordError::Malformed(_))));
    }
}
