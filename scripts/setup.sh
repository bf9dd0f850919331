#!/usr/bin/env bash
# Sets CaPC up in .venv: system packages checked, Python packages as locked, C++ built.
# Idempotent: steps whose inputs have not changed are skipped. Python: $PYTHON, else that of .venv,
# else the newest found. With --system: the system packages alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
stamps=$venv/.capc
say() { printf 'set-up: %s\n' "$*"; }
fail() { printf 'set-up: error: %s\n' "$*" >&2; exit 1; }

find_python() {
    local candidate candidates=("$PWD/$venv/bin/python" python3.13 python3.12 python3.11 python3.10 python3)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        # An environment's own interpreter would go with the environment: take the one behind it.
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            "$candidate" -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))'
            return
        fi
    done
    return 1
}

# One line a missing tool: its Debian package. Every miss is collected before anything is said.
missing_packages() {
    command -v tmux >/dev/null || echo tmux
    command -v "${CXX:-c++}" >/dev/null || echo g++
    command -v cmake >/dev/null || echo cmake
    command -v make >/dev/null || echo make
    if command -v "${CXX:-c++}" >/dev/null; then
        echo '#include <openssl/evp.h>' | "${CXX:-c++}" -E -x c++ - >/dev/null 2>&1 || echo libssl-dev
    else
        echo libssl-dev
    fi
    local python
    if python=$(find_python); then
        "$python" -c 'import ensurepip' 2>/dev/null || echo python3-venv
        "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || echo python3-dev
    else
        printf '%s\n' python3 python3-venv python3-dev
    fi
}

check_system() {
    local missing
    missing=$(missing_packages | tr '\n' ' ')
    missing=${missing% }
    [ -z "$missing" ] && return
    local line="apt-get install --yes --no-install-recommends $missing"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ "${CAPC_NO_APT:-}" = "" ]; then
        say "installing system packages: $missing"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive $line >/dev/null
        missing=$(missing_packages | tr '\n' ' ')
        [ -z "$missing" ] || fail "still missing after the installation: $missing"
    else
        fail "missing system packages: $missing; install them with: sudo $line"
    fi
}

# step NAME INPUT... -- COMMAND...: runs the command unless it succeeded before on the same inputs.
step() {
    local name=$1 inputs=() digest
    shift
    while [ "$1" != -- ]; do inputs+=("$1"); shift; done
    shift
    digest=$(cat "${inputs[@]}" | sha256sum)
    if [ "$(cat "$stamps/$name" 2>/dev/null)" = "$digest" ]; then
        say "$name: up to date"
        return
    fi
    say "$name ..."
    "$@"
    mkdir -p "$stamps"
    printf '%s\n' "$digest" >"$stamps/$name"
}

version_of() { "$1" -c 'import sys; print(*sys.version_info[:2], sep=".")'; }

make_environment() {
    # A moved or half-made environment does not start its own pip: make it anew. So too for another
    # Python.
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 \
        || [ "$(version_of "$venv/bin/python")" != "$(version_of "$1")" ]; then
        rm -rf "$venv"
        "$1" -m venv "$venv"
    fi
}

install_packages() {
    "$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --require-hashes \
        --requirement requirements.lock
}

# The extension goes beside the sources and the package is only linked, so that a checkout runs as it is.
build() {
    "$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --no-deps \
        --no-build-isolation --config-settings=wheel.cmake=false --editable .
    "$venv/bin/python" -m compileall -q capc
    local log=build/gc.log
    mkdir -p build
    cmake -S gc-emp-test -B build/gc -DCMAKE_BUILD_TYPE=Release -DCAPC_PYTHON=ON \
        -DPython_EXECUTABLE="$PWD/$venv/bin/python" >"$log" 2>&1 \
        && cmake --build build/gc --parallel "$(nproc)" >>"$log" 2>&1 \
        && cmake --install build/gc --prefix "$PWD" --component python >>"$log" 2>&1 \
        || { tail -n 30 "$log" >&2; fail "the C++ build failed; the whole log is $log"; }
}

[ -z "${PYTHON:-}" ] || find_python >/dev/null \
    || fail "PYTHON is $PYTHON, which is no Python 3.10 to 3.13; leave it out to take the newest found"
check_system
[ "${1:-}" != --system ] || exit 0
python=$(find_python) || fail "no Python 3.10 to 3.13 found; install one or name it: make setup PYTHON=..."
say "Python: $python ($("$python" --version 2>&1))"
make_environment "$python"
step packages requirements.lock -- install_packages
mapfile -d '' sources < <(find gc-emp-test pyproject.toml -type f \
    \( -name '*.cpp' -o -name '*.hpp' -o -name '*.h' -o -name 'CMakeLists.txt' -o -name '*.cmake' \
    -o -name '*.in' -o -name pyproject.toml \) -not -path '*/CMakeFiles/*' -print0 | sort -z)
step build "${sources[@]}" -- build
say "done: $venv"
