//! Runs `iptables-save` and `iptables-restore`: the one place of the proxy that starts programs.

use std::io::Write;
use std::process::{Command, Stdio};

use super::script::{CANARY, Found, change, cleanup, full};
use crate::backend::{Applied, Families};
use crate::diff::{RuleDelta, RuleSet};
use crate::sysctl::{self, SysctlError};

/// Packets from loopback's addresses may leave the node, with another source.
const ROUTE_LOOPBACK: (&str, i64) = ("net/ipv4/conf/all/route_localnet", 1);
const TABLES: [&str; 2] = ["filter", "nat"];

/// Why rules could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum IptablesError {
    /// The program is not there, or cannot be started.
    #[error("start {program}: {source}; install iptables, or use mode nftables")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The program could not be spoken to.
    #[error("speak to {program}: {source}")]
    Speak {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Node ports at loopback need a setting of the kernel.
    #[error("{0}; or set iptables.localhostNodePorts to false")]
    Sysctl(#[from] SysctlError),
    /// The program refused. Of a table either all is applied or nothing.
    #[error("{program}: {message}")]
    Refused {
        /// The program.
        program: String,
        /// What it said.
        message: String,
    },
}

/// Which iptables: hosts may have two, with tables of their own each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Whichever the host calls `iptables`.
    Host,
    /// The one over nf_tables.
    NfTables,
    /// The old one.
    Legacy,
}

impl Variant {
    fn program(self, v6: bool, what: &str) -> String {
        let family = if v6 { "ip6tables" } else { "iptables" };
        let kind = match self {
            Self::Host => "",
            Self::NfTables => "-nft",
            Self::Legacy => "-legacy",
        };
        format!("{family}{kind}-{what}")
    }

    fn save(self, v6: bool, table: &str) -> Result<Found, IptablesError> {
        let text = run(&self.program(v6, "save"), &["-t", table], "")?;
        Ok(Found::parse(&text))
    }

    fn restore(self, v6: bool, script: &str) -> Result<(), IptablesError> {
        // The one over nf_tables takes no lock, and no word about one.
        let args: &[&str] = match self {
            Self::NfTables => &["--noflush"],
            Self::Host | Self::Legacy => &["-w", "5", "--noflush"],
        };
        run(&self.program(v6, "restore"), args, script).map(drop)
    }
}

/// The iptables backend.
#[derive(Debug)]
pub struct Iptables {
    families: Families,
    variant: Variant,
    /// Whether the tables are as we left them.
    known: bool,
}

impl Iptables {
    /// The tables of the calling thread's network namespace. A family whose programs are missing or
    /// whose tables the kernel lacks is left out, as long as it is not IPv4.
    ///
    /// # Errors
    /// When iptables does not work.
    pub fn open(families: Families, variant: Variant) -> Result<Self, IptablesError> {
        let mut opened = Self {
            families,
            variant,
            known: false,
        };
        if families.v4 {
            variant.save(false, "nat")?;
        }
        if families.v6
            && let Err(error) = variant.save(true, "nat")
        {
            tracing::warn!("no rules for IPv6: {error}");
            opened.families.v6 = false;
        }
        Ok(opened)
    }

    /// Applies a change; everything where the tables are not known. `rules` is the state after it.
    ///
    /// # Errors
    /// When a program fails. Everything is written at the next call then.
    pub fn apply(&mut self, rules: &RuleSet, delta: &RuleDelta) -> Result<Applied, IptablesError> {
        if !std::mem::take(&mut self.known) || delta.node.is_some() {
            return self.adopt(rules);
        }
        let mut applied = Applied::default();
        for v6 in self.families.each() {
            if let Some(script) = change(rules, delta, v6) {
                self.variant.restore(v6, &script)?;
                applied.messages += script.lines().count();
            }
        }
        self.known = true;
        Ok(applied)
    }

    /// Writes everything.
    ///
    /// # Errors
    /// When a program fails.
    pub fn adopt(&mut self, rules: &RuleSet) -> Result<Applied, IptablesError> {
        let mut applied = Applied {
            messages: 0,
            full: true,
        };
        if rules.node().loopback
            && let Some(refused) = sysctl::apply(&[ROUTE_LOOPBACK]).pop()
        {
            return Err(refused.into());
        }
        for v6 in self.families.each() {
            let script = full(
                rules,
                v6,
                &self.variant.save(v6, "filter")?,
                &self.variant.save(v6, "nat")?,
            );
            self.variant.restore(v6, &script)?;
            applied.messages += script.lines().count();
        }
        self.known = true;
        Ok(applied)
    }

    /// Whether somebody flushed the tables.
    ///
    /// # Errors
    /// When a program fails.
    pub fn is_in_doubt(&mut self) -> Result<bool, IptablesError> {
        for v6 in self.families.each() {
            for table in TABLES {
                if !self.variant.save(v6, table)?.chains.contains(CANARY) {
                    return Ok(true);
                }
            }
        }
        Ok(!self.known)
    }

    /// Removes all that is ours.
    ///
    /// # Errors
    /// When a program fails; that there is nothing is no error.
    pub fn remove(&mut self) -> Result<(), IptablesError> {
        self.known = false;
        for v6 in self.families.each() {
            for table in TABLES {
                if let Some(script) = cleanup(table, &self.variant.save(v6, table)?) {
                    self.variant.restore(v6, &script)?;
                }
            }
        }
        Ok(())
    }
}

fn run(program: &str, args: &[&str], input: &str) -> Result<String, IptablesError> {
    let speak = |source| IptablesError::Speak {
        program: program.to_owned(),
        source,
    };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| IptablesError::Start {
            program: program.to_owned(),
            source,
        })?;
    // One that ends before it read all says why on its error output.
    let written = child
        .stdin
        .take()
        .map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(speak)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(IptablesError::Refused {
            program: program.to_owned(),
            message: text.trim().replace('\n', "; "),
        });
    }
    written.transpose().map_err(speak)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
