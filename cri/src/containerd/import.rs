//! Imports an OCI archive into containerd, so that CRI sees its images.
//!
//! The archive is streamed as containerd asks for it, over one call, while another call takes it
//! in. It must not know how archives are made.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures_util::stream;
use prost::{Message, Name};
use prost_types::Any;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;
use tonic::{Request, Status, Streaming};

use crate::client::{Client, within};
use crate::config::ImageSpec;
use crate::error::{Call, CriError};
use crate::image::manifest::architecture;
use crate::proto::containerd::services::streaming::v1::StreamInit;
use crate::proto::containerd::services::streaming::v1::streaming_client::StreamingClient;
use crate::proto::containerd::services::transfer::v1::TransferRequest;
use crate::proto::containerd::services::transfer::v1::transfer_client::TransferClient;
use crate::proto::containerd::types::Platform;
use crate::proto::containerd::types::transfer::{
    Data, ImageImportStream, ImageReference, ImageStore, UnpackConfiguration, WindowUpdate,
};

use super::CRI_NAMESPACE;

/// The label that keeps an image from being collected.
const PINNED: (&str, &str) = ("io.cri-containerd.pinned", "pinned");
/// The largest piece that is sent at once, in bytes.
const PIECE: usize = 32 * 1024;
/// A large image on a slow disk takes minutes to unpack; this is past that.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// How long to wait for the reason after the stream broke.
const REFUSAL: Duration = Duration::from_secs(5);
/// How often CRI is asked whether it has noticed a new image, and how many times.
const LOOKS: (u32, Duration) = (100, Duration::from_millis(50));

/// Why an archive was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The archive can't be read.
    #[error("importing image {image}: reading the archive: {source}")]
    Read {
        /// What was imported.
        image: String,
        /// Why.
        source: io::Error,
    },
    /// containerd refused it or went away.
    #[error("importing image {image}: {source}")]
    Runtime {
        /// What was imported.
        image: String,
        /// Why.
        source: CriError,
    },
    /// containerd took the archive, but no such image came of it.
    #[error("importing image {0}: the archive holds no image of that name for this platform")]
    NoSuchImage(String),
}

/// How to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Never collect the images.
    pub pinned: bool,
    /// The snapshotter to unpack for, as in containerd's configuration.
    pub snapshotter: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pinned: false,
            snapshotter: "overlayfs".to_owned(),
        }
    }
}

/// Imports all images of an archive (plain or compressed tar, OCI or docker) and waits until CRI
/// knows `image`, one of their full names.
///
/// Importing what is there already succeeds.
///
/// # Errors
/// See [`ImportError`].
pub async fn import(
    client: &Client,
    image: &str,
    archive: impl AsyncRead + Unpin,
    options: &Options,
) -> Result<(), ImportError> {
    let runtime = |source| ImportError::Runtime {
        image: image.to_owned(),
        source,
    };
    let work = transfer(client, image, archive, options);
    tokio::time::timeout(LIMIT, work)
        .await
        .unwrap_or_else(|_| {
            Err(runtime(CriError::DeadlineExceeded {
                call: Call::new("containerd.Transfer", image),
                after: LIMIT,
            }))
        })?;
    let known = await_known(client, image).await.map_err(runtime)?;
    known
        .then_some(())
        .ok_or_else(|| ImportError::NoSuchImage(image.to_owned()))
}

async fn transfer(
    client: &Client,
    image: &str,
    archive: impl AsyncRead + Unpin,
    options: &Options,
) -> Result<(), ImportError> {
    let call = || Call::new("containerd.Transfer", image);
    let failed = |status: Status| ImportError::Runtime {
        image: image.to_owned(),
        source: CriError::from_status(call(), client.socket().to_owned(), &status),
    };
    let id = format!("keelson-import-{:016x}", RandomState::new().hash_one(image));
    let pipe = Pipe::open(client, &id).await.map_err(failed)?;
    let request = in_namespace(TransferRequest {
        source: Some(any(&ImageImportStream {
            stream: id,
            ..Default::default()
        })),
        destination: Some(any(&destination(options))),
        options: None,
    });
    let mut transfers = TransferClient::new(client.channel());
    // The transfer's end is what counts. The pipe must stay open until then: closing it early
    // makes containerd lose what it has not read yet.
    let taken = within(None, call(), client.socket(), transfers.transfer(request));
    let mut taken = pin!(taken);
    let taken = tokio::select! {
        biased;
        taken = &mut taken => taken,
        fed = pipe.feed(archive) => match fed {
            FeedError::Read(source) => return Err(ImportError::Read { image: image.to_owned(), source }),
            // A refused archive breaks the pipe a moment before the refusal arrives.
            FeedError::Pipe(status) => tokio::time::timeout(REFUSAL, taken)
                .await
                .map_err(|_| failed(*status))?,
        },
    };
    taken.map(drop).map_err(|source| ImportError::Runtime {
        image: image.to_owned(),
        source,
    })
}

