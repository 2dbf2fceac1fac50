//! `DefaultBinder`: the API server is told.

use crate::framework::{Bind, Errand};
use crate::intern::Word;
use crate::model::Pod;

/// The plugin.
#[derive(Debug)]
pub struct DefaultBinder;

impl Bind for DefaultBinder {
    fn errand(&self, _: &Pod, _: &Word) -> Option<Errand> {
        Some(Errand::Binding)
    }
}
