#!/usr/bin/env python3
"""The Python client against an API server: writes, patches of every kind, watches, errors, tables
of other kinds. Takes a kubeconfig; ends with "ok" or with what differed."""

import sys
import threading

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException

config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()
apps = client.AppsV1Api()
NAMESPACE = "default"


def check(got, expected, what):
    if got != expected:
        raise SystemExit(f"{what}: got {got!r}, expected {expected!r}")


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def writes_and_patches():
    core.create_namespaced_config_map(NAMESPACE, config_map("a", x="1"))
    try:
        core.create_namespaced_config_map(NAMESPACE, config_map("a"))
        raise SystemExit("a second one of the same name was made")
    except ApiException as refused:
        check((refused.status, refused.reason), (409, "Conflict"), "a taken name")
    patched = core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"y": "2"}})
    check(patched.data, {"x": "1", "y": "2"}, "a strategic merge")
    operations = [{"op": "remove", "path": "/data/x"}]
    patched = core.patch_namespaced_config_map("a", NAMESPACE, operations)
    check(patched.data, {"y": "2"}, "a JSON patch")
    applied = core.patch_namespaced_config_map(
        "a",
        NAMESPACE,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"z": "3"}},
        field_manager="python",
        force=True,
        _content_type="application/apply-patch+yaml",
    )
    check(applied.data, {"y": "2", "z": "3"}, "server-side apply")
    stale = core.read_namespaced_config_map("a", NAMESPACE)
    core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"y": "4"}})
    try:
        core.replace_namespaced_config_map("a", NAMESPACE, stale)
        raise SystemExit("a stale object was taken")
    except ApiException as refused:
        check(refused.status, 409, "a stale object")


def watches():
    since = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version

    def change():
        for number in range(5):
            core.create_namespaced_config_map(NAMESPACE, config_map(f"w{number}"))
        core.patch_namespaced_config_map("w0", NAMESPACE, {"metadata": {"labels": {"a": "b"}}})
        core.delete_namespaced_config_map("w1", NAMESPACE)

    threading.Thread(target=change).start()
    seen = []
    stream = watch.Watch()
    for event in stream.stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=since, timeout_seconds=60
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 7:
            stream.stop()
    added = [("ADDED", f"w{number}") for number in range(5)]
    check(seen, added + [("MODIFIED", "w0"), ("DELETED", "w1")], "what a watch tells")


def pages_and_other_kinds():
    page = core.list_namespaced_config_map(NAMESPACE, limit=2)
    names = [item.metadata.name for item in page.items]
    while page.metadata._continue:
        page = core.list_namespaced_config_map(
            NAMESPACE, limit=2, _continue=page.metadata._continue
        )
        names += [item.metadata.name for item in page.items]
    check(names, sorted(names), "pages of a list")
    check("w4" in names, True, "the last page")
    kinds = dynamic.DynamicClient(client.ApiClient())
    deployments = kinds.resources.get(api_version="apps/v1", kind="Deployment")
    template = {
        "metadata": {"labels": {"app": "d"}},
        "spec": {"containers": [{"name": "c", "image": "localhost/none:1"}]},
    }
    deployments.create(
        namespace=NAMESPACE,
        body={
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "d"}}, "template": template},
        },
    )
    apps.patch_namespaced_deployment_scale("d", NAMESPACE, {"spec": {"replicas": 0}})
    check(apps.read_namespaced_deployment("d", NAMESPACE).spec.replicas, 0, "a scale")


writes_and_patches()
watches()
pages_and_other_kinds()
print("ok")