fn destination(options: &Options) -> ImageStore {
    let platform = Platform {
        os: "linux".to_owned(),
        architecture: architecture().to_string(),
        ..Default::default()
    };
    let (label, value) = PINNED;
    let pinned = options.pinned.then(|| (label.to_owned(), value.to_owned()));
    ImageStore {
        labels: BTreeMap::from_iter(pinned),
        platforms: vec![platform.clone()],
        // Any prefix will do: full names in the archive are taken as they are.
        extra_references: vec![ImageReference {
            name: "localhost/import".to_owned(),
            is_prefix: true,
            allow_overwrite: true,
            ..Default::default()
        }],
        unpacks: vec![UnpackConfiguration {
            platform: Some(platform),
            snapshotter: options.snapshotter.clone(),
        }],
        ..Default::default()
    }
}

/// CRI learns of new images from containerd's own events, a moment later.
async fn await_known(client: &Client, image: &str) -> Result<bool, CriError> {
    let (looks, pause) = LOOKS;
    for _ in 0..looks {
        let spec = ImageSpec {
            image: image.to_owned(),
            ..Default::default()
        };
        if client.image_status(spec).await?.is_some() {
            return Ok(true);
        }
        tokio::time::sleep(pause).await;
    }
    Ok(false)
}

fn in_namespace<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let namespace = MetadataValue::from_static(CRI_NAMESPACE);
    request
        .metadata_mut()
        .insert("containerd-namespace", namespace);
    request
}

/// containerd names types without the usual prefix.
fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::full_name(),
        value: message.encode_to_vec(),
    }
}

/// Why feeding ended.
enum FeedError {
    Read(io::Error),
    Pipe(Box<Status>),
}

/// A stream of bytes to containerd.
struct Pipe {
    sender: mpsc::Sender<Any>,
    replies: Streaming<Any>,
}

impl Pipe {
    /// Opens it and waits until containerd knows it by its id.
    async fn open(client: &Client, id: &str) -> Result<Self, Status> {
        let (sender, receiver) = mpsc::channel(1);
        let messages = stream::unfold(receiver, |mut receiver| async move {
            let message = receiver.recv().await?;
            Some((message, receiver))
        });
        let init = any(&StreamInit { id: id.to_owned() });
        let mut streams = StreamingClient::new(client.channel());
        let opened = streams.stream(in_namespace(messages));
        let (_, opened) = tokio::join!(sender.send(init), opened);
        let mut replies = opened?.into_inner();
        replies.message().await?;
        Ok(Self { sender, replies })
    }

    /// Sends the archive as fast as containerd asks for it, then keeps the stream open. It never
    /// ends well by itself: the transfer does.
    async fn feed(self, mut archive: impl AsyncRead + Unpin) -> FeedError {
        let Self {
            sender,
            mut replies,
        } = self;
        let ended = send_all(&sender, &mut replies, &mut archive).await;
        drop(sender);
        match ended {
            Ok(()) => drain(replies).await,
            Err(error) => error,
        }
    }
}

async fn send_all(
    sender: &mpsc::Sender<Any>,
    replies: &mut Streaming<Any>,
    archive: &mut (impl AsyncRead + Unpin),
) -> Result<(), FeedError> {
    let mut window = 0_usize;
    let mut piece = vec![0; PIECE];
    loop {
        while window == 0 {
            window += next_window(replies).await?;
        }
        let room = window.min(PIECE);
        let read = archive.read(&mut piece[..room]).await;
        let read = read.map_err(FeedError::Read)?;
        if read == 0 {
            return Ok(());
        }
        window -= read;
        let data = Data {
            data: piece[..read].to_vec(),
        };
        // A closed stream shows itself in the replies.
        if sender.send(any(&data)).await.is_err() {
            next_window(replies).await?;
        }
    }
}

async fn next_window(replies: &mut Streaming<Any>) -> Result<usize, FeedError> {
    let reply = replies.message().await.map_err(Box::new);
    let Some(reply) = reply.map_err(FeedError::Pipe)? else {
        // containerd has enough; the transfer says whether that is good.
        return std::future::pending().await;
    };
    let update = WindowUpdate::decode(reply.value.as_slice())
        .map_err(|error| FeedError::Pipe(Box::new(Status::internal(error.to_string()))))?;
    Ok(usize::try_from(update.update).unwrap_or(0))
}

/// Reads replies to their end and then waits to be dropped.
async fn drain(mut replies: Streaming<Any>) -> FeedError {
    loop {
        match replies.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return std::future::pending().await,
            Err(status) => return FeedError::Pipe(Box::new(status)),
        }
    }
}

/// The archive in a file, for [`import`].
///
/// # Errors
/// When the file can't be opened.
pub async fn open(image: &str, path: &Path) -> Result<impl AsyncRead + Unpin + use<>, ImportError> {
    tokio::fs::File::open(path)
        .await
        .map_err(|source| ImportError::Read {
            image: image.to_owned(),
            source,
        })
}
