//! Tables and properties of the mount table parser.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TABLE: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
23 22 0:21 / /proc rw,relatime shared:5 - proc proc rw
30 22 0:40 / /mnt/a\\040b rw shared:1 master:2 propagate_from:3 - nfs4 srv:/x rw,vers=4.2
31 22 0:41 / /run ro - tmpfs  rw,size=4k
32 31 0:42 /sub /run/x rw,nosuid - fuse.sshfs u@h: rw
33 31 0:43 / /run/x rw - tmpfs tmpfs rw
";

fn table() -> Vec<MountEntry> {
    parse(TABLE.as_bytes()).unwrap()
}

#[test]
fn fields_and_escapes() {
    let got = table();
    assert_eq!(got.len(), 6);
    assert_eq!(got[2].mount_point, Path::new("/mnt/a b"));
    assert_eq!(
        (got[2].fs_type.as_str(), got[2].super_options.as_str()),
        ("nfs4", "rw,vers=4.2")
    );
    assert_eq!(
        (got[3].source.as_os_str().len(), got[3].options.as_str()),
        (0, "ro")
    );
    assert_eq!((got[4].id, got[4].root.as_path()), (32, Path::new("/sub")));
    assert_eq!(path(b"a\\134b\\999\\0"), Path::new("a\\b\\999\\0"));
}

#[test]
fn malformed_lines_are_named() {
    let check = |line: &str, missing| {
        let table = format!("{}{line}\n", TABLE);
        assert_eq!(
            parse(table.as_bytes()),
            Err(MountInfoError { line: 7, missing }),
            "{line}"
        );
    };
    check("x 1 0:1 / / rw - ext4 a rw", "mount id");
    check("1 1 0:1 /", "mount point");
    check("1 1 0:1 / / rw shared:1", "separator");
    check("1 1 0:1 / / rw -", "file system type");
    check("1 1 0:1 / / rw - ext4", "mount source");
}

#[test]
fn the_mount_of_a_path() {
    let table = table();
    let check = |path: &str, id| assert_eq!(mount_of(&table, Path::new(path)).unwrap().id, id);
    check("/etc/passwd", 22);
    check("/run/y", 31);
    check("/run/x/y", 33);
    check("/runner", 22);
    assert_eq!(mounted_at(&table, Path::new("/run/x")).unwrap().id, 33);
    assert_eq!(mounted_at(&table, Path::new("/run/x/y")), None);
}

#[test]
fn unmount_order_is_top_down_and_inside_out() {
    let table = table();
    let order: Vec<u64> = mounts_below(&table, Path::new("/run"))
        .iter()
        .map(|e| e.id)
        .collect();
    assert_eq!(order, [33, 32, 31]);
}

#[test]
fn symlinks_that_lead_to_a_server_are_seen() {
    let table = table();
    let links: BTreeMap<&Path, &str> = [
        (Path::new("/data"), "mnt/a b/vol"),
        (Path::new("/opt/x"), "../data/y"),
        (Path::new("/loop"), "/loop"),
        (Path::new("/safe"), "etc"),
    ]
    .into();
    let check = |path: &str, want| {
        let got = may_block(&table, Path::new(path), |p| links.get(p).map(PathBuf::from));
        assert_eq!(got, want, "{path}");
    };
    check("/etc/hosts", false);
    check("/safe/hosts", false);
    check("/mnt/a b", true);
    check("/data", true);
    check("/opt/x/z", true);
    check("/opt/../data", true);
    check("/loop", true);
    check("relative", true);
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_not_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn what_the_kernel_escapes_comes_back(name in "[a-z \t\n\\\\]{1,20}") {
        let escape = |c: char| match c {
            ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(c)),
            c => c.to_string(),
        };
        let line = format!("1 0 0:1 / /{} rw - ext4 a rw", name.chars().map(escape).collect::<String>());
        let got = parse(line.as_bytes()).unwrap();
        prop_assert_eq!(&got[0].mount_point, &PathBuf::from(format!("/{name}")));
    }
}
