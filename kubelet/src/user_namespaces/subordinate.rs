//! The ids of the host that pods may have: the subordinate ids of user `kubelet`, where there is
//! such a user and the tool that tells them; else everything above the host's own.
//!
//! Asked once, at start. The text of the answer is read by pure functions.

use std::fs;
use std::io;
use std::process::Command;

use super::ranges::IdRange;

const USER: &str = "kubelet";
const TOOL: &str = "getsubids";

/// Why the ids are not known.
#[derive(Debug, thiserror::Error)]
pub enum SubordinateError {
    /// A program or file could not be read.
    #[error("{step}: {source}")]
    Read {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// User `kubelet` is there and has no ids.
    #[error(
        "getsubids tells no ids of user kubelet ({said}): give it some in /etc/subuid and \
         /etc/subgid, or remove the user"
    )]
    None {
        /// What it said.
        said: String,
    },
    /// User ids and group ids differ.
    #[error("user kubelet has other subordinate user ids than group ids: make them equal")]
    Differ,
    /// The answer is not one range.
    #[error("getsubids says {said:?}: give user kubelet exactly one range of ids")]
    Unusual {
        /// What it said.
        said: String,
    },
}

/// Finds the ids out.
///
/// # Errors
/// When user `kubelet` is there, and its ids can't be learned or used.
pub fn ids_for_pods(per_pod: u32) -> Result<IdRange, SubordinateError> {
    let read = |step| move |source| SubordinateError::Read { step, source };
    let users = fs::read_to_string("/etc/passwd").map_err(read("read /etc/passwd"))?;
    if !has_user(&users, USER) {
        return Ok(above_the_hosts(per_pod));
    }
    let ask = |args: &[&str]| Command::new(TOOL).args(args).output();
    let users = match ask(&[USER]) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(above_the_hosts(per_pod));
        }
        asked => asked.map_err(read("run getsubids kubelet"))?,
    };
    let groups = ask(&["-g", USER]).map_err(read("run getsubids -g kubelet"))?;
    for output in [&users, &groups] {
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(SubordinateError::None { said });
        }
    }
    if users.stdout != groups.stdout {
        return Err(SubordinateError::Differ);
    }
    one_range(&String::from_utf8_lossy(&users.stdout))
}

/// Everything but the ids that the host itself uses.
fn above_the_hosts(per_pod: u32) -> IdRange {
    IdRange {
        first: per_pod,
        // As many as there are from `first` to the last of 32 bits.
        length: u32::MAX - per_pod + 1,
    }
}

fn has_user(passwd: &str, name: &str) -> bool {
    let mut names = passwd.lines().filter_map(|line| line.split(':').next());
    names.any(|found| found == name)
}

/// Reads `0: kubelet 65536 2147483648`.
fn one_range(answer: &str) -> Result<IdRange, SubordinateError> {
    let unusual = || SubordinateError::Unusual {
        said: answer.trim().to_owned(),
    };
    let mut lines = answer.trim().lines();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(unusual());
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, _, first, length] = words.as_slice() else {
        return Err(unusual());
    };
    let number = |word: &str| word.parse::<u32>().map_err(|_| unusual());
    Ok(IdRange {
        first: number(first)?,
        length: number(length)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_range() {
        let range = one_range("0: kubelet 65536 2147483648\n").unwrap();
        assert_eq!((range.first, range.length), (65_536, 2_147_483_648));
        for wrong in [
            "",
            "0: kubelet 65536",
            "0: kubelet a b",
            "0: kubelet 65536 1\n1: kubelet 9 9",
        ] {
            assert!(one_range(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn finds_a_user_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\nkubelets:x:1:1::/:/bin/sh\n";
        assert!(has_user(passwd, "root"));
        assert!(!has_user(passwd, "kubelet"));
    }

    #[test]
    fn without_the_user_the_hosts_own_ids_are_left_out() {
        let ids = above_the_hosts(65_536);
        assert_eq!(u64::from(ids.first) + u64::from(ids.length), 1 << 32);
        assert!(ids.length.is_multiple_of(65_536));
    }
}
