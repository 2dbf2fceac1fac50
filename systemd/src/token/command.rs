//! `keelson token`: makes, lists and deletes bootstrap tokens, by their Secrets.

use super::{KIND, Kept, NAMESPACE, Terms, Token, TokenError, USAGES, is_id, secret, secret_name};
use crate::api;
use crate::cluster::welcome::JOINING;
use crate::join::hash::CaHash;
use crate::join::pin::address;
use crate::layout::Layout;
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use keelson_client::kubeconfig::{Config, KubeconfigError, Pem};
use keelson_client::request::{DeleteOptions, ListOptions, Selection};
use keelson_client::{Client, Error, Resource};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::de::IgnoredAny;
use std::path::{Path, PathBuf};

/// Tokens by which machines join the cluster
#[derive(Subcommand)]
pub enum Command {
    /// Make one, and print it
    Create(Create),
    /// Print them all
    List(Where),
    /// Have some be good no more
    Delete(Delete),
}

/// Whose tokens.
#[derive(Args)]
pub struct Where {
    /// All files of the cluster's machine are below this folder
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// The administrator's kubeconfig, instead of this machine's
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// What is made.
#[derive(Args)]
pub struct Create {
    /// The token, instead of one by chance
    token: Option<Token>,
    /// How long it is good; 0 for ever
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    ttl: SignedDuration,
    /// A word for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// What it is for
    #[arg(long, value_name = "USAGE", value_delimiter = ',', default_values = USAGES, value_parser = USAGES)]
    usages: Vec<String>,
    /// Groups of who comes with it
    #[arg(long, value_name = "GROUP", value_delimiter = ',', default_value = JOINING)]
    groups: Vec<String>,
    /// Print the whole command that another machine joins by
    #[arg(long)]
    print_join_command: bool,
    #[command(flatten)]
    place: Where,
}

/// What is deleted.
#[derive(Args)]
pub struct Delete {
    /// Tokens, or their first six letters
    #[arg(required = true, value_name = "TOKEN")]
    tokens: Vec<String>,
    #[command(flatten)]
    place: Where,
}

/// The longest life that is taken for meant, a hundred years: the end of a longer one may be no date,
/// and a token must not last for ever because of that.
const LONGEST: SignedDuration = SignedDuration::from_hours(100 * 365 * 24);

/// A duration as `24h0m0s`; 0 needs no unit.
fn duration(text: &str) -> Result<SignedDuration, String> {
    if text == "0" {
        return Ok(SignedDuration::ZERO);
    }
    match text.parse::<SignedDuration>() {
        Ok(span) if !span.is_negative() && span <= LONGEST => Ok(span),
        _ => {
            Err("write a duration such as 24h or 30m, at most 100 years, or 0 for ever".to_owned())
        }
    }
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no administrator's kubeconfig.
    #[error("{0}: run this where `keelson up` made the cluster, or name one by --kubeconfig")]
    Kubeconfig(#[from] KubeconfigError),
    /// The API server refused.
    #[error("token: {0}")]
    Api(#[from] Error),
    /// A word is no token.
    #[error("{0:?}: {TokenError}")]
    NoToken(String),
    /// There is one with this id already.
    #[error("there is a token with the id {0} already: `keelson token delete {0}` first")]
    Exists(String),
    /// There is none.
    #[error("there is no token with the id {0}: `keelson token list` prints them")]
    Absent(String),
    /// The kernel gives no random bytes.
    #[error("make a token: {0}")]
    Random(std::io::Error),
    /// Nobody could be told whom to believe.
    #[error("{0:?} names no authority's certificate, so that nobody could join by it")]
    NoAuthority(PathBuf),
}

/// Secrets.
const SECRETS: Resource = Resource::fixed("", "v1", "secrets", "Secret", true);

impl Where {
    fn path(&self) -> PathBuf {
        let root = std::path::absolute(&self.root).unwrap_or_else(|_| self.root.clone());
        let usual = || Layout::new(&root).kubeconfig("admin");
        self.kubeconfig.clone().unwrap_or_else(usual)
    }

    fn client(&self) -> Result<Client, CommandError> {
        Ok(api::client(&self.path())?)
    }
}

/// Does one of them.
///
/// # Errors
/// See [`CommandError`].
pub async fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Create(create) => {
            println!("{}", create.run().await?);
            Ok(())
        }
        Command::List(place) => list(&place.client()?).await,
        Command::Delete(delete) => {
            let client = delete.place.client()?;
            for word in &delete.tokens {
                forget(&client, word).await?;
            }
            Ok(())
        }
    }
}

impl Create {
    async fn run(self) -> Result<String, CommandError> {
        let path = self.place.path();
        let client = self.place.client()?;
        // Before anything is made.
        let join = self.print_join_command.then(|| way_in(&path)).transpose()?;
        let token = match self.token {
            Some(token) => token,
            None => Token::random().map_err(CommandError::Random)?,
        };
        let until = Timestamp::now().checked_add(self.ttl).ok();
        let until = until.and_then(|until| Timestamp::from_second(until.as_second()).ok());
        let terms = Terms {
            until: until.filter(|_| !self.ttl.is_zero()),
            description: self.description,
            usages: self.usages,
            groups: self.groups,
        };
        let made: Result<IgnoredAny, Error> = client
            .create(&SECRETS.within(NAMESPACE), &secret(&token, &terms))
            .await;
        match made {
            Err(error) if error.is_already_exists() => Err(CommandError::Exists(token.id)),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(match join {
                Some((server, hash)) => {
                    format!("keelson join {server} --token {token} --ca-hash {hash}")
                }
                None => token.to_string(),
            }),
        }
    }
}

/// Where the cluster of a kubeconfig is, and whom its servers are vouched for by.
fn way_in(path: &Path) -> Result<(String, CaHash), CommandError> {
    let config = Config::from_file(path)?;
    let nobody = || CommandError::NoAuthority(path.to_owned());
    let text = match &config.ca {
        Some(Pem::Inline(text)) => text.clone(),
        Some(Pem::File(file)) => std::fs::read(file).map_err(|_| nobody())?,
        None => return Err(nobody()),
    };
    let certificate = CertificateDer::from_pem_slice(&text).map_err(|_| nobody())?;
    let hash = CaHash::of(&certificate).ok_or_else(nobody)?;
    let server = config.servers.first().ok_or_else(nobody)?;
    Ok((address(server), hash))
}

async fn list(client: &Client) -> Result<(), CommandError> {
    let options = ListOptions {
        selection: Selection {
            fields: format!("type={KIND}"),
            ..Selection::default()
        },
        ..ListOptions::default()
    };
    let kept = client
        .list::<Kept>(&SECRETS.within(NAMESPACE), &options)
        .await?;
    let now = Timestamp::now();
    let head = [
        "TOKEN",
        "TTL",
        "EXPIRES",
        "USAGES",
        "DESCRIPTION",
        "EXTRA GROUPS",
    ];
    let rows = kept.items.iter().map(|one| one.row(now));
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    print!("{}", crate::pod_table::columns(&rows));
    Ok(())
}

async fn forget(client: &Client, word: &str) -> Result<(), CommandError> {
    let id = word.split('.').next().unwrap_or_default();
    if !is_id(id) {
        return Err(CommandError::NoToken(word.to_owned()));
    }
    let path = SECRETS.named(NAMESPACE, &secret_name(id));
    match client.delete(&path, &DeleteOptions::default()).await {
        Ok(()) => {
            println!("token {id} is good no more");
            Ok(())
        }
        Err(error) if error.is_not_found() => Err(CommandError::Absent(id.to_owned())),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_of_tokens() {
        for (text, hours) in [("0", 0), ("24h0m0s", 24), ("876000h", 876_000)] {
            let expected = Ok(SignedDuration::from_hours(hours));
            assert_eq!(duration(text), expected, "{text}");
        }
        for text in ["", "-1h", "tomorrow", "876001h", "2000000000000h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
