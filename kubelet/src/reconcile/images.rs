//! Images: each start is preceded by its container's image being made sure of, and images of
//! containers that never ran are fetched before their turn comes.

use std::sync::Arc;

use crate::model::desired::ContainerSpec;
use crate::model::memory::ImageMemory;
use crate::model::{Action, Key};

use super::Turn;

/// Makes sure of the image for the next start of a container. The image by digest once it is there.
pub(super) fn ensure(turn: &mut Turn<'_>, c: &ContainerSpec) -> Option<Arc<str>> {
    forget_other_image(turn, c);
    let image = &turn.mem(&c.name).image;
    if image.ready.is_some() {
        return image.ready.clone();
    }
    let until = image.backoff.until;
    if turn.due(until) {
        turn.emit(Action::EnsureImage {
            container: c.name.clone(),
        });
    }
    None
}

/// What is known of another image than the wanted one is of no use.
fn forget_other_image(turn: &mut Turn<'_>, c: &ContainerSpec) {
    let image = &mut turn.mem(&c.name).image;
    if image.of == c.image {
        return;
    }
    let first = image.of.is_empty();
    *image = ImageMemory {
        of: c.image.clone(),
        ..ImageMemory::default()
    };
    if !first {
        turn.cancel(&Key::Image(c.name.clone()));
    }
}
