//! Has the images there that no registry serves: pause and the demo's.

use super::{Outcome, UpError};
use crate::cluster::static_pods::{PROGRAM, REPOSITORY};
use crate::demo::{self, DemoError};
use crate::files;
use crate::layout::Layout;
use crate::preflight::in_path;
use keelson_cri::config::ImageSpec;
use keelson_cri::containerd::import::{ImportError, Options, import};
use keelson_cri::image::{Archive, File, Layer, Settings, build, pause};
use keelson_cri::{Client, Deadlines, Endpoint};
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

/// How often an import is tried, and the pause between.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);

/// Has the pause image.
pub(super) async fn pause(layout: &Layout) -> Result<Outcome, UpError> {
    have(layout, pause::NAME, || Ok(pause::archive(pause::NAME)?)).await
}

/// Has the demo's image.
pub(super) async fn demo(layout: &Layout) -> Result<Outcome, UpError> {
    have(layout, demo::IMAGE, || {
        let busybox = in_path(&["busybox"]).ok_or(DemoError::NoBusybox)?;
        let folder = layout.demo().join("rootfs");
        demo::lay_out(&folder, &busybox)?;
        let archive = pack(&folder)?;
        files::forget(&folder)?;
        Ok(archive)
    })
    .await
}

/// Has the image of the control plane: `program` and nothing else.
pub(super) async fn control_plane(
    layout: &Layout,
    name: &str,
    program: &[u8],
) -> Result<Outcome, UpError> {
    have(layout, name, || {
        let file = File {
            path: PROGRAM.trim_start_matches('/'),
            mode: 0o755,
            content: program,
        };
        let settings = Settings {
            entrypoint: vec![PROGRAM.to_owned()],
            working_dir: "/".to_owned(),
            ..Settings::default()
        };
        Ok(build(name, &[Layer::from_files(&[file])?], &settings)?)
    })
    .await
}

/// Removes the images of earlier builds: nothing runs them any more, and the kubelet collects no
/// pinned ones.
pub(super) async fn remove_other_control_planes(layout: &Layout, name: &str) {
    let client = Client::new(
        &Endpoint::from(layout.containerd_socket()),
        Deadlines::default(),
    );
    let images = client.list_images().await.unwrap_or_default();
    let tags = images.iter().flat_map(|image| &image.repo_tags);
    let others = tags.filter(|tag| {
        tag.rsplit_once(':')
            .is_some_and(|(repository, _)| repository == REPOSITORY)
            && *tag != name
    });
    for tag in others {
        let spec = ImageSpec {
            image: tag.clone(),
            ..ImageSpec::default()
        };
        // One that stays takes room, and is removed by the next `up`.
        let _ = client.remove_image(spec).await;
    }
}

fn pack(folder: &Path) -> Result<Archive, UpError> {
    let settings = Settings {
        cmd: vec!["sh".to_owned()],
        env: vec!["PATH=/bin".to_owned()],
        working_dir: "/".to_owned(),
        ..Settings::default()
    };
    Ok(build(
        demo::IMAGE,
        &[Layer::from_folder(folder)?],
        &settings,
    )?)
}

async fn have(
    layout: &Layout,
    name: &str,
    make: impl FnOnce() -> Result<Archive, UpError>,
) -> Result<Outcome, UpError> {
    let client = Client::new(
        &Endpoint::from(layout.containerd_socket()),
        Deadlines::default(),
    );
    let spec = ImageSpec {
        image: name.to_owned(),
        ..ImageSpec::default()
    };
    if client.image_status(spec).await?.is_some() {
        return Ok(Outcome::There);
    }
    import_patiently(&client, name, &make()?).await?;
    Ok(Outcome::Done)
}

/// Imports an image. A containerd under load that has only just started sometimes does not find
/// the stream which it has acknowledged, so a failure is tried again.
async fn import_patiently(
    client: &Client,
    name: &str,
    archive: &Archive,
) -> Result<(), ImportError> {
    // There is no registry to fetch it from again: it must not be collected.
    let options = Options {
        pinned: true,
        ..Options::default()
    };
    for _ in 1..ATTEMPTS {
        if import(client, name, archive.bytes(), &options)
            .await
            .is_ok()
        {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    import(client, name, archive.bytes(), &options).await
}
