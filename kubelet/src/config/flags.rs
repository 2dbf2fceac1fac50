//! The command line: what is only a flag, and flags that stand for a field of the configuration.
//!
//! Decides names, forms and what each flag sets. Reading files and precedence are `load`'s.

mod table;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use keelson_api::duration::Duration;
use serde_json::Value;

use table::{FIELD_FLAGS, FieldFlag, Form};

const VERSION: &str = concat!("v1.36.0 (keelson ", env!("CARGO_PKG_VERSION"), ")");

/// What the command line alone says.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Options {
    /// The configuration file, KubeletConfiguration in YAML or JSON.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of files ending in .conf that are merged over the configuration file, by name.
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// Print what is done with each field of the configuration, and exit.
    #[arg(long)]
    pub config_support: bool,
    /// Folder of the pods' directories, volumes and plugins.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet")]
    pub root_dir: PathBuf,
    /// Folder of the kubelet's own state.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/keelson/kubelet")]
    pub state_dir: PathBuf,
    /// The unix socket that `keelson status` and `keelson why` read.
    #[arg(long, value_name = "FILE", default_value = "/run/keelson/kubelet.sock")]
    pub status_socket: PathBuf,
    /// Folder of certificates.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet/pki")]
    pub cert_dir: PathBuf,
    /// How to reach the apiserver. Without it the node runs on its own.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How to reach the apiserver for the first certificate.
    #[arg(long, value_name = "FILE")]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// The node's name, instead of the host's.
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// The node's address, or one of each family, separated by a comma.
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub node_ip: Vec<std::net::IpAddr>,
    /// Labels of the node: key=value, separated by commas.
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = key_value)]
    pub node_labels: Vec<(String, String)>,
    /// Where the cloud's part is done: `external` or empty.
    #[arg(long, value_name = "NAME", default_value = "", hide = true)]
    pub cloud_provider: String,
    /// Cgroup of the runtime, for its statistics.
    #[arg(long, value_name = "CGROUP")]
    pub runtime_cgroups: Option<String>,
    /// Configuration of credential provider plugins.
    #[arg(long, value_name = "FILE")]
    pub image_credential_provider_config: Option<PathBuf>,
    /// Folder of credential provider plugins.
    #[arg(long, value_name = "DIR")]
    pub image_credential_provider_bin_dir: Option<PathBuf>,
    /// A file to hold locked while running.
    #[arg(long, value_name = "FILE")]
    pub lock_file: Option<PathBuf>,
    /// Whether to end when someone else wants the lock file.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pub exit_on_lock_contention: bool,
    /// Least age of a dead container before it is removed.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = Duration::parse, hide = true)]
    pub minimum_container_ttl_duration: Duration,
    /// Dead instances kept of each container.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        allow_negative_numbers = true,
        hide = true
    )]
    pub maximum_dead_containers_per_container: i32,
    /// Dead containers kept in all; -1 for no limit.
    #[arg(long, value_name = "COUNT", default_value_t = -1, allow_negative_numbers = true, hide = true)]
    pub maximum_dead_containers: i32,
    /// Pods whose sandbox and containers the runtime is asked to make at one time.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub cri_parallelism: u16,
    /// How much is logged: 0 is the least.
    #[arg(long = "v", short = 'v', value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u32,
}

/// One field set by a flag.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldSetting {
    /// The flag's name without dashes.
    pub flag: &'static str,
    /// The path of the field.
    pub path: &'static str,
    /// The value it sets.
    pub value: Value,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} must be key=value"))
}

/// Reads the command line, program name first.
///
/// # Errors
/// When a flag is unknown or its value malformed, and for `--help` and `--version`.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
) -> Result<(Options, Vec<FieldSetting>), clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(args)?;
    let options = Options::from_arg_matches(&matches)?;
    let settings = FIELD_FLAGS
        .iter()
        .filter(|row| matches.value_source(row.flag) == Some(ValueSource::CommandLine))
        .map(|row| setting(row, &matches, &mut command))
        .collect::<Result<_, _>>()?;
    Ok((options, settings))
}

fn command() -> Command {
    let command = Command::new("kubelet")
        .about("Runs the pods of one node")
        .version(VERSION)
        .args_override_self(true);
    Options::augment_args(command).args(FIELD_FLAGS.iter().map(argument))
}

/// Flags that stand for fields are upstream's deprecated ones: they work and are not listed.
fn argument(row: &FieldFlag) -> Arg {
    let arg = Arg::new(row.flag)
        .long(row.flag)
        .hide(true)
        .action(ArgAction::Append);
    match row.form {
        Form::Bool => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        _ => arg.num_args(1).allow_hyphen_values(true),
    }
}

