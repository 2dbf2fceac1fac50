//! Admission as this server runs it: plugins and webhooks in their order, with what the caches
//! hold, and quotas written. What is let in is decided in `admit`.

use std::sync::Arc;

use keelson_api::status_error::Reason;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::admission::{Action, Admission, Ask, Deciding};
use crate::admit::webhook::{self, Hook, Kind};
use crate::admit::{Chain, Notes, Operation, Phase, Request, View, fields, resource_quota};
use crate::admit_metrics::AdmitMetrics;
use crate::api::Api;
use crate::auth::User;
use crate::auth::authorize::{Attributes, Decision, What};
use crate::auth::authorizer::Loaded;
use crate::auth::escalation;
use crate::call_webhook;
use crate::failure::{Failure, Outcome};
use crate::kinds::Kind as Served;
use crate::lookup::{Lookup, settle};
use crate::registry::{Next, metadata};

/// The chain of plugins and webhooks, and how long they took.
pub(crate) struct Gate {
    pub(crate) chain: Chain,
    pub(crate) metrics: Arc<AdmitMetrics>,
}

/// A request on its way through the gate.
struct Passing<'a> {
    api: &'a Api,
    rights: Loaded<'a>,
    request: Request<'a>,
}

fn operation(action: Action) -> Operation {
    match action {
        Action::Create => Operation::Create,
        Action::Update => Operation::Update,
        Action::Delete => Operation::Delete,
        Action::Connect => Operation::Connect,
    }
}

/// Group, version and kind of the body.
fn body<'a>(ask: &Ask<'a>) -> (&'a str, &'a str, &'a str) {
    let (kind, part) = (&ask.call.kind, &*ask.call.request.subresource);
    let own = (&*kind.group, &*kind.version, &*kind.kind);
    let part = kind.subresources.iter().find(|one| one.name == part);
    part.map_or(own, |one| (&*one.group, &*one.version, &*one.kind))
}

/// The options of the request, as webhooks see them.
fn options(ask: &Ask<'_>) -> Value {
    let kind = match ask.action {
        Action::Create => "CreateOptions",
        Action::Update => "UpdateOptions",
        Action::Delete => "DeleteOptions",
        Action::Connect => return Value::Null,
    };
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    if ask.dry_run {
        options["dryRun"] = json!(["All"]);
    }
    options
}

impl<'a> Passing<'a> {
    async fn begin(
        gate: &'a Gate,
        api: &'a Api,
        ask: &'a Ask<'a>,
        options: &'a Value,
    ) -> Outcome<Self> {
        let call = ask.call;
        Ok(Self {
            api,
            rights: api.authorizer.load(&api.registry, &call.user).await?,
            request: Request {
                operation: operation(ask.action),
                group: &call.kind.group,
                version: &call.kind.version,
                body: body(ask),
                resource: &call.kind.plural,
                subresource: &call.request.subresource,
                namespace: if &*call.kind.plural == "namespaces" {
                    ""
                } else {
                    ask.namespace
                },
                name: ask.name,
                user: &call.user,
                dry_run: ask.dry_run,
                old: ask.old,
                options,
                settings: &gate.chain.settings,
            },
        })
    }

