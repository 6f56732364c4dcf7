#!/usr/bin/env bash
# Counts what instructions the pure core takes for one piece of work, under valgrind, and holds
# them against the counts that are committed: a time depends on the machine and on what else runs
# there, a count hardly does.
#
#   scripts/instructions.sh          fails if a count is higher by more than 10%: other compilers
#                                    and processors make a few per cent
#   scripts/instructions.sh accept   writes the counts down as they are now
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly counts=benches/instructions/counts.txt
readonly more_max_percent=10
readonly times_short=100 times_long=1100
readonly program=${CARGO_TARGET_DIR:-target}/release/instructions

fail() {
    printf 'instructions: %s\n' "$*" >&2
    exit 1
}

# Other processors have other instructions, and valgrind knows few.
if [[ $(uname -sm) != "Linux x86_64" ]]; then
    echo "instructions: not counted here: the committed counts are those of Linux on x86_64" >&2
    exit 0
fi
command -v valgrind >/dev/null || fail "valgrind is missing: run scripts/setup.sh instructions"

# Prints how many instructions the work $1, done $2 times, takes with the start.
count() {
    local output
    output=$(valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null \
        "$program" "$1" "$2" 2>&1) || fail "$1 can't be run under valgrind: $output"
    sed -n 's/^==[0-9]*== I *refs: *//p' <<<"$output" | tr -d ,
}

# Prints how many instructions the work $1 takes once.
count_one() {
    local short long
    short=$(count "$1" $times_short)
    long=$(count "$1" $times_long)
    [[ -n $short && -n $long ]] || fail "valgrind doesn't say how many instructions $1 takes"
    echo $(((long - short) / (times_long - times_short)))
}

cargo build --locked --quiet --release --package instructions
works=(decide from-bytes settle)

if [[ ${1:-} == accept ]]; then
    {
        echo "# Instructions of the pure core for one piece of work, by make instructions-accept."
        for work in "${works[@]}"; do
            echo "$work $(count_one "$work")"
        done
    } >"$counts.unfinished"
    mv "$counts.unfinished" "$counts"
    cat "$counts"
    exit
fi

slower=no
for work in "${works[@]}"; do
    expected=$(sed -n "s/^$work //p" "$counts")
    [[ -n $expected ]] || fail "$counts has no count of $work: run \`$0 accept\`"
    counted=$(count_one "$work")
    echo "instructions: $work: $counted, committed $expected"
    if ((100 * (counted - expected) > more_max_percent * expected)); then
        slower=yes
    fi
done
[[ $slower == no ]] || fail "the pure core has become slower. If that is meant, run" \
    "\`make instructions-accept\` and commit $counts; otherwise find out why"
