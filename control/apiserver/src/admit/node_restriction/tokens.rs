//! Tokens that a kubelet asks for: bound to one of its pods, for an audience that the pod names.
//! Pure.

use serde_json::Value;

use super::Ask;
use crate::admit::{Operation, fields};
use crate::auth::authorize::What;
use crate::failure::{Failure, Outcome};

pub(super) fn decide(ask: &Ask<'_>) -> Outcome<()> {
    if ask.operation() != Operation::Create {
        return Ok(());
    }
    let reference = fields::value(ask.object, "/spec/boundObjectRef");
    let parts = ["/apiVersion", "/kind"].map(|path| fields::text(reference, path));
    let (name, uid) = (
        fields::text(reference, "/name"),
        fields::text(reference, "/uid"),
    );
    ask.need(parts == ["v1", "Pod"] && !name.is_empty(), || {
        "node requested token not bound to a pod".to_owned()
    })?;
    ask.need(!uid.is_empty(), || {
        "node requested token with a pod binding without a uid".to_owned()
    })?;
    let Some(pod) = ask.view.find("", "pods", ask.request.namespace, name) else {
        return Err(Failure::not_found("", "pods", name));
    };
    let own = fields::text(&pod, "/metadata/uid");
    ask.need(own == uid, || {
        format!("the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated")
    })?;
    ask.need(fields::text(&pod, "/spec/nodeName") == ask.node, || {
        "node requested token bound to a pod scheduled on a different node".to_owned()
    })?;
    audience(ask, &pod)
}

fn audience(ask: &Ask<'_>, pod: &Value) -> Outcome<()> {
    let audiences: Vec<&str> = fields::texts(ask.object, "/spec/audiences").collect();
    ask.need(audiences.len() <= 1, || {
        "node may only request 0 or 1 audiences".to_owned()
    })?;
    let wanted = audiences.first().copied().unwrap_or_default();
    let what = What::Resource {
        group: "",
        resource: wanted,
        subresource: "",
        namespace: ask.request.namespace,
        name: ask.request.name,
    };
    let fine = is_named(ask, pod, wanted)
        || ask.view.allows(
            ask.request.user,
            "request-serviceaccounts-token-audience",
            what,
        );
    ask.need(fine, || {
        format!("audience {wanted:?} not found in pod spec volume")
    })
}

/// Whether a volume of the pod wants a token for the audience.
fn is_named(ask: &Ask<'_>, pod: &Value, wanted: &str) -> bool {
    let volumes = fields::list(pod, "/spec/volumes");
    volumes.iter().any(|volume| {
        let mut sources = fields::list(volume, "/projected/sources").iter();
        let projected = sources.any(|source| {
            let token = fields::value(source, "/serviceAccountToken");
            !token.is_null() && fields::text(token, "/audience") == wanted
        });
        projected
            || driver_of(ask, pod, volume).is_some_and(|driver| driver_wants(ask, &driver, wanted))
    })
}

/// The CSI driver behind a volume: its own, or that of its claim's volume.
fn driver_of(ask: &Ask<'_>, pod: &Value, volume: &Value) -> Option<String> {
    if let Some(driver) = fields::optional_text(volume, "/csi/driver") {
        return Some(driver.to_owned());
    }
    let generated = format!("{}-{}", fields::name(pod), fields::text(volume, "/name"));
    let claim = match volume.get("ephemeral").filter(|source| !source.is_null()) {
        Some(_) => generated.as_str(),
        None => fields::optional_text(volume, "/persistentVolumeClaim/claimName")?,
    };
    let claim = ask
        .view
        .find("", "persistentvolumeclaims", ask.request.namespace, claim)?;
    let volume = ask.view.find(
        "",
        "persistentvolumes",
        "",
        fields::text(&claim, "/spec/volumeName"),
    )?;
    fields::optional_text(&volume, "/spec/csi/driver").map(str::to_owned)
}

fn driver_wants(ask: &Ask<'_>, driver: &str, wanted: &str) -> bool {
    let Some(driver) = ask.view.find("storage.k8s.io", "csidrivers", "", driver) else {
        return false;
    };
    let mut requests = fields::list(&driver, "/spec/tokenRequests").iter();
    requests.any(|request| fields::text(request, "/audience") == wanted)
}
