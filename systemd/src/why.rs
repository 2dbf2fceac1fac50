//! `keelson why POD`: the kubelet's journal of decisions about one pod, in its own words.

use crate::kubelet_socket::ask;
use crate::layout::Layout;
use crate::pod_table::find;
use crate::status::{StatusError, pods};

/// Prints what the pod waits for, since when, and what comes next.
///
/// # Errors
/// When the kubelet does not run or has no such pod.
pub async fn why(layout: &Layout, namespace: &str, pod: &str) -> Result<(), StatusError> {
    let rows = pods(layout).await?;
    let name = find(&rows, namespace, pod).map_or(pod, |row| row.name.as_str());
    let path = format!(
        "/why?namespace={}&pod={}",
        escaped(namespace),
        escaped(name)
    );
    let answer = ask(&layout.kubelet_socket(), &path).await?;
    print!("{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// Percent-encodes what is not plain in a query.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_query() {
        assert_eq!(escaped("web-1.x"), "web-1.x");
        assert_eq!(escaped("a b&c/"), "a%20b%26c%2F");
    }
}
