//! What the API says, decoded with only the fields that scheduling reads, and turned into
//! [`crate::model`]'s values on the way: nothing else is ever kept. Knows JSON's shape.

use keelson_client::Object;
use serde::{Deserialize, Deserializer};

use crate::intern::Word;
use crate::model::{Node, Pod, PodKey};

pub mod affinity;
pub mod node;
pub mod pod;
pub mod quantity;
pub mod selectors;
pub mod storage;

/// Metadata of any object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// The namespace; empty for cluster-wide objects.
    pub namespace: Word,
    /// The name.
    pub name: Word,
    /// The version.
    pub resource_version: Box<str>,
    /// Labels.
    #[serde(deserialize_with = "labels")]
    pub labels: crate::model::Labels,
}

impl Metadata {
    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> PodKey {
        PodKey {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// Go writes an empty list as null.
pub(crate) fn null_is_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// A map of texts as labels.
pub(crate) fn labels<'de, D>(input: D) -> Result<crate::model::Labels, D::Error>
where
    D: Deserializer<'de>,
{
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = crate::model::Labels;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("labels")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry::<Word, Word>()? {
                pairs.push(pair);
            }
            Ok(crate::model::Labels::new(pairs))
        }
    }
    input.deserialize_any(Visitor)
}

impl Object for Pod {
    fn namespace(&self) -> &str {
        self.key.namespace.text()
    }

    fn name(&self) -> &str {
        self.key.name.text()
    }

    fn resource_version(&self) -> &str {
        &self.version
    }
}

impl Object for Node {
    fn namespace(&self) -> &str {
        ""
    }

    fn name(&self) -> &str {
        self.name.text()
    }

    fn resource_version(&self) -> &str {
        &self.version
    }
}

/// An object with metadata, and what its users make of the rest.
macro_rules! watched {
    ($kind:ty) => {
        impl Object for $kind {
            fn namespace(&self) -> &str {
                self.metadata.namespace.text()
            }

            fn name(&self) -> &str {
                self.metadata.name.text()
            }

            fn resource_version(&self) -> &str {
                &self.metadata.resource_version
            }
        }
    };
}
pub(crate) use watched;

#[cfg(test)]
mod tests;