    async fn settle<T>(&self, decide: impl FnMut(&Lookup<'_>) -> Outcome<T>) -> Outcome<T> {
        settle(&self.api.registry, Some(&self.rights), decide).await
    }

    /// The webhooks that are asked.
    async fn hooks(&self, kind: Kind, ask: &Ask<'_>, object: &Value) -> Outcome<Vec<Hook>> {
        let twins = || self.api.registry.kinds.twins(&ask.call.kind);
        self.settle(|lookup| webhook::plan(kind, &self.request, object, lookup, &twins))
            .await
    }

    fn allows(&self, verb: &str, what: What<'_>) -> bool {
        let user: &User = self.request.user;
        let wanted = Attributes { user, verb, what };
        matches!(self.rights.decide(&wanted, None), Decision::Allow(_))
    }

    /// Nobody grants more than they have.
    async fn check_escalation(&self, object: &Value) -> Outcome<()> {
        let request = &self.request;
        let Some((verb, what)) = escalation::sufficient(request, object) else {
            return Ok(());
        };
        if self.allows(verb, what) {
            return Ok(());
        }
        let (authorizer, registry) = (&self.api.authorizer, &self.api.registry);
        let check = authorizer.with_policy(registry, |policy| {
            escalation::check(request, object, policy)
        });
        check.await?
    }

    /// The quotas of the namespace as the store has them, without those that are charged already.
    async fn quotas(&self, kind: &Served, charged: &[String]) -> Outcome<Vec<Value>> {
        let namespace = self.request.namespace;
        let known = self.settle(|lookup| Ok(lookup.list("", "resourcequotas", namespace)));
        let mut quotas = Vec::new();
        for quota in known.await? {
            let name = fields::name(&quota);
            if charged.iter().any(|done| done == name) {
                continue;
            }
            match self.api.registry.read(kind, namespace, name).await {
                Ok(found) => quotas.push(found.object),
                Err(failure) if failure.is(Reason::NotFound) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(quotas)
    }

    /// Writes a quota, unless it has changed since it was read.
    async fn write(&self, kind: &Served, name: &str, quota: Value) -> Outcome<bool> {
        let registry = &self.api.registry;
        let attempt = registry.attempt(kind, self.request.namespace, name);
        let mut attempt = attempt.await?;
        let version = |object| metadata::text(object, "resourceVersion");
        if version(&attempt.current.object) != version(&quota) {
            return Ok(false);
        }
        Ok(attempt.commit(Next::Put(quota)).await?.is_some())
    }

    /// Charges the quotas of the namespace: each is written where it has not changed meanwhile.
    async fn charge(&self, object: &Value) -> Outcome<()> {
        let (registry, request) = (&self.api.registry, &self.request);
        if !resource_quota::is_counted(request) {
            return Ok(());
        }
        let kind = registry.builtin("", "resourcequotas")?;
        let mut charged: Vec<String> = Vec::new();
        for _ in 0..resource_quota::ATTEMPTS {
            let quotas = self.quotas(kind, &charged).await?;
            if quotas.is_empty() {
                return Ok(());
            }
            let planned = self.settle(|lookup| {
                let view = Newest {
                    lookup,
                    quotas: &quotas,
                };
                resource_quota::plan(request, object, &view)
            });
            let planned = planned.await?;
            if request.dry_run {
                return Ok(());
            }
            let all = charged.len() + planned.len();
            for quota in planned {
                let name = fields::name(&quota).to_owned();
                if self.write(kind, &name, quota).await? {
                    charged.push(name);
                }
            }
            if charged.len() == all {
                return Ok(());
            }
        }
        Err(Failure::stale("", "resourcequotas", ""))
    }
}

/// The caches, and quotas as the store has them.
struct Newest<'a> {
    lookup: &'a Lookup<'a>,
    quotas: &'a [Value],
}

impl View for Newest<'_> {
    fn find(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.lookup.find(group, resource, namespace, name)
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value> {
        if (group, resource) == ("", "resourcequotas") {
            return self.quotas.to_vec();
        }
        self.lookup.list(group, resource, namespace)
    }

    fn allows(&self, user: &User, verb: &str, what: What<'_>) -> bool {
        self.lookup.allows(user, verb, what)
    }

    fn plural(&self, api_version: &str, kind: &str) -> Option<(String, String, bool)> {
        self.lookup.plural(api_version, kind)
    }
}

impl Gate {
    async fn change(&self, api: &Api, ask: &Ask<'_>, object: &mut Value) -> Outcome<Vec<String>> {
        let options = options(ask);
        let passing = Passing::begin(self, api, ask, &options).await?;
        self.plugins_change(&passing, object).await?;
        if !self.chain.mutating_webhooks {
            return Ok(Vec::new());
        }
        let request = &passing.request;
        let hooks = passing.hooks(Kind::Mutating, ask, object).await?;
        if hooks.is_empty() {
            return Ok(Vec::new());
        }
        let before = object.clone();
        let (mut notes, kind) = (Notes::default(), &ask.call.kind);
        let settle = |changed: &mut Value| {
            if request.subresource.is_empty() {
                (kind.strategy.defaults)(changed);
            }
            Ok(())
        };
        call_webhook::mutate(&hooks, request, object, &mut notes, &settle, &self.metrics).await?;
        if *object != before {
            self.plugins_change(&passing, object).await?;
        }
        Ok(notes.warnings)
    }

    async fn plugins_change(&self, passing: &Passing<'_>, object: &mut Value) -> Outcome<()> {
        let (begun, operation) = (Instant::now(), passing.request.operation);
        let changed = passing.settle(|lookup| {
            let mut changed = object.clone();
            for plugin in self.chain.plugins(Phase::Mutate, operation) {
                let begun = Instant::now();
                let outcome = plugin.change(&passing.request, &mut changed, lookup);
                let took = begun.elapsed();
                self.metrics.plugin(
                    plugin.name,
                    Phase::Mutate,
                    operation,
                    outcome.is_err(),
                    took,
                );
                outcome?;
            }
            Ok(changed)
        });
        let changed = changed.await;
        let rejected = changed.is_err();
        self.metrics
            .step(Phase::Mutate, operation, rejected, begun.elapsed());
        *object = changed?;
        Ok(())
    }

    async fn judge(&self, api: &Api, ask: &Ask<'_>, object: &Value) -> Outcome<Vec<String>> {
        let options = options(ask);
        let passing = Passing::begin(self, api, ask, &options).await?;
        let request = &passing.request;
        if matches!(request.operation, Operation::Create | Operation::Update) {
            passing.check_escalation(object).await?;
        }
        let mut notes = self.plugins_judge(&passing, object).await?;
        if self.chain.validating_webhooks {
            let hooks = passing.hooks(Kind::Validating, ask, object).await?;
            call_webhook::validate(hooks, request, object, &mut notes, &self.metrics).await?;
        }
        if self.chain.quota {
            passing.charge(object).await?;
        }
        Ok(notes.warnings)
    }

    async fn plugins_judge(&self, passing: &Passing<'_>, object: &Value) -> Outcome<Notes> {
        let (begun, operation) = (Instant::now(), passing.request.operation);
        let judged = passing.settle(|lookup| {
            let mut notes = Notes::default();
            for plugin in self.chain.plugins(Phase::Validate, operation) {
                let begun = Instant::now();
                let outcome = plugin.judge(&passing.request, object, lookup, &mut notes);
                let took = begun.elapsed();
                self.metrics.plugin(
                    plugin.name,
                    Phase::Validate,
                    operation,
                    outcome.is_err(),
                    took,
                );
                outcome?;
            }
            Ok(notes)
        });
        let judged = judged.await;
        self.metrics
            .step(Phase::Validate, operation, judged.is_err(), begun.elapsed());
        judged
    }
}

impl Admission for Gate {
    fn mutate<'a>(
        &'a self,
        api: &'a Api,
        ask: &'a Ask<'a>,
        object: &'a mut Value,
    ) -> Deciding<'a, Vec<String>> {
        Box::pin(self.change(api, ask, object))
    }

    fn validate<'a>(
        &'a self,
        api: &'a Api,
        ask: &'a Ask<'a>,
        object: &'a Value,
    ) -> Deciding<'a, Vec<String>> {
        Box::pin(self.judge(api, ask, object))
    }
}
