//! `keelson snapshot`: the command line over saving, looking at and restoring. It must not know how
//! any of them is done.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use super::restore::{restore_embedded, restore_etcd};
use super::save::{file_error, save_embedded, save_etcd};
use super::{Error, Summary, verify};
use crate::Error as StoreError;
use crate::etcd::{EtcdStore, Options, Tls};

/// Saves, shows and restores what the API server keeps.
///
/// A snapshot holds every object as of one moment, in one file with a hash at its end. It can be
/// taken while the server runs, and be restored into either kind of store: a folder of this machine
/// or an etcd cluster.
#[derive(Debug, Parser)]
#[command(name = "keelson snapshot", disable_help_subcommand = true)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Save the store to FILE, which must not exist.
    Save {
        /// The file to write.
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Check FILE from end to end and say what is in it.
    Status {
        /// The file to read.
        file: PathBuf,
    },
    /// Make a store of FILE where there is none yet; the server must be stopped.
    Restore {
        /// The file to read.
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
}

/// Which store.
#[derive(Args, Debug)]
struct Place {
    /// The folder of the embedded store, as the server's --data-dir has it.
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "/var/lib/keelson/apiserver"
    )]
    data_dir: PathBuf,
    /// Members of an etcd cluster, instead of the embedded store.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        conflicts_with = "data_dir"
    )]
    etcd_servers: Vec<String>,
    /// Who signed the members' certificates.
    #[arg(long, value_name = "FILE", requires = "etcd_servers")]
    etcd_cafile: Option<PathBuf>,
    /// Our certificate for etcd.
    #[arg(long, value_name = "FILE", requires_all = ["etcd_keyfile", "etcd_cafile"])]
    etcd_certfile: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    etcd_keyfile: Option<PathBuf>,
}

/// Runs `keelson snapshot` with what follows the word.
#[must_use]
pub fn main(args: &[OsString]) -> ExitCode {
    let name = OsString::from("keelson snapshot");
    match Command::try_parse_from(std::iter::once(name).chain(args.iter().cloned())) {
        Ok(command) => match run(command.verb) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("keelson snapshot: {error}");
                ExitCode::FAILURE
            }
        },
        Err(answer) => {
            // Help is an answer too; clap knows where each is printed.
            let _ = answer.print();
            ExitCode::from(u8::from(answer.use_stderr()) * 2)
        }
    }
}

fn run(verb: Verb) -> Result<String, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| StoreError::Unavailable {
        reason: error.to_string(),
    })?;
    runtime.block_on(async {
        match verb {
            Verb::Save { file, place } => Ok(render("saved", &file, &save(&file, &place).await?)),
            Verb::Status { file } => Ok(render("is whole", &file, &verify(&file)?)),
            Verb::Restore { file, place } => {
                Ok(render("restored", &file, &restore(&file, &place).await?))
            }
        }
    })
}

async fn save(file: &Path, place: &Place) -> Result<Summary, Error> {
    match cluster(place)? {
        Some(store) => save_etcd(&store, file).await,
        None => save_embedded(&place.data_dir, file),
    }
}

async fn restore(file: &Path, place: &Place) -> Result<Summary, Error> {
    match cluster(place)? {
        Some(store) => restore_etcd(file, &store).await,
        None => restore_embedded(file, &place.data_dir),
    }
}

fn cluster(place: &Place) -> Result<Option<EtcdStore>, Error> {
    if place.etcd_servers.is_empty() {
        return Ok(None);
    }
    let text = |path: &PathBuf| {
        fs::read_to_string(path).map_err(|source| file_error("reading", path, source))
    };
    let identity = place
        .etcd_certfile
        .as_ref()
        .zip(place.etcd_keyfile.as_ref());
    let identity = match identity {
        Some((certificate, key)) => Some((text(certificate)?, text(key)?)),
        None => None,
    };
    let tls = place.etcd_cafile.as_ref().map(text).transpose()?;
    Ok(Some(EtcdStore::new(&Options {
        endpoints: place.etcd_servers.clone(),
        tls: tls.map(|authority| Tls {
            authority,
            identity,
        }),
    })?))
}

fn render(done: &str, file: &Path, summary: &Summary) -> String {
    format!(
        "{} {done}\nrevision: {}\nkeys:     {}\nsize:     {} bytes\nsha256:   {}\n",
        file.display(),
        summary.revision,
        summary.keys,
        summary.size,
        summary.hash,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_checked() {
        let check = |line: &str, good: bool| {
            let words = line.split_whitespace();
            let parsed = Command::try_parse_from(std::iter::once("snapshot").chain(words));
            assert_eq!(parsed.is_ok(), good, "{line:?}: {parsed:?}");
        };
        check("save file", true);
        check("save", false);
        check("status file", true);
        check("restore file --data-dir=/x", true);
        check("save file --etcd-servers=http://a,http://b", true);
        check("save file --etcd-servers=http://a --data-dir=/x", false);
        check("save file --etcd-cafile=ca", false);
        check("save file --etcd-servers=http://a --etcd-certfile=c", false);
        check("drop file", false);
    }

    #[test]
    fn saves_shows_and_restores() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let store = crate::embedded::EmbeddedStore::open(
            &folder.path().join("data"),
            crate::embedded::Options::default(),
        );
        drop(store.unwrap());
        let run = |words: &[&str]| {
            let command = Command::try_parse_from(["snapshot"].iter().chain(words)).unwrap();
            run(command.verb).map_err(|error| error.to_string())
        };
        let (file, data, other) = (path("file"), path("data"), path("other"));
        let saved = run(&["save", &file, "--data-dir", &data]).unwrap();
        assert!(saved.contains("keys:     0\n"), "{saved}");
        assert!(run(&["status", &file]).unwrap().contains("is whole"));
        assert!(
            run(&["restore", &file, "--data-dir", &other])
                .unwrap()
                .contains("restored")
        );
        let refused = run(&["restore", &file, "--data-dir", &other]).unwrap_err();
        assert!(refused.contains("is not empty"), "{refused}");
        let missing = run(&["status", &path("nothing")]).unwrap_err();
        assert!(missing.contains("nothing"), "{missing}");
    }
}
