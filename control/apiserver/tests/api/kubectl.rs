//! The real kubectl against the server.

use std::path::PathBuf;
use std::process::Output;

use tokio::process::Command;

use super::harness::Server;

/// The kubectl to test with: `$KUBECTL`, or the one in the path.
fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("KUBECTL") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("kubectl"))
        .find(|file| file.is_file())
}

struct Kubectl {
    program: PathBuf,
    config: PathBuf,
}

impl Kubectl {
    fn of(server: &Server) -> Self {
        let program = program().expect("no kubectl: set KUBECTL, or install it");
        Self {
            program,
            config: server.kubeconfig(),
        }
    }

    async fn run(&self, args: &str, input: &str) -> Output {
        let file = self.config.with_file_name("input.yaml");
        std::fs::write(&file, input).unwrap();
        let args = args.replace("INPUT", file.to_str().unwrap());
        let words = args.split(' ');
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.config).args(words);
        command.env("HOME", self.config.parent().unwrap());
        command.output().await.unwrap()
    }

    async fn good(&self, args: &str, input: &str) -> String {
        let output = self.run(args, input).await;
        let (out, error) = (&output.stdout, &output.stderr);
        let text = String::from_utf8_lossy(out).into_owned();
        let error = String::from_utf8_lossy(error);
        assert!(output.status.success(), "kubectl {args}: {text}{error}");
        text
    }
}

#[tokio::test]
#[ignore = "needs kubectl: make test"]
async fn objects_are_made_shown_and_removed() {
    let server = Server::start().await;
    let kubectl = Kubectl::of(&server);
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\ndata:\n  a: '1'\n";
    let made = kubectl.good("create -f INPUT", map).await;
    assert_eq!(made, "configmap/one created\n");
    let shown = kubectl
        .good("get configmap one -o jsonpath={.data.a}", "")
        .await;
    assert_eq!(shown, "1");
    let table = kubectl.good("get configmaps", "").await;
    assert!(
        table.starts_with("NAME") && table.contains("one"),
        "{table}"
    );
    kubectl.good("label configmap one l=x", "").await;
    let found = kubectl.good("get configmap -l l=x -o name", "").await;
    assert_eq!(found, "configmap/one\n");
    kubectl
        .good(
            "patch configmap one --type=merge -p {\"data\":{\"b\":\"2\"}}",
            "",
        )
        .await;
    let gone = kubectl.good("delete configmap one", "").await;
    assert!(gone.starts_with("configmap \"one\" deleted"), "{gone}");
    let resources = kubectl.good("api-resources", "").await;
    for kind in ["Pod", "Deployment", "ClusterRole", "Lease"] {
        assert!(resources.contains(kind), "{kind} in {resources}");
    }
    kubectl.good("version", "").await;
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: nginx
        ports: [{containerPort: 80}]
";

#[tokio::test]
#[ignore = "needs kubectl: make test"]
async fn workloads_are_applied_scaled_and_listed() {
    let server = Server::start().await;
    let kubectl = Kubectl::of(&server);
    let apply = "apply -f INPUT";
    assert_eq!(
        kubectl.good(apply, DEPLOYMENT).await,
        "deployment.apps/web created\n"
    );
    assert_eq!(
        kubectl.good(apply, DEPLOYMENT).await,
        "deployment.apps/web unchanged\n"
    );
    let more = DEPLOYMENT.replace("nginx", "nginx:2");
    assert_eq!(
        kubectl.good(apply, &more).await,
        "deployment.apps/web configured\n"
    );
    kubectl.good("scale deployment web --replicas=5", "").await;
    let replicas = kubectl
        .good("get deployment web -o jsonpath={.spec.replicas}", "")
        .await;
    assert_eq!(replicas, "5");
    let table = kubectl.good("get deployments", "").await;
    assert!(
        table.contains("UP-TO-DATE") && table.contains("0/5"),
        "{table}"
    );
    kubectl.good("describe deployment web", "").await;
    kubectl
        .good("set image deployment/web web=nginx:3", "")
        .await;
    let patch = "patch deployment web --type=json -p [{\"op\":\"remove\",\"path\":\"/spec/template/spec/containers/0/ports\"}]";
    kubectl.good(patch, "").await;
    kubectl.good("annotate deployment web a=b", "").await;
    kubectl
        .good("delete deployment web --cascade=orphan --wait=false", "")
        .await;
}

#[tokio::test]
#[ignore = "needs kubectl: make test"]
async fn server_side_apply_owns_fields() {
    let server = Server::start().await;
    let kubectl = Kubectl::of(&server);
    let apply = "apply --server-side -f INPUT";
    let done = "deployment.apps/web serverside-applied\n";
    assert_eq!(kubectl.good(apply, DEPLOYMENT).await, done);
    let version = "get deployment web -o jsonpath={.metadata.resourceVersion}";
    let first = kubectl.good(version, "").await;
    assert_eq!(kubectl.good(apply, DEPLOYMENT).await, done);
    assert_eq!(
        kubectl.good(version, "").await,
        first,
        "the second time changes nothing"
    );
    kubectl.good("scale deployment web --replicas=5", "").await;
    let refused = kubectl.run(apply, DEPLOYMENT).await;
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && error.contains(".spec.replicas"),
        "{error}"
    );
    kubectl
        .good("apply --server-side --force-conflicts -f INPUT", DEPLOYMENT)
        .await;
}

