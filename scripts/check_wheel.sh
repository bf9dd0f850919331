#!/usr/bin/env bash
# Builds the sources and, from them, the wheel as pip would; installs the wheel in an environment of
# its own; asks a query in an empty folder; installs over it once more, as an upgrade does. Both are
# in dist/ then. The argument is the Python that builds.
set -euo pipefail
python=$(realpath --no-symlinks "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
say() { printf 'check-wheel: %s\n' "$*"; }

say "building"
"$python" -m build --no-isolation --outdir "$folder/dist" "$root" >"$folder/build.log" 2>&1 \
    || { tail -n 30 "$folder/build.log" >&2; exit 1; }
wheel=("$folder"/dist/*.whl)

say "installing $(basename "${wheel[0]}")"
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "${wheel[0]}"

mkdir "$folder/empty"
cd "$folder/empty"
capc=$folder/venv/bin/capc
"$capc" --version
"$capc" doctor
"$capc" privacy cost --sigma 7 --queries 100
"$capc" run --n_parties=3 --ignore_parties --launcher=subprocess
[ "$(ls)" = results ] || { say "a run left more than results/: $(ls)"; exit 1; }

say "installing once more"
before=$(find "$folder/venv" -path '*/capc/*' -type f -not -name '*.pyc' | sort)
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "${wheel[0]}"
after=$(find "$folder/venv" -path '*/capc/*' -type f -not -name '*.pyc' | sort)
[ "$before" = "$after" ] || { say "files of the former installation are left"; exit 1; }
"$capc" doctor --without_run
mkdir -p "$root/dist"
cp "$folder"/dist/* "$root/dist/"
say "done: $(cd "$folder/dist" && echo *) in dist/"
