//! Renews a certificate before it ends, for as long as the node runs.

use std::time::Duration;

use jiff::Timestamp;
use keelson_client::Client;
use keelson_client::backoff::Jitter;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::BACKOFF;
use super::enrol::{Wish, enrol};
use super::pem_store::PemStore;
use keelson_client::validity::Validity;

/// The longest sleep in one go: a clock that is set forward is noticed.
const LONGEST: Duration = Duration::from_secs(600);
/// With this share of its life left, an old certificate is told of.
const TROUBLE: f64 = 0.1;

/// Keeps one certificate fresh.
#[derive(Debug)]
pub struct Keeper {
    /// Who signs. A client that shows the certificate that is renewed takes the new one by itself.
    pub client: Client,
    /// What is asked for.
    pub wish: Wish,
    /// Where it is kept.
    pub store: PemStore,
    /// Told when the certificate is about to end, or has, and empty again when there is a new one.
    pub trouble: watch::Sender<Option<String>>,
}

impl Keeper {
    /// One for a certificate.
    #[must_use]
    pub fn new(
        client: Client,
        wish: Wish,
        store: PemStore,
        trouble: watch::Sender<Option<String>>,
    ) -> Self {
        Self {
            client,
            wish,
            store,
            trouble,
        }
    }

    /// Runs until the token is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&self) {
        let mut jitter = Jitter::seeded();
        let mut failures = 0;
        let mut random = jitter.fraction();
        let mut since = Timestamp::MIN;
        loop {
            let now = Timestamp::now();
            let validity = self.store.validity();
            self.tell(validity, now);
            let signed = validity.filter(|_| !self.store.holds_makeshift());
            let wait = signed.and_then(|validity| wait(validity.since(since), random, now));
            if let Some(wait) = wait {
                sleep(wait).await;
                continue;
            }
            match self.renew().await {
                Ok(()) => {
                    (failures, random) = (0, jitter.fraction());
                    since = Timestamp::now();
                    self.client.reconnect();
                }
                Err(error) => {
                    let signer = self.wish.signer;
                    tracing::warn!(signer, %error, "the certificate is not renewed yet");
                    sleep(jitter.stretch(BACKOFF.after(failures), 0.1)).await;
                    failures += 1;
                }
            }
        }
    }

    async fn renew(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let pair = enrol(&self.client, &self.wish).await?;
        self.store.store(&pair)?;
        tracing::info!(signer = self.wish.signer, "the certificate is renewed");
        Ok(())
    }

    fn tell(&self, validity: Option<Validity>, now: Timestamp) {
        let trouble = validity.and_then(|validity| trouble(validity, now));
        self.trouble.send_if_modified(|told| {
            let changed = *told != trouble;
            *told = trouble;
            changed
        });
    }
}

/// How long to wait before the next look; nothing if the next certificate is due.
fn wait(validity: Validity, random: f64, now: Timestamp) -> Option<Duration> {
    let left = validity.rotation(random).duration_since(now);
    let left = Duration::try_from(left)
        .ok()
        .filter(|left| !left.is_zero())?;
    Some(left.min(LONGEST))
}

/// What there is to tell of a certificate that was not renewed in time.
fn trouble(validity: Validity, now: Timestamp) -> Option<String> {
    let life = validity.until.duration_since(validity.from).as_secs_f64();
    let left = validity.until.duration_since(now).as_secs_f64();
    if left <= 0.0 {
        return Some(format!(
            "the client certificate expired at {}",
            validity.until
        ));
    }
    let text = || format!("the client certificate expires at {}", validity.until);
    (left < life * TROUBLE).then(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    #[test]
    fn when_to_renew_and_when_to_tell() {
        let validity = Validity {
            from: at(0),
            until: at(100),
        };
        let check = |hour, expected_wait: Option<u64>, told: &str| {
            let found = wait(validity, 0.0, at(hour)).map(|wait| wait.as_secs());
            assert_eq!(found, expected_wait, "{hour}");
            let found = trouble(validity, at(hour)).unwrap_or_default();
            assert!(
                found.contains(told) && found.is_empty() == told.is_empty(),
                "{found}"
            );
        };
        check(0, Some(600), "");
        check(69, Some(600), "");
        check(70, None, "");
        check(91, None, "expires at");
        check(100, None, "expired at");
    }
}
