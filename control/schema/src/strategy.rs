//! What happens to an object of a kind on its way in: the hooks of a row of the resource table.
//!
//! A hook sees the object as a tree in the version of its row. Order of a write: decode, default,
//! prepare, (admission), validate. Hooks never fail: what they can't read they leave for
//! validation to name.

use keelson_api::validate::field::ErrorList;
use serde_json::Value;

/// The hooks of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Strategy {
    /// Fills in what was left out.
    pub defaults: fn(&mut Value),
    /// Judges an object, new or changed, without its metadata.
    pub validate: fn(&Value, &mut ErrorList),
    /// Judges a change: `(new, old)`. Both have been judged on their own.
    pub validate_update: fn(&Value, &Value, &mut ErrorList),
    /// Judges a change of status: `(new, old)`.
    pub validate_status: fn(&Value, &Value, &mut ErrorList),
    /// Sets and clears what a creator has no say in.
    pub prepare_create: fn(&mut Value),
    /// Sets and clears what a change has no say in: `(new, old)`.
    pub prepare_update: fn(&mut Value, &Value),
    /// Which names are taken.
    pub name: NameForm,
    /// Whether a change of anything but metadata and status counts `metadata.generation` up.
    pub generation: bool,
    /// Whether a change of annotations counts too.
    pub annotations_count: bool,
    /// Whether an object may be created with a status.
    pub keeps_status: bool,
    /// Whether labels, owners and finalizers can't be changed through the status.
    pub keeps_metadata_on_status: bool,
    /// Whether an update may create the object, as upstream allows for a few kinds.
    pub create_on_update: bool,
    /// Whether an update without `resourceVersion` is taken.
    pub unconditional_update: bool,
}

/// Which names a kind takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameForm {
    /// Lower-case labels joined by dots, at most 253 bytes.
    Subdomain,
    /// One lower-case label, at most 63 bytes.
    Label,
    /// One lower-case label that begins with a letter, at most 63 bytes.
    Label1035,
    /// Anything that can be a segment of a path.
    PathSegment,
    /// An IP address in its canonical form.
    IpAddress,
}

fn nothing(_: &mut Value) {}

fn fine(_: &Value, _: &mut ErrorList) {}

fn fine_change(_: &Value, _: &Value, _: &mut ErrorList) {}

fn nothing_changed(_: &mut Value, _: &Value) {}

impl Strategy {
    /// A kind without a word of its own.
    pub const PLAIN: Self = Self {
        defaults: nothing,
        validate: fine,
        validate_update: fine_change,
        validate_status: fine_change,
        prepare_create: nothing,
        prepare_update: nothing_changed,
        name: NameForm::Subdomain,
        generation: false,
        annotations_count: false,
        keeps_status: false,
        keeps_metadata_on_status: false,
        create_on_update: false,
        unconditional_update: true,
    };
}

impl Default for Strategy {
    fn default() -> Self {
        Self::PLAIN
    }
}
