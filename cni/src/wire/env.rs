//! The environment of a call: command, container, interface, namespace and arguments. Pure over a
//! lookup function, so that tests need no process.

use std::path::PathBuf;

use super::error_code::{Code, Failure, Outcome};

/// What the runtime asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach a container.
    Add,
    /// Detach it.
    Del,
    /// Is it still attached as it should be?
    Check,
    /// Release what no listed attachment owns.
    Gc,
    /// Could an ADD succeed?
    Status,
    /// Which protocol versions?
    Version,
}

/// One attachment: a container's interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attachment {
    /// `CNI_CONTAINERID`.
    pub container: String,
    /// `CNI_IFNAME`.
    pub interface: String,
}

/// The environment of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Env {
    /// `CNI_COMMAND`.
    pub command: Command,
    /// Whom it is about; empty for GC, STATUS and VERSION.
    pub attachment: Attachment,
    /// `CNI_NETNS`; absent where DEL comes after the namespace went.
    pub namespace: Option<PathBuf>,
    /// `CNI_ARGS` as pairs.
    pub args: Vec<(String, String)>,
    /// `CNI_PATH` as folders.
    pub path: Vec<PathBuf>,
    /// `CNI_NETNS_OVERRIDE`: the container may live in the plugin's own namespace.
    pub own_namespace_allowed: bool,
}

impl Env {
    /// Reads the environment through `lookup`.
    ///
    /// # Errors
    /// Code 4, naming every missing variable at once.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Outcome<Self> {
        let value = |name: &str| lookup(name).unwrap_or_default();
        let command = command(&value("CNI_COMMAND"))?;
        let missing: Vec<&str> = required(command)
            .iter()
            .copied()
            .filter(|name| value(name).is_empty())
            .collect();
        if !missing.is_empty() {
            return Err(environment(format!(
                "{} missing from the environment",
                missing.join(", ")
            )));
        }
        let attachment = Attachment {
            container: value("CNI_CONTAINERID"),
            interface: value("CNI_IFNAME"),
        };
        if matches!(command, Command::Add | Command::Del | Command::Check) {
            check_container(&attachment.container)?;
            check_interface(&attachment.interface)?;
        }
        let namespace = value("CNI_NETNS");
        Ok(Self {
            command,
            attachment,
            namespace: (!namespace.is_empty()).then(|| namespace.into()),
            args: parse_args(&value("CNI_ARGS"))?,
            path: std::env::split_paths(&value("CNI_PATH")).collect(),
            own_namespace_allowed: matches!(
                value("CNI_NETNS_OVERRIDE").to_uppercase().as_str(),
                "TRUE" | "1"
            ),
        })
    }

    /// The value of an argument in `CNI_ARGS`, whatever the case of its name.
    #[must_use]
    pub fn arg(&self, name: &str) -> Option<&str> {
        self.args
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

fn command(text: &str) -> Outcome<Command> {
    Ok(match text {
        "ADD" => Command::Add,
        "DEL" => Command::Del,
        "CHECK" => Command::Check,
        "GC" => Command::Gc,
        "STATUS" => Command::Status,
        "VERSION" => Command::Version,
        "" => return Err(environment("CNI_COMMAND missing from the environment")),
        other => {
            return Err(environment(format!(
                "CNI_COMMAND: unknown command {other:?}"
            )));
        }
    })
}

fn required(command: Command) -> &'static [&'static str] {
    match command {
        Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
        Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
        Command::Gc | Command::Status | Command::Version => &[],
    }
}

/// A container id is letters, digits, `_`, `.` and `-`, and begins with a letter or digit.
fn check_container(id: &str) -> Outcome<()> {
    let plain = |c: char| c.is_ascii_alphanumeric();
    let good = id.starts_with(plain) && id.chars().all(|c| plain(c) || "_.-".contains(c));
    if good {
        return Ok(());
    }
    Err(environment(format!(
        "CNI_CONTAINERID: {id:?} has characters other than letters, digits, '_', '.' and '-'"
    )))
}

/// An interface name has 1 to 15 bytes, none of them a slash, a colon or white space.
fn check_interface(name: &str) -> Outcome<()> {
    let why = if name.len() > 15 {
        "is longer than 15 bytes"
    } else if name == "." || name == ".." {
        "is a folder's name"
    } else if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        "has a slash, a colon or white space"
    } else {
        return Ok(());
    };
    Err(environment(format!("CNI_IFNAME: {name:?} {why}")))
}

fn parse_args(text: &str) -> Outcome<Vec<(String, String)>> {
    text.split(';')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(environment(format!("CNI_ARGS: {pair:?} is not KEY=VALUE"))),
        })
        .collect()
}

fn environment(message: impl Into<String>) -> Failure {
    Failure::new(Code::InvalidEnvironment, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Outcome<Env> {
        Env::read(|name| {
            let found = pairs.iter().find(|(key, _)| *key == name)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn reads_a_whole_environment() {
        let env = read(&[
            ("CNI_COMMAND", "ADD"),
            ("CNI_CONTAINERID", "abc"),
            ("CNI_NETNS", "/run/netns/x"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_ARGS", "IgnoreUnknown=1;IP=10.0.0.9"),
            ("CNI_PATH", "/a:/b"),
        ])
        .unwrap();
        assert_eq!(env.arg("ip"), Some("10.0.0.9"));
        assert_eq!(env.path, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(env.namespace, Some("/run/netns/x".into()));
    }

    #[test]
    fn names_what_is_wrong_with_code_4() {
        let base = [
            ("CNI_COMMAND", "ADD"),
            ("CNI_CONTAINERID", "abc"),
            ("CNI_NETNS", "/x"),
            ("CNI_IFNAME", "eth0"),
        ];
        for (name, value, text) in [
            ("CNI_COMMAND", "", "CNI_COMMAND"),
            ("CNI_COMMAND", "add", "unknown command"),
            ("CNI_CONTAINERID", "", "CNI_CONTAINERID"),
            ("CNI_CONTAINERID", "a/b", "CNI_CONTAINERID"),
            ("CNI_CONTAINERID", "-a", "CNI_CONTAINERID"),
            ("CNI_NETNS", "", "CNI_NETNS"),
            ("CNI_IFNAME", "", "CNI_IFNAME"),
            ("CNI_IFNAME", "0123456789abcdef", "longer than 15"),
            ("CNI_IFNAME", "..", "folder"),
            ("CNI_IFNAME", "a b", "white space"),
            ("CNI_ARGS", "novalue", "KEY=VALUE"),
        ] {
            let mut pairs = base.to_vec();
            pairs.retain(|(key, _)| *key != name);
            pairs.push((name, value));
            let failure = read(&pairs).unwrap_err();
            assert_eq!(failure.code, 4, "{name}={value}");
            assert!(failure.message.contains(text), "{}", failure.message);
        }
    }
}
