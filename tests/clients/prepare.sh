#!/bin/sh
# Has the Python client in an environment of its own and prints that environment's python, or says
# why there is none: PyPI may be out of reach.
set -eu

version=${1:?the version of the kubernetes package}
folder=${KEELSON_PREFIX:-/opt/keelson}/python-kubernetes-$version
python=$folder/bin/python

has_client() { "$python" -c 'import kubernetes' 2>/dev/null; }

if ! has_client; then
    rm -rf "$folder"
    python3 -m venv "$folder" >&2
    "$python" -m pip install --quiet --no-compile --disable-pip-version-check "kubernetes==$version" >&2
    has_client
fi
echo "$python"
