//! Amounts of resources as whole numbers: thousandths of a core, bytes, pieces.

use crate::intern::Word;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Processor time, in thousandths of a core.
    Cpu,
    /// Memory, in bytes.
    Memory,
    /// Local storage, in bytes.
    Ephemeral,
    /// Huge pages, devices and what clusters make up, in pieces.
    Other(Word),
}

impl Kind {
    /// The kind of a resource name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "ephemeral-storage" => Self::Ephemeral,
            other => Self::Other(Word::of(other)),
        }
    }

    /// The resource's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Ephemeral => "ephemeral-storage",
            Self::Other(name) => name.text(),
        }
    }
}

/// Amounts of several resources. What is not named is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Amounts {
    /// Thousandths of a core.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral: i64,
    /// Everything else, each once.
    pub others: Vec<(Word, i64)>,
}

impl Amounts {
    /// How much there is of a kind.
    #[must_use]
    pub fn amount(&self, kind: &Kind) -> i64 {
        match kind {
            Kind::Cpu => self.cpu,
            Kind::Memory => self.memory,
            Kind::Ephemeral => self.ephemeral,
            Kind::Other(name) => self.other(name),
        }
    }

    /// How much there is of what has no field of its own.
    #[must_use]
    pub fn other(&self, name: &Word) -> i64 {
        let found = self.others.iter().find(|(known, _)| known == name);
        found.map_or(0, |(_, amount)| *amount)
    }

    /// The place of a kind, made where it is missing.
    pub fn place(&mut self, kind: Kind) -> &mut i64 {
        let name = match kind {
            Kind::Cpu => return &mut self.cpu,
            Kind::Memory => return &mut self.memory,
            Kind::Ephemeral => return &mut self.ephemeral,
            Kind::Other(name) => name,
        };
        let at = match self.others.iter().position(|(known, _)| *known == name) {
            Some(at) => at,
            None => {
                self.others.push((name, 0));
                self.others.len() - 1
            }
        };
        &mut self.others[at].1
    }

    /// Each kind that is named, with its amount.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, i64)> {
        let own = [
            (Kind::Cpu, self.cpu),
            (Kind::Memory, self.memory),
            (Kind::Ephemeral, self.ephemeral),
        ];
        let others = self.others.iter();
        own.into_iter()
            .chain(others.map(|(name, amount)| (Kind::Other(name.clone()), *amount)))
    }

    /// Adds, `times` may be -1 to take away.
    pub fn add(&mut self, more: &Self, times: i64) {
        self.cpu = self.cpu.saturating_add(more.cpu.saturating_mul(times));
        let memory = more.memory.saturating_mul(times);
        self.memory = self.memory.saturating_add(memory);
        let ephemeral = more.ephemeral.saturating_mul(times);
        self.ephemeral = self.ephemeral.saturating_add(ephemeral);
        for (name, amount) in &more.others {
            let place = self.place(Kind::Other(name.clone()));
            *place = place.saturating_add(amount.saturating_mul(times));
        }
    }

    /// Raises each amount to that of another.
    pub fn raise(&mut self, other: &Self) {
        for (kind, amount) in other.iter() {
            if amount > self.amount(&kind) {
                *self.place(kind) = amount;
            }
        }
    }

    /// Without the kinds of which there is none, in one order: equal amounts look alike.
    #[must_use]
    pub fn tidy(mut self) -> Self {
        self.others.retain(|(_, amount)| *amount != 0);
        self.others.sort_unstable();
        self.others.shrink_to_fit();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(cpu: i64, gpus: i64) -> Amounts {
        let mut made = Amounts {
            cpu,
            ..Amounts::default()
        };
        *made.place(Kind::of("example.com/gpu")) = gpus;
        made
    }

    #[test]
    fn what_is_added_can_be_taken_away() {
        let mut sum = amounts(100, 1);
        sum.add(&amounts(50, 2), 1);
        assert_eq!(sum, amounts(150, 3));
        sum.add(&amounts(50, 2), -1);
        assert_eq!(sum, amounts(100, 1));
        sum.raise(&amounts(20, 9));
        assert_eq!(sum, amounts(100, 9));
        assert_eq!(amounts(1, 0).tidy().others, []);
    }
}
