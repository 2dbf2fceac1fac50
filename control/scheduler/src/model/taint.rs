//! Taints and what tolerates them.

use crate::intern::Word;

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// They are not placed there.
    NoSchedule,
    /// They are placed there where nothing else is left.
    PreferNoSchedule,
    /// They are not placed there and have to leave.
    NoExecute,
}

impl Effect {
    /// The effect of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "NoSchedule" => Some(Self::NoSchedule),
            "PreferNoSchedule" => Some(Self::PreferNoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }
}

/// A taint of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    /// Its key.
    pub key: Word,
    /// Its value, often empty.
    pub value: Word,
    /// What it does.
    pub effect: Effect,
}

/// How a toleration compares values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// They are equal.
    Equal,
    /// Any value will do.
    Exists,
    /// Not understood: tolerates nothing.
    Never,
}

/// What a pod tolerates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toleration {
    /// Which key; empty for any.
    pub key: Word,
    /// Which value.
    pub value: Word,
    /// How values are compared.
    pub compare: Compare,
    /// Which effect; `None` for any.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether it covers a taint.
    #[must_use]
    pub fn covers(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match self.compare {
                Compare::Equal => self.value == taint.value,
                Compare::Exists => true,
                Compare::Never => false,
            }
    }
}

/// Whether one of the tolerations covers the taint.
#[must_use]
pub fn tolerated(taint: &Taint, by: &[Toleration]) -> bool {
    by.iter().any(|toleration| toleration.covers(taint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_cover_taints() {
        let taint = Taint {
            key: Word::of("k"),
            value: Word::of("v"),
            effect: Effect::NoSchedule,
        };
        let check = |key: &str, value: &str, compare, effect, expected| {
            let toleration = Toleration {
                key: Word::of(key),
                value: Word::of(value),
                compare,
                effect,
            };
            assert_eq!(toleration.covers(&taint), expected, "{toleration:?}");
        };
        check("k", "v", Compare::Equal, None, true);
        check("k", "w", Compare::Equal, None, false);
        check("k", "", Compare::Exists, Some(Effect::NoSchedule), true);
        check("k", "", Compare::Exists, Some(Effect::NoExecute), false);
        check("", "", Compare::Exists, None, true);
        check("j", "", Compare::Exists, None, false);
        check("k", "v", Compare::Never, None, false);
    }
}
