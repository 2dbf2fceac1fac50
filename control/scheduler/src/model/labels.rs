//! Labels and what is asked of them. Decides matches.

use crate::intern::Word;

/// Labels of an object, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(Box<[(Word, Word)]>);

impl Labels {
    /// Labels from pairs, in any order.
    #[must_use]
    pub fn new(pairs: impl IntoIterator<Item = (Word, Word)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_unstable();
        Self(pairs.into())
    }

    /// A label's value.
    #[must_use]
    pub fn value(&self, key: &Word) -> Option<&Word> {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    /// All of them.
    #[must_use]
    pub fn pairs(&self) -> &[(Word, Word)] {
        &self.0
    }
}

/// How a value is tested.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// It is one of these.
    In(Vec<Word>),
    /// It is none of these, or absent.
    NotIn(Vec<Word>),
    /// It is there.
    Exists,
    /// It is absent.
    Absent,
    /// It is a whole number above this.
    Above(i64),
    /// It is a whole number below this.
    Below(i64),
    /// Nothing passes: what was asked makes no sense.
    Never,
}

impl Test {
    /// Whether a value, if there is one, passes.
    #[must_use]
    pub fn passes(&self, value: Option<&Word>) -> bool {
        let number = || value.and_then(|value| value.text().parse::<i64>().ok());
        match self {
            Self::In(set) => value.is_some_and(|value| set.contains(value)),
            Self::NotIn(set) => value.is_none_or(|value| !set.contains(value)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::Above(bound) => number().is_some_and(|number| number > *bound),
            Self::Below(bound) => number().is_some_and(|number| number < *bound),
            Self::Never => false,
        }
    }
}

/// A test of one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: Word,
    /// What its value must pass.
    pub test: Test,
}

impl Requirement {
    /// A requirement as the API writes it; one that makes no sense matches nothing.
    #[must_use]
    pub fn new(key: Word, operator: &str, values: Vec<Word>) -> Self {
        let bound = match values.as_slice() {
            [one] => one.text().parse().ok(),
            _ => None,
        };
        let test = match operator {
            "In" if !values.is_empty() => Test::In(values),
            "NotIn" if !values.is_empty() => Test::NotIn(values),
            "Exists" if values.is_empty() => Test::Exists,
            "DoesNotExist" if values.is_empty() => Test::Absent,
            "Gt" => bound.map_or(Test::Never, Test::Above),
            "Lt" => bound.map_or(Test::Never, Test::Below),
            _ => Test::Never,
        };
        Self { key, test }
    }

    /// A label that must have this value.
    #[must_use]
    pub fn equal(key: Word, value: Word) -> Self {
        Self {
            key,
            test: Test::In(vec![value]),
        }
    }

    /// Whether labels meet it.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.test.passes(labels.value(&self.key))
    }
}

/// Requirements that must all be met.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// An absent selector: selects nothing.
    Nothing,
    /// All of these; none of them selects everything.
    All(Vec<Requirement>),
}

impl Selector {
    /// Whether labels are selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(requirements) => requirements.iter().all(|r| r.matches(labels)),
        }
    }

    /// Asks for one more thing. An absent selector stays absent.
    pub fn require(&mut self, requirement: Requirement) {
        if let Self::All(requirements) = self {
            requirements.push(requirement);
        }
    }
}

/// A term of a node selector. One without requirements matches no node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeTerm {
    /// Requirements on the node's labels.
    pub labels: Vec<Requirement>,
    /// Tests of the node's name.
    pub names: Vec<Test>,
}

impl NodeTerm {
    /// Whether a node is meant.
    #[must_use]
    pub fn matches(&self, name: &Word, labels: &Labels) -> bool {
        (!self.labels.is_empty() || !self.names.is_empty())
            && self.names.iter().all(|test| test.passes(Some(name)))
            && self.labels.iter().all(|r| r.matches(labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        Labels::new(pairs.map(|(key, value)| (Word::of(key), Word::of(value))))
    }

    fn check(operator: &str, values: &[&str], on: &str, expected: bool) {
        let values = values.iter().map(|value| Word::of(value)).collect();
        let requirement = Requirement::new(Word::of("a"), operator, values);
        assert_eq!(
            requirement.matches(&labels(on)),
            expected,
            "{requirement:?}"
        );
    }

    #[test]
    fn requirements() {
        check("In", &["1", "2"], "a=2", true);
        check("In", &["1"], "b=1", false);
        check("In", &[], "a=1", false);
        check("NotIn", &["1"], "b=1", true);
        check("NotIn", &["1"], "a=1", false);
        check("Exists", &[], "a=", true);
        check("Exists", &["x"], "a=", false);
        check("DoesNotExist", &[], "b=1", true);
        check("Gt", &["5"], "a=6", true);
        check("Gt", &["5"], "a=x", false);
        check("Lt", &["5", "6"], "a=4", false);
        check("Nonsense", &[], "a=4", false);
    }

    #[test]
    fn an_empty_selector_selects_all_and_an_absent_one_nothing() {
        assert!(Selector::All(Vec::new()).matches(&labels("a=1")));
        assert!(!Selector::Nothing.matches(&labels("a=1")));
        assert!(!NodeTerm::default().matches(&Word::of("n"), &labels("a=1")));
    }
}
