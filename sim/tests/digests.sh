#!/bin/sh
# digests.sh RAFTSIM GOLDEN [--rewrite] - the digests of the named seeds are the same from every
# compiler, optimisation level and sanitizer.
set -eu
raftsim=$1 golden=$2 mode=${3:-}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# digest SEED PROFILE NODES NODE
digest() {
    "$raftsim" run --seed "$1" --profile "$2" --nodes "$3" --node "$4" --format json |
        sed -n "s/.*\"type\":\"summary\".*\"steps\":\([0-9]*\).*\"digest\":\"\([0-9a-f]*\)\".*/$* \1 \2/p"
}

for seed in 1 2 3 4; do
    digest $seed calm 3..7 raft
    digest $seed lossy 3..7 raft
    digest $seed split 1..9 raft
    digest $seed crashy 3..7 raft
    digest $seed swarm 3..63 raft
    digest $seed swarm 3..5 naive
done >"$out"
[ "$(wc -l <"$out")" -eq 24 ]
if [ "$mode" = --rewrite ]; then
    cp "$out" "$golden"
else
    diff "$golden" "$out"
fi
