#!/bin/sh
# Builds the machine of the vm tier and prints the folder that holds it: kernel, initrd, disk.img.
#
# A Debian testing with systemd and what a node needs, made by mmdebstrap and booted without a boot
# loader. It is kept in a cache folder under the checksum of what it is made by (this file and
# initrd.sh), so a changed recipe is a new machine. Nobody can log in; there is no network card.
set -eu
cd "$(dirname "$0")"

suite=${KEELSON_VM_SUITE:-forky}
mirror=${KEELSON_VM_MIRROR:-http://deb.debian.org/debian}
packages=systemd,systemd-sysv,dbus,containerd,runc,iproute2,nftables,iptables,ipvsadm,ipset,conntrack
packages=$packages,busybox-static,kmod,procps,util-linux,mount,linux-image-cloud-amd64,tiny-initramfs
cache=${KEELSON_VM_CACHE:-/var/cache/keelson-vm}
key=$({ echo "$suite $mirror"; cat image.sh initrd.sh; } | sha256sum | cut -c1-16)
folder=$cache/$key

say() { echo "vm image: $*" >&2; }

if [ -e "$folder/complete" ]; then
    echo "$folder"
    exit
fi

mkdir -p "$cache"
# Machines of older recipes go after a while.
find "$cache" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

say "building Debian $suite in $folder (once per recipe)"
# The index may be past its date on a mirror that lags: what it lists is still signed.
mmdebstrap --quiet --mode=root --variant=essential --format=directory \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include="$packages" "$suite" "$root" "$mirror" >&2

# The distribution's own containerd is there and stays off: the node brings one of its own.
rm "$root/etc/systemd/system/multi-user.target.wants/containerd.service"
echo vm >"$root/etc/hostname"
# A machine with an identity is not booted for the first time: no presets are applied.
echo 6b65656c736f6e20766d207469657200 >"$root/etc/machine-id"
echo 'nameserver 192.0.2.53' >"$root/etc/resolv.conf"
: >"$root/etc/fstab"
mkdir -p "$root/media/tests"
cat >"$root/etc/systemd/system/keelson-vm.service" <<EOF
[Unit]
Description=The cases of the vm tier
After=network-online.target
[Service]
Type=exec
ExecStart=/bin/sh /media/tests/guest.sh
TimeoutStopSec=10
[Install]
WantedBy=multi-user.target
EOF
ln -s ../keelson-vm.service "$root/etc/systemd/system/multi-user.target.wants/"

mkdir "$work/out"
cp "$root"/boot/vmlinuz-* "$work/out/kernel"
./initrd.sh "$root" "$work/initrd" >"$work/out/initrd"
rm -rf "$root"/boot/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
truncate -s 3G "$work/out/disk.img"
mke2fs -q -t ext4 -O ^has_journal -L keelson-vm -d "$root" "$work/out/disk.img" >&2
touch "$work/out/complete"
rm -rf "$folder"
mv "$work/out" "$folder"
say "built: $(du -sh "$folder" | cut -f1)"
echo "$folder"
