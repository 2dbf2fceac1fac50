//! `keelson image`: builds and imports images without a registry.

use crate::files::{FileError, put};
use clap::{Args, Subcommand};
use keelson_cri::containerd::import::{self as containerd, ImportError, Options, open};
use keelson_cri::image::{Archive, ImageError, Layer, LayerError, Settings, build, pause};
use keelson_cri::{Client, Deadlines, Endpoint};
use std::path::PathBuf;

/// What to do with images.
#[derive(Subcommand)]
pub enum Image {
    /// Build an OCI archive of the files below a folder
    Build(Build),
    /// Build the image of the pods' pause program
    Pause(Pause),
    /// Put an archive's images into a containerd
    Import(Import),
}

/// What an image is made of.
#[derive(Args)]
pub struct Build {
    /// The image's full name, with registry and tag: localhost/demo/web:1
    #[arg(long)]
    tag: String,
    /// The program to run, a word each
    #[arg(long, num_args = 1.., value_name = "WORD", value_terminator = "--")]
    entrypoint: Vec<String>,
    /// A variable of its environment, NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Its working folder
    #[arg(long, default_value = "/")]
    workdir: String,
    /// The user it runs as, by number or name
    #[arg(long, default_value = "")]
    user: String,
    /// The folder that becomes its root
    rootfs: PathBuf,
    /// The archive to write
    archive: PathBuf,
}

/// Where the pause image goes.
#[derive(Args)]
pub struct Pause {
    /// The image's full name
    #[arg(long, default_value = pause::NAME)]
    tag: String,
    /// The archive to write
    archive: PathBuf,
}

/// What is imported, and where.
#[derive(Args)]
pub struct Import {
    /// The full name of the image in it
    #[arg(long)]
    tag: String,
    /// containerd's socket
    #[arg(long, default_value = "/run/keelson/containerd/containerd.sock")]
    socket: PathBuf,
    /// The archive to read
    archive: PathBuf,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageCommandError {
    /// A file of it cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Its description is not sound.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The archive cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// containerd did not take it.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Does it.
///
/// # Errors
/// When a file cannot be read or written, or containerd refuses the archive.
pub async fn run(image: Image) -> Result<(), ImageCommandError> {
    match image {
        Image::Build(args) => {
            let settings = Settings {
                entrypoint: args.entrypoint,
                env: args.env,
                working_dir: args.workdir,
                user: args.user,
                ..Settings::default()
            };
            write(
                &build(&args.tag, &[Layer::from_folder(&args.rootfs)?], &settings)?,
                args.archive,
            )
        }
        Image::Pause(args) => write(&pause::archive(&args.tag)?, args.archive),
        Image::Import(args) => import(args).await,
    }
}

async fn import(args: Import) -> Result<(), ImageCommandError> {
    let client = Client::new(&Endpoint::from(args.socket), Deadlines::default());
    let archive = open(&args.tag, &args.archive).await?;
    containerd::import(&client, &args.tag, archive, &Options::default()).await?;
    println!("{} is there", args.tag);
    Ok(())
}

fn write(archive: &Archive, path: PathBuf) -> Result<(), ImageCommandError> {
    put(&path, archive.bytes(), 0o644)?;
    println!(
        "{} {} -> {}",
        archive.name(),
        archive.digest(),
        path.display()
    );
    Ok(())
}
