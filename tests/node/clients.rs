//! Client libraries that others wrote, against the API server that `keelson up` starts.

use keelson_tests::cluster::Cluster;
use keelson_tests::requires;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
#[ignore = "needs root: make test"]
fn the_python_client_writes_patches_and_watches() {
    let python = std::env::var_os("KEELSON_TEST_PYTHON").map(PathBuf::from);
    let python = python.filter(|path| path.is_file());
    requires!(
        python.is_some(),
        "the Python client is not installed: PyPI was not reached"
    );
    let cluster = Cluster::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python.py");
    let mut command = Command::new(python.expect("just looked"));
    command
        .arg(script)
        .arg(cluster.first().layout.kubeconfig("admin"));
    let output = cluster.first().within(command);
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "ok\n", "{failed}");
}
