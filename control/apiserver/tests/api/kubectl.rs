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
    let made = kubectl.good("create --validate=false -f INPUT", map).await;
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
