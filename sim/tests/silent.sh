#!/bin/sh
# silent.sh RAFTSIM - correct nodes: no check fires, and all that should happen sometimes happens.
set -eu
raftsim=$1
out=$(mktemp)
trap 'rm -f "$out"' EXIT

"$raftsim" run --seeds 1..5000 --nodes 3..7 --profile swarm -j 2 >"$out" || { cat "$out"; exit 1; }
if grep -w never "$out"; then
    echo "the campaign does not reach all that it should"
    exit 1
fi
for profile in calm lossy split crashy swarm; do
    for node in raft naive; do
        "$raftsim" run --seeds 1..300 --nodes 1..9 --profile $profile --node $node -j 2 >"$out" ||
            { cat "$out"; exit 1; }
    done
done
"$raftsim" run --seeds 1..4 --nodes 40..63 --steps 20000 -j 2 >"$out" || { cat "$out"; exit 1; }
"$raftsim" run --seeds 1..200 --check-determinism -j 2 >"$out" || { cat "$out"; exit 1; }
echo "silent"
