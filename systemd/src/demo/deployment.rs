//! The objects of a cluster's demo: a Deployment of web servers and the Service in front. Pure.

use super::IMAGE;
use keelson_client::Resource;
use serde_json::{Value, json};

/// The Deployment's name, and the Service's.
pub const DEPLOYMENT: &str = "web";

/// How many web servers there are.
pub const REPLICAS: usize = 3;

/// The labels of their pods.
pub const SELECTOR: &str = "app=web";

/// The Service's port.
pub const PORT: u16 = 80;

/// The port of every node that the Service answers on.
pub const NODE_PORT: u16 = 30080;

/// The port of the pods.
const POD_PORT: u16 = 8080;

/// The objects, each with its kind, in the order in which they are made.
#[must_use]
pub fn objects() -> [(Resource, Value); 2] {
    let deployments = Resource::fixed("apps", "v1", "deployments", "Deployment", true);
    let services = Resource::fixed("", "v1", "services", "Service", true);
    [(services, service()), (deployments, deployment())]
}

fn metadata() -> Value {
    json!({ "name": DEPLOYMENT, "namespace": "default", "labels": { "app": "web" } })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(),
        "spec": {
            "type": "NodePort",
            "selector": { "app": "web" },
            "ports": [{
                "name": "http", "port": PORT, "targetPort": POD_PORT, "nodePort": NODE_PORT,
                "protocol": "TCP",
            }],
        },
    })
}

fn deployment() -> Value {
    let script = format!(
        "mkdir -p /tmp/www && echo \"Hello from $MY_NAME at $MY_IP on $MY_NODE.\" >/tmp/www/index.html && exec httpd -f -p {POD_PORT} -h /tmp/www"
    );
    let of = |path: &str| json!({ "fieldRef": { "fieldPath": path } });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(),
        "spec": {
            "replicas": REPLICAS,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "terminationGracePeriodSeconds": 2,
                    "containers": [{
                        "name": "server",
                        "image": IMAGE,
                        "command": ["sh", "-c", script],
                        "env": [
                            { "name": "MY_NAME", "valueFrom": of("metadata.name") },
                            { "name": "MY_IP", "valueFrom": of("status.podIP") },
                            { "name": "MY_NODE", "valueFrom": of("spec.nodeName") },
                        ],
                        "ports": [{ "containerPort": POD_PORT, "protocol": "TCP" }],
                        "readinessProbe": {
                            "httpGet": { "path": "/", "port": POD_PORT },
                            "periodSeconds": 1,
                        },
                    }],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_finds_the_deployments_pods() {
        let [(_, service), (_, deployment)] = objects();
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert_eq!(&service["spec"]["selector"], labels);
        assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            service["spec"]["ports"][0]["targetPort"],
            container["ports"][0]["containerPort"]
        );
        let (key, value) = SELECTOR.split_once('=').unwrap();
        assert_eq!(labels[key], value);
    }
}