fn setting(
    row: &FieldFlag,
    matches: &ArgMatches,
    command: &mut Command,
) -> Result<FieldSetting, clap::Error> {
    let texts: Vec<&str> = matches
        .get_many::<String>(row.flag)
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let value = row.form.read(&texts).map_err(|message| {
        let said = format!("invalid value for '--{}': {message}", row.flag);
        command.error(clap::error::ErrorKind::ValueValidation, said)
    })?;
    Ok(FieldSetting {
        flag: row.flag,
        path: row.path,
        value,
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use serde_json::{Value, json};

    use super::{Options, command, parse};
    use crate::config::fields::FIELD_NAMES;

    fn args(texts: &[&str]) -> Vec<OsString> {
        ["kubelet"]
            .iter()
            .chain(texts)
            .map(OsString::from)
            .collect()
    }

    fn options(texts: &[&str]) -> Options {
        parse(args(texts)).unwrap().0
    }

    #[test]
    fn is_well_formed_and_names_real_fields() {
        command().debug_assert();
        for row in super::FIELD_FLAGS {
            let field = row.path.split('.').next().unwrap();
            assert!(
                FIELD_NAMES.contains(&field),
                "--{} sets {}",
                row.flag,
                row.path
            );
        }
    }

    #[test]
    fn reads_its_own_flags() {
        let got = options(&[
            "--config=/a",
            "--state-dir",
            "/s",
            "--node-labels=a=b,c=d",
            "-v",
            "2",
        ]);
        assert_eq!(got.config.unwrap().to_str(), Some("/a"));
        assert_eq!(got.state_dir.to_str(), Some("/s"));
        assert_eq!(got.node_labels[1], ("c".to_owned(), "d".to_owned()));
        assert_eq!((got.verbosity, got.cri_parallelism), (2, 4));
        assert_eq!(options(&[]).root_dir.to_str(), Some("/var/lib/kubelet"));
        assert!(options(&["--exit-on-lock-contention"]).exit_on_lock_contention);
    }

    #[test]
    fn reads_flags_for_fields() {
        let cases: [(&[&str], &str, Value); 11] = [
            (&["--port=1"], "port", json!(1)),
            (&["--oom-score-adj", "-5"], "oomScoreAdj", json!(-5)),
            (
                &["--anonymous-auth"],
                "authentication.anonymous.enabled",
                json!(true),
            ),
            (&["--fail-swap-on=false"], "failSwapOn", json!(false)),
            (
                &["--cluster-dns=10.0.0.1,10.0.0.2"],
                "clusterDNS",
                json!(["10.0.0.1", "10.0.0.2"]),
            ),
            (
                &["--feature-gates=A=true", "--feature-gates=B=false"],
                "featureGates",
                json!({"A": true, "B": false}),
            ),
            (
                &["--eviction-hard=memory.available<1Gi"],
                "evictionHard",
                json!({"memory.available": "1Gi"}),
            ),
            (
                &["--manifest-url-header=a:b,a:c"],
                "staticPodURLHeader",
                json!({"a": ["b", "c"]}),
            ),
            (
                &["--register-with-taints=k=v:NoSchedule,k2:NoExecute"],
                "registerWithTaints",
                json!([
                    {"key": "k", "value": "v", "effect": "NoSchedule"},
                    {"key": "k2", "value": "", "effect": "NoExecute"},
                ]),
            ),
            (
                &[
                    "--reserved-memory",
                    "0:memory=1Gi,hugepages-1G=2Gi;1:memory=2Gi",
                ],
                "reservedMemory",
                json!([
                    {"numaNode": 0, "limits": {"memory": "1Gi", "hugepages-1G": "2Gi"}},
                    {"numaNode": 1, "limits": {"memory": "2Gi"}},
                ]),
            ),
            (&["--max-pods=1", "--max-pods=2"], "maxPods", json!(2)),
        ];
        for (texts, path, value) in cases {
            let (_, settings) = parse(args(texts)).unwrap();
            assert_eq!(
                (settings[0].path, &settings[0].value),
                (path, &value),
                "{texts:?}"
            );
        }
    }

    #[test]
    fn refuses_by_flag() {
        for (text, said) in [
            ("--port=x", "--port"),
            ("--anonymous-auth=maybe", "--anonymous-auth"),
            ("--feature-gates=A", "--feature-gates"),
            ("--no-such-flag", "--no-such-flag"),
            ("--cri-parallelism=0", "--cri-parallelism"),
        ] {
            let error = parse(args(&[text])).unwrap_err().to_string();
            assert!(error.contains(said), "{text} gave {error}");
        }
    }
}
