#!/bin/sh
# Puts a containerd of version 2 and an OCI runtime on this machine and prints containerd's folder.
#
# A containerd >= 2 that is already there is used as it is. Otherwise the newest Debian suite that
# carries one is found on the mirror which this machine's own apt uses; the index is checked
# against Debian's signature, the package against the index, and the files are unpacked into
# /opt/keelson/containerd-VERSION. With `cni-plugins` it does the same for the Go CNI plugins, which
# the tests compare ours with, and for what else only tests use: with `etcd` for the etcd that the
# store's tests talk to, with `kubectl` for the API server's, with `api-sources` for upstream's types,
# which ours are held against. Nothing that is installed or running is replaced or restarted.
set -eu

prefix=${KEELSON_PREFIX:-/opt/keelson}
suites=${KEELSON_SUITES:-"trixie-backports forky testing sid"}

say() { echo "fetch-runtime: $*" >&2; }
die() { say "$*"; exit 1; }

# The version of the containerd at $1, without the leading v, or nothing.
version_of() { "$1" --version 2>/dev/null | awk '{ sub(/^v/, "", $3); print $3 }'; }

is_v2() { case "$(version_of "$1")" in [2-9].*|[1-9][0-9].*) [ -x "${1%/*}/containerd-shim-runc-v2" ] ;; *) false ;; esac; }

# Prints the folder of a usable containerd, if there is one: ours first, then the machine's.
installed() {
    for candidate in "$prefix"/containerd-*/usr/bin/containerd /usr/bin/containerd \
        /usr/local/bin/containerd; do
        if [ -x "$candidate" ] && is_v2 "$candidate"; then echo "${candidate%/*}"; return 0; fi
    done
    return 1
}

# The mirror of the main Debian archive, from apt's own list of indexes.
mirror() {
    apt-get indextargets --format '$(SITE) $(ORIGIN) $(CODENAME)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "Debian" && $1 !~ /security/ { print $1; exit }'
}

verify() { # keyring, signed file, output
    # sqv does not write over the file of the suite that was looked at before.
    rm -f "$3"
    if command -v gpgv >/dev/null; then
        gpgv --quiet --keyring "$1" --output "$3" "$2" 2>"$work/gpgv.log" ||
            { cat "$work/gpgv.log" >&2; die "$2: Debian's signature does not match"; }
    elif command -v sqv >/dev/null; then
        sqv --keyring "$1" --cleartext --output "$3" "$2" >/dev/null 2>"$work/gpgv.log" ||
            { cat "$work/gpgv.log" >&2; die "$2: Debian's signature does not match"; }
    else
        die "neither gpgv nor sqv is installed: apt-get install gpgv"
    fi
}

check_sum() { # sum, file
    [ "$(sha256sum "$2" | cut -d' ' -f1)" = "$1" ] || die "$2: the checksum does not match the signed index"
}

# Writes the index of suite $1 to $work/Packages; fails when the mirror has no such suite.
# The valid-until date is left aside: a mirror that lags still carries what Debian signed.
index() {
    curl -fsSL --retry 3 -o "$work/InRelease" "$site/dists/$1/InRelease" 2>/dev/null || return 1
    verify "$keyring" "$work/InRelease" "$work/Release"
    file=main/binary-$arch/Packages.xz
    sum=$(awk -v file="$file" '/^SHA256:/ { on = 1; next } /^[A-Z]/ { on = 0 } on && $3 == file { print $1 }' "$work/Release")
    [ -n "$sum" ] || return 1
    curl -fsSL --retry 3 -o "$work/Packages.xz" "$site/dists/$1/$file" || return 1
    check_sum "$sum" "$work/Packages.xz"
    xz -dc "$work/Packages.xz" >"$work/Packages"
}

field() { # package, field
    awk -v want="$1" -v field="$2:" '/^Package: / { on = $2 == want } on && $1 == field { print $2; exit }' "$work/Packages"
}

# Fetches package $2 of suite $1, checked, and unpacks it into $work/$2.
fetch() {
    say "fetching $2 $(field "$2" Version) from Debian $1 ($site)"
    curl -fsSL --retry 3 -o "$work/$2.deb" "$site/$(field "$2" Filename)"
    check_sum "$(field "$2" SHA256)" "$work/$2.deb"
    dpkg-deb -x "$work/$2.deb" "$work/$2"
}

# Moves what was fetched to its place, whose name carries the version.
keep() {
    target=$prefix/$1-$(field "$1" Version | tr -c 'A-Za-z0-9.+\n' -)
    rm -rf "$target"
    mv "$work/$1" "$target"
    chmod 755 "$target"
}

containerd_of() { # suite
    version=$(field containerd Version)
    case "$version" in [2-9].*|[1-9][0-9].*) ;; *) return 1 ;; esac
    fetch "$1" containerd
    if ! is_v2 "$work/containerd/usr/bin/containerd"; then
        say "containerd $version of $1 does not run here (an older libc?)"
        rm -rf "$work/containerd"
        return 1
    fi
    keep containerd
}

