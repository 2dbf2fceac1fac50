//! A Node object.

use serde::{Deserialize, Deserializer};

use super::quantity::{self, Listed};
use super::{Metadata, null_is_default};
use crate::intern::Word;
use crate::model::{Effect, Kind, Node, Taint};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeObject {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
    #[serde(deserialize_with = "null_is_default")]
    taints: Vec<TaintObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TaintObject {
    key: Word,
    value: Word,
    effect: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    allocatable: Listed,
    #[serde(deserialize_with = "null_is_default")]
    images: Vec<Image>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Image {
    #[serde(deserialize_with = "null_is_default")]
    names: Vec<Word>,
    size_bytes: i64,
}

impl From<NodeObject> for Node {
    fn from(object: NodeObject) -> Self {
        let mut allocatable = quantity::read(&object.status.allocatable);
        let pods = allocatable.amount(&Kind::of("pods"));
        *allocatable.place(Kind::of("pods")) = 0;
        let taints = object.spec.taints.into_iter().filter_map(|taint| {
            Some(Taint {
                key: taint.key,
                value: taint.value,
                effect: Effect::of(&taint.effect)?,
            })
        });
        let images = object.status.images.into_iter().flat_map(|image| {
            let size = image.size_bytes;
            image.names.into_iter().map(move |name| (name, size))
        });
        Self {
            name: object.metadata.name,
            version: object.metadata.resource_version,
            labels: object.metadata.labels,
            taints: taints.collect(),
            unschedulable: object.spec.unschedulable,
            allocatable: allocatable.tidy(),
            pods,
            images: images.collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        NodeObject::deserialize(from).map(Self::from)
    }
}
