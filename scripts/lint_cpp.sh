#!/usr/bin/env bash
# Lints the C++ half: clang-format over every source, clang-tidy over the sources of a build on the
# own engine. A tool that is not installed is named and skipped. clang-tidy leaves out a source that
# has not changed, nor any header, since it was last found clean. With --format: clang-format alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/lint
say() { printf 'lint: %s\n' "$*"; }
fail() { printf 'lint: error: %s\n' "$*" >&2; exit 1; }

sources() { # PATTERN: every file of that name but those in folders that builds leave
    find gc-emp-test -type d \( -name 'build*' -o -name CMakeFiles \) -prune \
        -o -type f -name "$1" -print | sort
}

check_format() {
    mapfile -t files < <(sources '*.[ch]pp')
    clang-format --dry-run --Werror "${files[@]}" \
        || fail "sources are not formatted; format each with: clang-format -i FILE"
    say "clang-format: ${#files[@]} files formatted"
}

# Clang knows the fuzz targets, which GCC cannot build; the Python extension needs nanobind.
configure() {
    local options=(-DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DGC_BACKEND=builtin
        -DCMAKE_RUNTIME_OUTPUT_DIRECTORY="$PWD/$build/bin")
    if command -v clang++ >/dev/null; then
        options+=(-DCMAKE_CXX_COMPILER=clang++ -DGC_FUZZ=ON)
    fi
    if .venv/bin/python -c 'import nanobind' 2>/dev/null; then
        options+=(-DCAPC_PYTHON=ON -DPython_EXECUTABLE="$PWD/.venv/bin/python")
    fi
    mkdir -p "$build/clean"
    # Another compiler than last time needs an empty cache.
    rm -rf "$build/CMakeCache.txt" "$build/CMakeFiles"
    cmake -S gc-emp-test -B "$build" "${options[@]}" >"$build/configure.log" 2>&1 \
        || { tail -n 20 "$build/configure.log" >&2; fail "cmake failed; the whole log is $build/configure.log"; }
}

stamp_of() { printf '%s/clean/%s\n' "$build" "${1//\//-}"; }
digest_of() { { printf '%s\n' "$common"; cat "$1"; } | sha256sum; }

tidy() {
    local output
    if output=$(clang-tidy --quiet -p "$build" --extra-arg=-Wno-unknown-warning-option "$1" 2>&1); then
        digest_of "$1" >"$(stamp_of "$1")"
    else
        printf '%s\n' "$output" >&2
        return 1
    fi
}

check_tidy() {
    configure
    export build common
    common=$({ clang-tidy --version; cat gc-emp-test/.clang-tidy "$build/compile_commands.json"
        sources '*.hpp' | xargs cat; } | sha256sum)
    export -f tidy stamp_of digest_of
    local file all=0 left_out=() changed=()
    while read -r file; do
        if ! grep -qF "\"file\": \"$PWD/$file\"" "$build/compile_commands.json"; then
            left_out+=("$file")
            continue
        fi
        all=$((all + 1))
        [ "$(cat "$(stamp_of "$file")" 2>/dev/null)" = "$(digest_of "$file")" ] || changed+=("$file")
    done < <(sources '*.cpp')
    if [ ${#changed[@]} -gt 0 ]; then
        printf '%s\0' "${changed[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy "$1"' tidy \
            || fail "clang-tidy has findings; mend them or, in gc-emp-test/.clang-tidy, say why not"
    fi
    say "clang-tidy: $all files without a finding, ${#changed[@]} of them checked now"
    [ ${#left_out[@]} -eq 0 ] || say "clang-tidy: not in this build: ${left_out[*]}"
}

if command -v clang-format >/dev/null; then
    check_format
else
    say "clang-format is not installed, the format is not checked; the package is clang-format"
fi
[ "${1:-}" != --format ] || exit 0
if command -v clang-tidy >/dev/null; then
    check_tidy
else
    say "clang-tidy is not installed, its checks are left out; the package is clang-tidy"
fi
