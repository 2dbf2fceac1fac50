//! What values and combinations of values the kubelet refuses to start with.
//!
//! Pure; each problem carries the path of its field, and says what would be right.

mod rules;

use keelson_api::duration::Duration;
use keelson_api::quantity::Quantity;

use super::fields::KubeletConfiguration;
use super::gates::Gates;

/// One value that cannot be worked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field's path, such as `crashLoopBackOff.maxContainerRestartPeriod`.
    pub path: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

/// Everything that is wrong with a configuration; empty when nothing is.
#[must_use]
pub fn validate(config: &KubeletConfiguration) -> Vec<FieldProblem> {
    let mut found = Findings::default();
    let gates = match Gates::new(&config.feature_gates) {
        Ok(gates) => gates,
        Err(errors) => {
            for error in errors {
                found.add(&format!("featureGates.{}", error.name()), error.to_string());
            }
            Gates::default()
        }
    };
    rules::ranges(config, &mut found);
    rules::choices(config, &gates, &mut found);
    rules::amounts(config, &mut found);
    rules::images(config, &mut found);
    rules::reservations(config, &mut found);
    rules::eviction(config, &mut found);
    rules::shutdown(config, &gates, &mut found);
    rules::gated(config, &gates, &mut found);
    rules::paths(config, &mut found);
    rules::network(config, &mut found);
    rules::taints(config, &mut found);
    found.problems
}

#[derive(Default)]
struct Findings {
    problems: Vec<FieldProblem>,
}

impl Findings {
    fn add(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(FieldProblem {
            path: path.to_owned(),
            message: message.into(),
        });
    }

    fn unless(&mut self, right: bool, path: &str, message: impl FnOnce() -> String) {
        if !right {
            self.add(path, message());
        }
    }

    fn range(&mut self, path: &str, value: i64, low: i64, high: i64) {
        self.unless((low..=high).contains(&value), path, || {
            format!("{value} must be between {low} and {high}, inclusive")
        });
    }

    fn at_least(&mut self, path: &str, value: i64, low: i64) {
        self.unless(value >= low, path, || {
            format!("{value} must be {low} or greater")
        });
    }

    fn choice(&mut self, path: &str, value: &str, choices: &[&str]) {
        self.unless(choices.contains(&value), path, || {
            let quoted: Vec<_> = choices.iter().map(|c| format!("{c:?}")).collect();
            format!("{value:?} must be one of {}", quoted.join(", "))
        });
    }

    fn not_negative(&mut self, path: &str, value: Duration) {
        self.unless(value >= Duration::ZERO, path, || {
            format!("{value} must not be negative")
        });
    }

    fn quantity(&mut self, path: &str, text: &str) -> Option<Quantity> {
        match Quantity::parse(text) {
            Ok(quantity) => Some(quantity),
            Err(error) => {
                self.add(path, format!("{text:?}: {error}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
