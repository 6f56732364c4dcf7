#!/usr/bin/env bash
# Deletes a data directory, if it is one and no process uses it.
#
#   scripts/clean-data.sh [DIR]     by default, where the program keeps its data by default
set -euo pipefail

if [[ $(id -u) == 0 ]]; then
    default=/var/lib/hissaback
else
    default=${XDG_DATA_HOME:-$HOME/.local/share}/hissaback
fi
readonly directory=${1:-$default}

if [[ ! -e $directory ]]; then
    echo "clean-data: $directory is not there: nothing to delete"
    exit 0
fi
if [[ ! -f $directory/VERSION || ! -f $directory/LOCK ]]; then
    echo "clean-data: $directory is not a data directory: it stays" >&2
    exit 1
fi
if ! flock --nonblock "$directory/LOCK" true; then
    echo "clean-data: $directory is in use by process $(<"$directory/LOCK"): stop that first" >&2
    exit 1
fi
echo "clean-data: deleting $directory"
rm -rf -- "$directory"
