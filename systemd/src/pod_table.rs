//! Pods as people like to see them: a table made of the kubelet's pod list. Pure.

use serde_json::Value;
use std::fmt::Write;

/// A pod in the words of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node that runs it.
    pub node: String,
    /// Containers that are ready, and how many there are.
    pub ready: (usize, usize),
    /// The condition `Ready` holds.
    pub is_ready: bool,
    /// What a user should see first: the phase, or the reason why it is stuck.
    pub state: String,
    /// Restarts of all its containers.
    pub restarts: u64,
    /// Its addresses.
    pub ips: Vec<String>,
}

/// The pods of a `PodList` document.
#[must_use]
pub fn rows(list: &Value) -> Vec<Row> {
    let mut rows: Vec<_> = list_of(&list["items"]).iter().map(row).collect();
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    rows
}

/// The pod that somebody calls `name`: by its own name, or by that of its manifest, to which the
/// kubelet adds the node's.
#[must_use]
pub fn find<'a>(rows: &'a [Row], namespace: &str, name: &str) -> Option<&'a Row> {
    let here = || rows.iter().filter(|row| row.namespace == namespace);
    let of_manifest = |row: &&Row| row.name == format!("{name}-{}", row.node.to_lowercase());
    here()
        .find(|row| row.name == name)
        .or_else(|| here().find(of_manifest))
}

fn row(pod: &Value) -> Row {
    let (meta, status) = (&pod["metadata"], &pod["status"]);
    let containers = list_of(&status["containerStatuses"]);
    let inits = list_of(&status["initContainerStatuses"]);
    let condition = list_of(&status["conditions"])
        .iter()
        .find(|one| one["type"] == "Ready");
    Row {
        namespace: text(&meta["namespace"]),
        name: text(&meta["name"]),
        node: text(&pod["spec"]["nodeName"]),
        ready: (
            containers.iter().filter(|one| one["ready"] == true).count(),
            list_of(&pod["spec"]["containers"]).len(),
        ),
        is_ready: condition.is_some_and(|one| one["status"] == "True"),
        state: state(pod, inits.iter().chain(containers)),
        restarts: containers
            .iter()
            .filter_map(|one| one["restartCount"].as_u64())
            .sum(),
        ips: list_of(&status["podIPs"])
            .iter()
            .map(|one| text(&one["ip"]))
            .collect(),
    }
}

/// The reason that a container waits or ended badly for comes before the phase.
fn state<'a>(pod: &Value, containers: impl Iterator<Item = &'a Value>) -> String {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating".to_owned();
    }
    let telling = containers
        .map(|one| &one["state"]["waiting"]["reason"])
        .find(|reason| {
            reason
                .as_str()
                .is_some_and(|reason| reason != "ContainerCreating" && reason != "PodInitializing")
        });
    let phase = &pod["status"]["phase"];
    [telling, Some(&pod["status"]["reason"]), Some(phase)]
        .into_iter()
        .flatten()
        .find_map(Value::as_str)
        .unwrap_or("Pending")
        .to_owned()
}

/// The table: a heading and a line for each pod, or a word that there is none.
#[must_use]
pub fn render(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no pods: put a manifest into the folder\n".to_owned();
    }
    let heading = ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "IP"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(heading)
        .chain(rows.iter().map(cells))
        .collect();
    columns(&lines)
}

/// Lines with their cells below each other, two blanks between columns.
#[must_use]
pub fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let mut out = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = lines
                .iter()
                .map(|line| line[column].len())
                .max()
                .unwrap_or(0);
            let last = column + 1 == line.len();
            let padded = if last {
                cell.clone()
            } else {
                format!("{cell:width$}  ")
            };
            // Writing to a string cannot fail.
            let _ = write!(out, "{padded}");
        }
        out.push('\n');
    }
    out
}

fn cells(row: &Row) -> [String; 6] {
    let (ready, all) = row.ready;
    let ips = if row.ips.is_empty() {
        "-".to_owned()
    } else {
        row.ips.join(", ")
    };
    [
        row.namespace.clone(),
        row.name.clone(),
        format!("{ready}/{all}"),
        row.state.clone(),
        row.restarts.to_string(),
        ips,
    ]
}

fn list_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, status: Value) -> Value {
        json!({
            "metadata": { "namespace": "default", "name": name },
            "spec": { "containers": [{ "name": "a" }, { "name": "b" }] },
            "status": status,
        })
    }

    #[test]
    fn a_waiting_container_tells_more_than_the_phase() {
        let check = |status: Value, expected: &str| {
            let rows = rows(&json!({ "items": [pod("web", status)] }));
            assert_eq!(rows[0].state, expected);
        };
        check(json!({ "phase": "Running" }), "Running");
        check(Value::Null, "Pending");
        check(json!({ "phase": "Failed", "reason": "Evicted" }), "Evicted");
        let waiting = |reason: &str| json!({ "phase": "Pending", "containerStatuses": [{ "state": { "waiting": { "reason": reason } } }] });
        check(waiting("ContainerCreating"), "Pending");
        check(waiting("ImagePullBackOff"), "ImagePullBackOff");
    }

    #[test]
    fn pods_are_found_by_either_name() {
        let of = |name: &str, node: &str| Row {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            node: node.to_owned(),
            ..Row::default()
        };
        let rows = [
            of("web-2-Box".to_lowercase().as_str(), "Box"),
            of("web-box", "Box"),
            of("db", "Box"),
        ];
        let check = |name, expected: Option<&str>| {
            assert_eq!(
                find(&rows, "default", name).map(|row| row.name.as_str()),
                expected,
                "{name}"
            );
        };
        check("web", Some("web-box"));
        check("web-box", Some("web-box"));
        check("web-2", Some("web-2-box"));
        check("db", Some("db"));
        check("we", None);
        assert_eq!(find(&rows, "other", "db"), None);
    }

    #[test]
    fn columns_line_up() {
        let running = json!({
            "phase": "Running",
            "podIPs": [{ "ip": "10.244.0.2" }, { "ip": "fd00::2" }],
            "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{ "ready": true, "restartCount": 2 }, { "ready": false }],
        });
        let rows =
            rows(&json!({ "items": [pod("web", running), pod("a-longer-name", Value::Null)] }));
        assert!(rows[1].is_ready);
        assert_eq!(
            render(&rows),
            "\
NAMESPACE  NAME           READY  STATUS   RESTARTS  IP
default    a-longer-name  0/2    Pending  0         -
default    web            1/2    Running  2         10.244.0.2, fd00::2
"
        );
    }
}
