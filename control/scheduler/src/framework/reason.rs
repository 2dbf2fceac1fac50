//! Why a node will not do, in upstream's words, and how many nodes failed for which reason.

use std::collections::HashMap;
use std::fmt;

use crate::intern::Word;
use crate::model::Kind;

/// A reason against a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// In these words.
    Text(&'static str),
    /// There is not enough left of a resource.
    Insufficient(Kind),
    /// A claim of the pod is not there.
    NoClaim(Word),
    /// A sentence made for the occasion.
    Said(Word),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Insufficient(kind) => write!(f, "Insufficient {}", kind.name()),
            Self::NoClaim(name) => write!(f, "persistentvolumeclaim \"{name}\" not found"),
            Self::Said(text) => f.write_str(text.text()),
        }
    }
}

/// How many nodes failed for which reason.
#[derive(Clone, Debug, Default)]
pub struct Tally(HashMap<Reason, usize>);

impl Tally {
    /// These are reasons against one more node, or against several.
    pub fn add(&mut self, reasons: impl IntoIterator<Item = Reason>, nodes: usize) {
        for reason in reasons {
            *self.0.entry(reason).or_default() += nodes;
        }
    }

    /// `0/3 nodes are available: 1 Insufficient cpu, 2 ...`, without a full stop.
    #[must_use]
    pub fn sentence(&self, nodes: usize, refused: Option<&Reason>) -> String {
        let mut text = format!("0/{nodes} nodes are available");
        let mut parts: Vec<String> = match refused {
            Some(reason) => vec![reason.to_string()],
            None => {
                let counted = self.0.iter();
                counted
                    .map(|(reason, count)| format!("{count} {reason}"))
                    .collect()
            }
        };
        parts.sort_unstable();
        if !parts.is_empty() {
            text.push_str(": ");
            text.push_str(&parts.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_counted_by_reason() {
        let mut tally = Tally::default();
        assert_eq!(tally.sentence(0, None), "0/0 nodes are available");
        tally.add(
            [
                Reason::Insufficient(Kind::Cpu),
                Reason::Text("Too many pods"),
            ],
            1,
        );
        tally.add([Reason::Insufficient(Kind::Cpu)], 1);
        assert_eq!(
            tally.sentence(3, None),
            "0/3 nodes are available: 1 Too many pods, 2 Insufficient cpu"
        );
        let refused = Reason::NoClaim(Word::of("c"));
        assert_eq!(
            tally.sentence(3, Some(&refused)),
            "0/3 nodes are available: persistentvolumeclaim \"c\" not found"
        );
    }
}
