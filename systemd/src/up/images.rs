//! Has the images there that no registry serves: pause and the demo's.

use super::{Outcome, UpError};
use crate::demo::{self, DemoError};
use crate::files;
use crate::layout::Layout;
use crate::preflight::in_path;
use keelson_cri::config::ImageSpec;
use keelson_cri::containerd::import::{ImportError, Options, import};
use keelson_cri::image::{Archive, Layer, Settings, build, pause};
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
