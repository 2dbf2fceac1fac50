//! Makes a pod of a template. Pure.

use serde_json::{Map, Value, json};

use crate::controller::About;
use crate::kinds::{Kind, Pod, Template};
use crate::write::{Write, managed_by};

/// The longest beginning of a generated name that leaves room for the rest.
const LONGEST: usize = 247;

/// A pod that is not created yet.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPod(pub Value);

impl NewPod {
    /// A pod of the template, managed by the owner and named after it.
    #[must_use]
    pub fn of<O: Kind>(owner: &O, template: &Template) -> Self {
        let template = template.value();
        let mut metadata = Map::new();
        for field in ["labels", "annotations", "finalizers"] {
            if let Some(value) = template["metadata"].get(field) {
                metadata.insert(field.to_owned(), value.clone());
            }
        }
        let mut name = owner.meta().name.to_string();
        name.truncate(LONGEST);
        metadata.insert("generateName".to_owned(), json!(format!("{name}-")));
        metadata.insert("ownerReferences".to_owned(), json!([managed_by(owner)]));
        Self(json!({"metadata": metadata, "spec": template["spec"]}))
    }

    /// With this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        if let Some(metadata) = self.0["metadata"].as_object_mut() {
            metadata.remove("generateName");
        }
        self.0["metadata"]["name"] = json!(name);
        self
    }

    /// With names generated from this.
    #[must_use]
    pub fn generated(mut self, prefix: &str) -> Self {
        self.0["metadata"]["generateName"] = json!(prefix);
        self
    }

    /// With a label more.
    #[must_use]
    pub fn labelled(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }

    /// With an annotation more.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Created for the owner, whose people are told.
    #[must_use]
    pub fn create<O: Kind>(self, owner: &O) -> Write {
        Write::create(Pod::RESOURCE, &owner.meta().namespace, self.0).told_to(About::of(owner))
    }
}
