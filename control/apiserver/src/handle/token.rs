//! `serviceaccounts/token`: tokens of service accounts. What one says is decided in
//! `auth::service_account::request`.

use bytes::Bytes;
use hyper::StatusCode;
use ring::rand::SystemRandom;
use serde_json::Value;

use crate::admission::{self, Action, Ask};
use crate::admit::fields;
use crate::api::Api;
use crate::auth::service_account::request::decide;
use crate::auth::service_account::token_id;
use crate::failure::{Failure, Outcome};
use crate::handle::{Call, decode};
use crate::lookup::settle;
use crate::respond::Reply;

const VERSION: &str = "authentication.k8s.io/v1";

/// The request in the body.
pub(crate) fn read(call: &Call, body: &[u8]) -> Outcome<Value> {
    let (mut request, _) = decode::tree(&call.headers, body)?;
    let found = (
        fields::text(&request, "/apiVersion"),
        fields::text(&request, "/kind"),
    );
    if !matches!(found, ("" | VERSION, "" | "TokenRequest")) {
        let why = format!(
            "expected TokenRequest of {VERSION}, got {} of {}",
            found.1, found.0
        );
        return Err(Failure::bad_request(why));
    }
    let (name, namespace) = (&call.request.name, call.namespace());
    for (field, wanted) in [("name", name.as_str()), ("namespace", namespace)] {
        let own = fields::text(&request, &format!("/metadata/{field}"));
        if !own.is_empty() && own != wanted {
            return Err(Failure::bad_request(format!(
                "the {field} of the token request ({own}) does not match that on the URL ({wanted})"
            )));
        }
        fields::put(&mut request, &["metadata", field], wanted);
    }
    fields::put(&mut request, &["apiVersion"], VERSION);
    fields::put(&mut request, &["kind"], "TokenRequest");
    Ok(request)
}

/// Issues a token for a request that was let in.
pub(crate) async fn issue(
    api: &Api,
    call: &Call,
    mut request: Value,
    dry_run: bool,
) -> Outcome<Reply> {
    let Some(key) = &api.accounts.signing else {
        return Err(Failure::internal(
            "no --service-account-signing-key-file: tokens cannot be issued",
        ));
    };
    let account = api
        .registry
        .read(&call.kind, call.namespace(), &call.request.name)
        .await?;
    let now = call.now;
    fields::put(
        &mut request,
        &["metadata", "creationTimestamp"],
        now.to_string(),
    );
    let broken = |_| Failure::internal("the token could not be signed");
    let id = token_id(&SystemRandom::new()).map_err(broken)?;
    let issue = settle(&api.registry, None, |lookup| {
        let find = |plural: &str, namespace: &str, name: &str| lookup.core(plural, namespace, name);
        decide(
            &account.object,
            &request,
            &api.accounts.issuers,
            now,
            &id,
            &find,
        )
    });
    let issue = issue.await?;
    let mut answer = issue.answer;
    if !dry_run {
        let token = key.sign(&issue.claims).map_err(broken)?;
        fields::put(&mut answer, &["status", "token"], token);
    }
    Ok(Reply::value(StatusCode::CREATED, &answer).warning(issue.warnings))
}

/// Answers.
pub(crate) async fn answer(api: &Api, call: &Call, body: Bytes) -> Outcome<Reply> {
    let dry_run = super::options::dry_run(call.query.values("dryRun"))?;
    let mut request = read(call, &body)?;
    let ask = Ask {
        call,
        action: Action::Create,
        name: &call.request.name,
        namespace: call.namespace(),
        old: &Value::Null,
        dry_run,
    };
    drop(admission::mutate(api, &ask, &mut request).await?);
    admission::validate(api, &ask, &request).await?;
    issue(api, call, request, dry_run).await
}
