#!/bin/sh
# Writes an initrd to its output: busybox and the modules that reach the root disk of `$1`, the
# folder of the machine's files. `$2` is a folder to work in.
# Asked on the kernel's command line (keelson.probe) it only tells that this machine boots.
set -eu
root=$1
work=$2

version=$(ls "$root/usr/lib/modules")
mkdir -p "$work/bin" "$work/dev" "$work/proc" "$work/sys" "$work/root" "$work/modules"
cp "$root/usr/bin/busybox" "$work/bin/busybox"

number=10
for module in virtio_pci virtio_blk ext4; do
    chroot "$root" modprobe --set-version "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
    name=$number-$(basename "${file%%.ko*}").ko
    case $file in
    *.xz) xz -dc "$root$file" >"$work/modules/$name" ;;
    *.zst) zstd -qdc "$root$file" >"$work/modules/$name" ;;
    *) cp "$root$file" "$work/modules/$name" ;;
    esac
    number=$((number + 1))
done

cat >"$work/init" <<'EOF'
#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t devtmpfs dev /dev
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sys /sys
case " $($busybox cat /proc/cmdline) " in *" keelson.probe "*)
    echo "keelson: this machine boots"
    $busybox poweroff -f
    ;;
esac
for module in /modules/*.ko; do $busybox insmod "$module"; done
$busybox mount -t ext4 /dev/vda /root &&
    $busybox mount -t ext4 -o ro /dev/vdb /root/media/tests || {
    echo "keelson: the disks cannot be mounted"
    $busybox poweroff -f
}
$busybox mount --move /dev /root/dev
$busybox umount /sys /proc
exec $busybox switch_root /root /usr/lib/systemd/systemd
EOF
chmod 755 "$work/init"
cd "$work"
find . | cpio --quiet -o -H newc -R 0:0