# The Go plugins, which only tests use: 1.6 is the first that the plugins are compared with.
cni_plugins() {
    for folder in "$prefix"/containernetworking-plugins-*/usr/lib/cni; do
        if [ -x "$folder/bridge" ]; then echo "$folder"; return 0; fi
    done
    return 1
}

cni_plugins_of() { # suite
    version=$(field containernetworking-plugins Version)
    case "$version" in ''|0.*|1.[0-5].*) return 1 ;; esac
    fetch "$1" containernetworking-plugins
    keep containernetworking-plugins
}

# etcd 3.5 or newer, which only tests use; prints the folder of the server.
etcd() {
    for candidate in "$prefix"/etcd-server-*/usr/bin/etcd /usr/bin/etcd; do
        case "$("$candidate" --version 2>/dev/null | awk 'NR == 1 { print $3 }')" in
        3.[5-9].*|3.[1-9][0-9]*|[4-9].*) echo "${candidate%/*}"; return 0 ;;
        esac
    done
    return 1
}

etcd_of() { # suite
    version=$(field etcd-server Version)
    case "$version" in 3.[5-9].*|3.[1-9][0-9]*|[4-9].*) ;; *) return 1 ;; esac
    fetch "$1" etcd-server
    if ! "$work/etcd-server/usr/bin/etcd" --version >/dev/null 2>&1; then
        say "etcd $version of $1 does not run here (an older libc?)"
        rm -rf "$work/etcd-server"
        return 1
    fi
    keep etcd-server
}

# kubectl 1.36 or newer; prints the program.
kubectl() {
    for candidate in "$prefix"/kubectl-*/usr/bin/kubectl /usr/bin/kubectl /usr/local/bin/kubectl; do
        case "$("$candidate" version --client 2>/dev/null | awk '/^Client/ { print $3 }')" in
        v1.3[6-9].*|v1.[4-9][0-9].*) echo "$candidate"; return 0 ;;
        esac
    done
    return 1
}

kubectl_of() { # suite
    case "$(field kubectl Version)" in 1.3[6-9].*|1.[4-9][0-9].*) ;; *) return 1 ;; esac
    fetch "$1" kubectl
    keep kubectl
}

# Upstream's API types of 1.36; prints the folder that holds k8s.io/api.
api_sources() {
    for folder in "$prefix"/golang-k8s-api-dev-0.36.*/usr/share/gocode/src; do
        if [ -d "$folder/k8s.io/api" ]; then echo "$folder"; return 0; fi
    done
    return 1
}

api_sources_of() { # suite
    case "$(field golang-k8s-api-dev Version)" in 0.36.*) ;; *) return 1 ;; esac
    fetch "$1" golang-k8s-api-dev
    keep golang-k8s-api-dev
}

# Finds the newest suite that has what is asked for and sets the mirror up for it.
from_suites() { # function
    arch=$(dpkg --print-architecture)
    site=$(mirror)
    [ -n "$site" ] || site=http://deb.debian.org/debian
    site=${site%/}
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r "$keyring" ] || keyring=/usr/share/keyrings/debian-archive-keyring.pgp
    mkdir -p "$prefix"
    work=$(mktemp -d "$prefix/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    for suite in $suites; do
        if index "$suite" && "$1" "$suite"; then return 0; fi
    done
    return 1
}

oci_runtime() {
    for name in runc crun; do command -v "$name" >/dev/null && return 0; done
    for package in runc crun; do
        say "installing $package"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$package" >/dev/null && return 0
    done
    die "neither runc nor crun could be installed (apt's reason is above)"
}

case "${1:-containerd}" in
containerd)
    oci_runtime
    installed || { from_suites containerd_of && installed; } ||
        die "no Debian suite of [$suites] at ${site:-the mirror} has a containerd 2 that runs here"
    ;;
cni-plugins)
    cni_plugins || { from_suites cni_plugins_of && cni_plugins; } ||
        die "no Debian suite of [$suites] at ${site:-the mirror} has the Go CNI plugins"
    ;;
etcd)
    etcd || { from_suites etcd_of && etcd; } ||
        die "no Debian suite of [$suites] at ${site:-the mirror} has an etcd 3.5 that runs here"
    ;;
kubectl)
    kubectl || { from_suites kubectl_of && kubectl; } ||
        die "no Debian suite of [$suites] at ${site:-the mirror} has a kubectl 1.36"
    ;;
api-sources)
    api_sources || { from_suites api_sources_of && api_sources; } ||
        die "no Debian suite of [$suites] at ${site:-the mirror} has the API's sources of 1.36"
    ;;
*) die "what to fetch: containerd, cni-plugins, etcd, kubectl or api-sources" ;;
esac
