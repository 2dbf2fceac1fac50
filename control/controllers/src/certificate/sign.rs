//! Signs approved requests with the cluster's CA.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use keelson_client::cache::Key;
use keelson_client::runner::Outcome;
use keelson_client::{Client, Store};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use tracing::error;

use super::approve::{add_condition, replace};
use super::issue::{self, Authority, Validity};
use super::request::Request;
use super::signer;
use crate::controller::{Act, ActError, Acting, Registration, Work};
use crate::kinds::{CertificateRequest, Condition};
use crate::material;
use crate::wiring::Wiring;

/// How far a clock of another machine may be behind ours.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// A life that is shorter than this is counted from now, not from as early as it is dated back to.
const SHORT: SignedDuration = SignedDuration::from_hours(8);
/// The shortest time that may be asked for.
const SHORTEST: Duration = Duration::from_secs(600);

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "certificatesigningrequest-signing-controller",
    alias: "csrsigning",
    account: "certificate-controller",
    by_default: true,
    at_once: 5,
    build: |wiring: &mut Wiring<'_>| {
        let (certificate, key) = material::signing(wiring.options)?;
        let authority = match Authority::read(&certificate, &key) {
            Ok(authority) => authority,
            Err(error) => {
                error!(%error, "certificates are not signed");
                return None;
            }
        };
        Some(Work::act(Signer {
            client: wiring.client.clone(),
            requests: wiring.own::<CertificateRequest>(),
            authority,
            longest: wiring.options.cluster_signing_duration,
        }))
    },
};

struct Signer {
    client: Client,
    requests: Store<CertificateRequest>,
    authority: Authority,
    longest: Duration,
}

/// There are no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a serial number: the system has no random numbers")]
struct NoSerial;

impl Act for Signer {
    fn act<'a>(&'a self, key: &'a Key) -> Acting<'a> {
        Box::pin(self.work(key))
    }
}

impl Signer {
    async fn work(&self, key: &Key) -> Result<Outcome, ActError> {
        let Some(request) = self.requests.find(key) else {
            return Ok(Outcome::Settled);
        };
        let wanted = request.is("Approved") && !request.is("Denied") && !request.is("Failed");
        if !wanted
            || !request.status.certificate.is_empty()
            || !signer::is_ours(&request.spec.signer_name)
        {
            return Ok(Outcome::Settled);
        }
        let now = Timestamp::now();
        let agreed = match agreed(&request) {
            Ok(agreed) => agreed,
            Err(message) => {
                let reason = "SignerValidationFailure";
                let failed = Condition::new("Failed", true, reason, &message, now);
                return add_condition(&self.client, &request, "status", &failed).await;
            }
        };
        let validity = validity(now, request.spec.expiration_seconds, self.longest);
        let mut serial = [0; 16];
        SystemRandom::new()
            .fill(&mut serial)
            .map_err(|_| NoSerial)?;
        let usages = &request.spec.usages;
        let pem = self.authority.issue(&agreed, usages, validity, serial)?;
        let text = STANDARD.encode(pem);
        replace(&self.client, &request, "status", |object| {
            object["status"]["certificate"] = json!(text);
        })
        .await
    }
}

/// What is asked for, if the signer agrees to it.
fn agreed(request: &CertificateRequest) -> Result<Request, String> {
    let wanted = Request::read(&request.spec.request).map_err(|error| error.to_string())?;
    issue::verify(&wanted).map_err(|error| error.to_string())?;
    signer::check(&request.spec, &wanted).map_err(|error| error.to_string())?;
    Ok(wanted)
}

fn validity(now: Timestamp, seconds: Option<i32>, longest: Duration) -> Validity {
    let wanted = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let lasts = wanted.map_or(longest, |seconds| {
        Duration::from_secs(seconds).max(SHORTEST).min(longest)
    });
    let lasts = SignedDuration::try_from(lasts).unwrap_or(SignedDuration::MAX);
    // What lasts for minutes must not lose them before it begins.
    let early = if lasts < SHORT {
        SignedDuration::ZERO
    } else {
        SKEW
    };
    Validity {
        from: now.saturating_sub(SKEW).unwrap_or(now),
        until: now
            .saturating_add(lasts)
            .and_then(|end| end.saturating_sub(early))
            .unwrap_or(now),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::validity;
    use crate::given;

    #[test]
    fn certificates_last_as_long_as_asked_within_limits() {
        let check = |longest: u64, seconds: Option<i32>, expected: i64| {
            let found = validity(given::at(100_000), seconds, Duration::from_secs(longest));
            let (from, until) = (found.from.as_second(), found.until.as_second());
            assert_eq!((from, until), (99_700, 99_700 + expected), "{seconds:?}");
        };
        check(90_000, None, 90_000);
        check(90_000, Some(30_000), 30_000);
        check(90_000, Some(100_000), 90_000);
        check(90_000, Some(-1), 90_000);
        // Short ones are dated back without losing what was asked for.
        check(90_000, Some(3600), 3900);
        check(90_000, Some(1), 900);
        check(60, None, 360);
    }
}
