//! Paths and queries, and what the server takes them for.

use proptest::prelude::*;

use super::*;

fn check(method: &str, target: &str, expected: &str) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let found = match resolve(method, path, &Query::parse(query)) {
        RequestInfo::Path { verb, path } => format!("{verb} {path}"),
        RequestInfo::Resource(r) => format!(
            "{} g={} v={} ns={} r={} s={} n={} rest={}",
            r.verb,
            r.group,
            r.version,
            r.namespace,
            r.resource,
            r.subresource,
            r.name,
            r.rest.unwrap_or_default()
        ),
    };
    assert_eq!(found, expected, "{method} {target}");
}

#[test]
fn paths_of_the_core_group() {
    check("GET", "/api/v1/pods", "list g= v=v1 ns= r=pods s= n= rest=");
    check(
        "GET",
        "/api/v1/namespaces",
        "list g= v=v1 ns= r=namespaces s= n= rest=",
    );
    check(
        "GET",
        "/api/v1/namespaces/a",
        "get g= v=v1 ns=a r=namespaces s= n=a rest=",
    );
    check(
        "PUT",
        "/api/v1/namespaces/a/finalize",
        "update g= v=v1 ns=a r=namespaces s=finalize n=a rest=",
    );
    check(
        "POST",
        "/api/v1/namespaces/a/pods/b/binding",
        "create g= v=v1 ns=a r=pods s=binding n=b rest=",
    );
    check(
        "DELETE",
        "/api/v1/namespaces/a/pods",
        "deletecollection g= v=v1 ns=a r=pods s= n= rest=",
    );
}

#[test]
fn paths_of_named_groups() {
    check(
        "PATCH",
        "/apis/apps/v1/namespaces/a/deployments/b/scale",
        "patch g=apps v=v1 ns=a r=deployments s=scale n=b rest=",
    );
    check("GET", "/apis/apps/v1", "get /apis/apps/v1");
    check("GET", "/apis", "get /apis");
}

#[test]
fn watches() {
    check(
        "GET",
        "/api/v1/pods?watch=1",
        "watch g= v=v1 ns= r=pods s= n= rest=",
    );
    check(
        "GET",
        "/api/v1/pods?watch=false",
        "list g= v=v1 ns= r=pods s= n= rest=",
    );
    check(
        "GET",
        "/api/v1/nodes?watch=true&fieldSelector=metadata.name%3Dx",
        "watch g= v=v1 ns= r=nodes s= n=x rest=",
    );
    check(
        "GET",
        "/api/v1/watch/namespaces/a/pods",
        "watch g= v=v1 ns=a r=pods s= n= rest=",
    );
}

#[test]
fn proxied_paths_keep_their_slash() {
    check(
        "GET",
        "/api/v1/nodes/n/proxy/logs/a/",
        "get g= v=v1 ns= r=nodes s=proxy n=n rest=/logs/a/",
    );
    check(
        "GET",
        "/api/v1/namespaces/a/services/http:b:80/proxy",
        "get g= v=v1 ns=a r=services s=proxy n=http:b:80 rest=",
    );
}

#[test]
fn plain_paths() {
    check("GET", "/healthz", "get /healthz");
    check("GET", "/openapi/v3", "get /openapi/v3");
    check("OPTIONS", "/api/v1/pods", "options /api/v1/pods");
}

proptest! {
    #[test]
    fn nothing_panics(method in "[A-Z]{0,7}", path in ".{0,80}", query in ".{0,80}") {
        resolve(&method, &path, &Query::parse(&query));
    }
}
