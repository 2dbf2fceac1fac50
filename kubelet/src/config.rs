//! The kubelet's configuration: `KubeletConfiguration` files, drop-ins and flags, resolved.
//!
//! Reading files happens here and nowhere below: names, defaults, precedence, checks and the
//! table of what is honoured are pure modules.

pub mod drop_in;
pub mod fields;
pub mod flags;
pub mod gates;
pub mod load;
pub mod nested;
pub mod support;
pub mod validate;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use fields::KubeletConfiguration;
pub use flags::Options;
pub use gates::Gates;

use load::Source;

/// Everything the kubelet was told, complete and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The fields, from file, drop-ins and flags.
    pub kubelet: KubeletConfiguration,
    /// What is said by flags alone.
    pub options: Options,
    /// How each feature stands.
    pub gates: Gates,
}

/// Something the kubelet does not do although it was told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A field without effect was set.
    NotYet {
        /// The field's name.
        field: &'static str,
        /// What happens instead.
        instead: &'static str,
    },
    /// A flag that stands for a field was used.
    DeprecatedFlag {
        /// The flag, without dashes.
        flag: &'static str,
        /// The field to set instead.
        field: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet { field, instead } => {
                write!(f, "{field} is set but not honoured yet: {instead}")
            }
            Self::DeprecatedFlag { flag, field } => {
                write!(
                    f,
                    "--{flag} is deprecated: set {field} in the file given by --config"
                )
            }
        }
    }
}

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// A flag, without dashes.
    Flag(&'static str),
    /// Nobody.
    Default,
}

/// One thing that is wrong, and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// Who said it.
    pub origin: Origin,
    /// The line in the file; 0 when unknown.
    pub line: u32,
    /// The path of the field; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.line) {
            (Origin::File(path), 0) => write!(f, "{}: ", path.display())?,
            (Origin::File(path), line) => write!(f, "{}:{line}: ", path.display())?,
            (Origin::Flag(flag), _) => write!(f, "--{flag}: ")?,
            (Origin::Default, _) => {}
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line is wrong, or asks for help or the version: print it and end.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// A file or folder cannot be read.
    #[error("reading configuration {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Values are wrong.
    #[error("{}", lines(.0))]
    Invalid(Vec<Blame>),
}

fn lines(blames: &[Blame]) -> String {
    let lines: Vec<_> = blames.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Reads the command line (program name first) and every file it names.
///
/// # Errors
/// When a file cannot be read or anything in it cannot be worked with.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
) -> Result<(Config, Vec<Warning>), ConfigError> {
    let (options, settings) = flags::parse(args)?;
    let mut sources = Vec::new();
    if let Some(path) = &options.config {
        sources.push(read(path)?);
    }
    if let Some(folder) = &options.config_dir {
        for path in drop_ins(folder)? {
            sources.push(read(&path)?);
        }
    }
    let kubelet = load::resolve(&sources, &settings).map_err(ConfigError::Invalid)?;
    let gates = Gates::new(&kubelet.feature_gates).unwrap_or_default();
    let deprecated = settings.iter().map(|s| Warning::DeprecatedFlag {
        flag: s.flag,
        field: s.path,
    });
    let in_vain = support::set_in_vain(&kubelet);
    let warnings = deprecated
        .chain(
            in_vain
                .into_iter()
                .map(|(field, instead)| Warning::NotYet { field, instead }),
        )
        .collect();
    let config = Config {
        kubelet,
        options,
        gates,
    };
    Ok((config, warnings))
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> ConfigError {
    let path = path.to_owned();
    move |source| ConfigError::Read { path, source }
}

fn read(path: &Path) -> Result<Source, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(read_error(path))?;
    Ok(Source {
        path: std::path::absolute(path).map_err(read_error(path))?,
        text,
    })
}

/// The drop-ins of a folder, in the order they are merged.
fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read_error(folder))? {
        let entry = entry.map_err(read_error(folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(drop_in::in_order(names)
        .into_iter()
        .map(|name| folder.join(name))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;

    use super::{ConfigError, Warning, load};

    const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

    fn args(texts: &[&str]) -> Vec<OsString> {
        ["kubelet"]
            .iter()
            .chain(texts)
            .map(OsString::from)
            .collect()
    }

    #[test]
    fn reads_file_drop_ins_and_flags() {
        let folder = tempfile::tempdir().unwrap();
        let (file, dir) = (folder.path().join("c.yaml"), folder.path().join("conf.d"));
        fs::create_dir(&dir).unwrap();
        fs::write(&file, format!("{HEAD}maxPods: 1\nport: 1\n")).unwrap();
        fs::write(dir.join("20.conf"), format!("{HEAD}port: 3\n")).unwrap();
        fs::write(dir.join("10.conf"), format!("{HEAD}port: 2\n")).unwrap();
        fs::write(dir.join("README"), "not configuration").unwrap();
        let config = format!("--config={}", file.display());
        let config_dir = format!("--config-dir={}", dir.display());
        let flags = args(&[&config, &config_dir, "--cpu-manager-policy=static"]);
        let (config, warnings) = load(flags).unwrap();
        assert_eq!((config.kubelet.max_pods, config.kubelet.port), (1, 3));
        let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert!(
            texts[0].starts_with("--cpu-manager-policy is deprecated"),
            "{texts:?}"
        );
        assert!(matches!(
            warnings[1],
            Warning::NotYet {
                field: "cpuManagerPolicy",
                ..
            }
        ));
    }

    #[test]
    fn names_the_file_that_is_missing() {
        let error = load(args(&["--config=/no/such/file"])).unwrap_err();
        assert!(matches!(error, ConfigError::Read { .. }));
        assert!(error.to_string().contains("/no/such/file"));
    }
}
