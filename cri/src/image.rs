//! Builds container images as OCI archives: the same input gives the same bytes.
//!
//! [`layer`] turns files into a layer, [`manifest`] writes the documents about it, [`archive`]
//! packs both into one tar file that [`crate::containerd::import`] (or any other tool that reads
//! OCI archives) takes, and [`pause`] is one such image. Nothing here talks to a runtime.

pub mod archive;
pub mod layer;
pub mod manifest;
pub mod pause;

pub use archive::Archive;
pub use layer::{File, Layer, LayerError};
pub use manifest::{ImageError, Settings};

/// Builds an image of one platform, the one that this program was built for.
///
/// `name` is a full reference with registry and tag, such as `localhost/demo/web:1`.
///
/// # Errors
/// When the name is not a full reference, or a setting is malformed.
pub fn build(name: &str, layers: &[Layer], settings: &Settings) -> Result<Archive, ImageError> {
    let documents = manifest::describe(name, layers, settings)?;
    Ok(archive::pack(name, layers, &documents))
}
