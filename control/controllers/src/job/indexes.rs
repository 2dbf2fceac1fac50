//! Sets of indexes, as `0,2-5`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A set of indexes below a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes(pub BTreeSet<i32>);

impl Indexes {
    /// Reads a text; what is not below the bound, or makes no sense, is left out.
    #[must_use]
    pub fn parse(text: &str, bound: i32) -> Self {
        let mut all = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.trim().parse::<i32>(), last.trim().parse::<i32>())
            {
                all.extend(first.max(0)..=last.min(bound - 1));
            }
        }
        Self(all)
    }

    /// The text; three neighbours and more are a range.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut run: Option<(i32, i32)> = None;
        for index in self.0.iter().copied() {
            match &mut run {
                Some((_, last)) if *last + 1 == index => *last = index,
                _ => {
                    write_run(&mut text, run);
                    run = Some((index, index));
                }
            }
        }
        write_run(&mut text, run);
        text
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> i32 {
        i32::try_from(self.0.len()).unwrap_or(i32::MAX)
    }

    /// Whether an index is in it.
    #[must_use]
    pub fn has(&self, index: i32) -> bool {
        self.0.contains(&index)
    }
}

fn write_run(text: &mut String, run: Option<(i32, i32)>) {
    let Some((first, last)) = run else {
        return;
    };
    if !text.is_empty() {
        text.push(',');
    }
    // Writing to a String does not fail.
    let _ = match last - first {
        0 => write!(text, "{first}"),
        1 => write!(text, "{first},{last}"),
        _ => write!(text, "{first}-{last}"),
    };
}

#[cfg(test)]
mod tests {
    use super::Indexes;
    use proptest::prelude::*;

    #[test]
    fn texts() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Indexes::parse(text, 10).text(), expected, "{text}");
        };
        check("", "");
        check("1,2,3,5", "1-3,5");
        check("0-1,7-20", "0,1,7-9");
        check("x,3", "3");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(all in prop::collection::btree_set(0..100, 0..50)) {
            let indexes = Indexes(all);
            prop_assert_eq!(Indexes::parse(&indexes.text(), 100), indexes);
        }
    }
}
