#!/usr/bin/env bash
# Fuzzes what comes from outside: each target of gc-emp-test/fuzz for FUZZ_SECONDS (60), under
# AddressSanitizer and UndefinedBehaviorSanitizer. FUZZ_TARGETS names some of them ("garbler frames").
# What a run learns stays in build/fuzz/corpus, where the next one starts; findings go to results/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${FUZZ_SECONDS:-60}
build=build/fuzz
findings=results/fuzz
fail() { printf 'fuzz: error: %s\n' "$*" >&2; exit 1; }

check_tools() {
    command -v clang++ >/dev/null || fail "clang++ is not installed; the packages are clang and libclang-rt-dev"
    local major
    major=$(clang++ -dumpversion)
    echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' \
        | clang++ -fsanitize=fuzzer,address,undefined -x c++ - -o /dev/null 2>/dev/null \
        || fail "clang++ has no libFuzzer or sanitizers; the package is libclang-rt-${major%%.*}-dev"
}

all_targets() {
    local file
    for file in gc-emp-test/fuzz/fuzz_*.cpp; do
        file=${file##*/fuzz_}
        printf '%s\n' "${file%.cpp}"
    done
}

check_arguments() {
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "FUZZ_SECONDS is '$seconds'; give a whole number from 1"
    read -ra targets <<<"${FUZZ_TARGETS:-$(all_targets | tr '\n' ' ')}"
    local name
    for name in "${targets[@]}"; do
        all_targets | grep -qxF -- "$name" \
            || fail "there is no target '$name'; FUZZ_TARGETS takes: $(all_targets | tr '\n' ' ')"
    done
}

build_targets() {
    mkdir -p "$build"
    cmake -S gc-emp-test -B "$build" -DGC_FUZZ=ON -DGC_BACKEND=builtin -DCMAKE_CXX_COMPILER=clang++ \
        -DCMAKE_RUNTIME_OUTPUT_DIRECTORY="$PWD/$build/bin" >"$build/build.log" 2>&1 \
        && cmake --build "$build" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" \
            --target "${targets[@]/#/fuzz_}" >>"$build/build.log" 2>&1 \
        || { tail -n 30 "$build/build.log" >&2; fail "the build failed; the whole log is $build/build.log"; }
}

statistic() { sed -n "s/^stat::$1: *//p" "$2" | tail -n 1; }

# One line a target. libFuzzer ends at its first finding and writes the input that led there.
fuzz() {
    local name=fuzz_$1 program=$build/programs/fuzz/fuzz_$1 log=$build/fuzz_$1.log status=0
    local corpus=$build/corpus/$1 found runs speed
    mkdir -p "$corpus" "$findings"
    "$program" -max_total_time="$seconds" -timeout=20 -print_final_stats=1 \
        -artifact_prefix="$findings/$name-" "$corpus" >"$log" 2>&1 || status=$?
    runs=$(statistic number_of_executed_units "$log")
    speed=$(statistic average_exec_per_sec "$log")
    printf '%s: %s runs, %s exec/s, ' "$name" "${runs:-unknown}" "${speed:-unknown}"
    if [ "$status" -eq 0 ]; then
        printf 'no finding\n'
        return
    fi
    found=$(sed -n 's/^.*Test unit written to //p' "$log" | tail -n 1)
    if [ -n "$found" ]; then
        printf 'a finding; reproduce it with: %s %s\n' "$program" "$found"
    else
        printf 'ended with status %s and no input; see %s\n' "$status" "$log"
    fi
    return 1
}

check_arguments
check_tools
build_targets
failed=()
for target in "${targets[@]}"; do
    fuzz "$target" || failed+=("$target")
done
[ ${#failed[@]} -eq 0 ] || fail "findings in: ${failed[*]}; the logs are $build/fuzz_NAME.log"