#[tokio::test]
#[ignore = "needs kubectl: make test"]
async fn typed_creation_speaks_protobuf() {
    let server = Server::start().await;
    let kubectl = Kubectl::of(&server);
    kubectl.good("create namespace team", "").await;
    for what in [
        "configmap c --from-literal=a=1",
        "secret generic s --from-literal=p=w",
        "deployment d --image=nginx --replicas=3",
        "serviceaccount robot",
        "serviceaccount default",
        "job j --image=busybox",
        "cronjob cj --image=busybox --schedule=@hourly",
        "role r --verb=get --resource=pods",
        "rolebinding rb --role=r --serviceaccount=team:robot",
        "clusterrole cr --verb=get --resource=nodes",
        "quota q --hard=pods=3",
        "poddisruptionbudget p --selector=app=web --min-available=1",
        "priorityclass pc --value=5",
        "ingress i --rule=a.example/=svc:80",
    ] {
        kubectl.good(&format!("create -n team {what}"), "").await;
    }
    let secret = kubectl
        .good("get -n team secret s -o jsonpath={.data.p}", "")
        .await;
    assert_eq!(secret, "dw==");
    let replicas = kubectl
        .good("get -n team deploy d -o jsonpath={.spec.replicas}", "")
        .await;
    assert_eq!(replicas, "3");
    kubectl
        .good("run -n team p --image=nginx --restart=Never", "")
        .await;
    let table = kubectl.good("get -n team all", "").await;
    assert!(
        table.contains("pod/p") && table.contains("deployment.apps/d"),
        "{table}"
    );
    kubectl.good("auth reconcile -f INPUT", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\nrules: []\n").await;
}

const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: foos.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: foos, singular: foo, kind: Foo, shortNames: [fo]}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, minimum: 1, default: 3}
";

const FOO: &str = "apiVersion: example.com/v1\nkind: Foo\nmetadata: {name: a}\nspec: {}\n";

#[tokio::test]
#[ignore = "needs kubectl: make test"]
async fn custom_resources_are_defined_and_used() {
    let server = Server::start().await;
    let kubectl = Kubectl::of(&server);
    kubectl.good("apply -f INPUT", DEFINITION).await;
    kubectl
        .good(
            "wait --for=condition=Established crd/foos.example.com --timeout=20s",
            "",
        )
        .await;
    kubectl.good("apply -f INPUT", FOO).await;
    let table = kubectl.good("get fo", "").await;
    assert!(table.contains("SIZE") && table.contains('3'), "{table}");
    kubectl.good("scale foo a --replicas=7", "").await;
    let size = kubectl.good("get foo a -o jsonpath={.spec.size}", "").await;
    assert_eq!(size, "7");
    let bad = kubectl
        .run(
            "apply --validate=false -f INPUT",
            &FOO.replace("spec: {}", "spec: {size: 0}"),
        )
        .await;
    let error = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(
        error.contains("spec.size") && error.contains("greater than or equal to 1"),
        "{error}"
    );
    kubectl.good("explain foo.spec", "").await;
    kubectl.good("explain deployment.spec.template", "").await;
    kubectl
        .good("delete crd foos.example.com --timeout=20s", "")
        .await;
    let gone = kubectl.run("get foos", "").await;
    assert!(!gone.status.success());
}

/// kubectl checks a list by the version 2 document, which it takes in protobuf alone.
#[tokio::test]
#[ignore = "needs kubectl: make test"]
async fn lists_are_applied_after_a_check_by_the_document() {
    let server = Server::start().await;
    let kubectl = Kubectl::of(&server);
    let map = |name: &str, field: &str| {
        format!(
            "- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, {field}: {{a: b}}}}\n"
        )
    };
    let list = |items: &str| format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    let two = list(&(map("one", "data") + &map("two", "data")));
    let made = kubectl.good("apply -f INPUT", &two).await;
    assert_eq!(made, "configmap/one created\nconfigmap/two created\n");
    let refused = kubectl
        .run("apply -f INPUT", &list(&map("three", "dota")))
        .await;
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && error.contains("unknown field"),
        "{error}"
    );
}
