#!/bin/sh
# cli.sh RAFTSIM - the command line as a person meets it: exit codes, one-line errors, files.
set -u
raftsim=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

# expect CODE TEXT ARGUMENT... - the exit code; TEXT on stderr, in one line, or on stdout.
expect() {
    code=$1 text=$2
    shift 2
    status=0
    "$raftsim" "$@" >out 2>err </dev/null || status=$?
    [ "$status" -eq "$code" ] || fail "raftsim $*: exit $status, not $code"
    grep -qF -- "$text" out err || fail "raftsim $*: does not say '$text'"
    if [ "$code" -eq 2 ]; then
        [ "$(wc -l <err)" -eq 1 ] || fail "raftsim $*: more than one line"
        [ ! -s out ] || fail "raftsim $*: an error on standard output"
    fi
}

expect 0 "usage" --help
expect 0 "examples" run --help
expect 0 "raftsim 0." --version
expect 0 "commit-quorum" list
expect 0 "leader-append-only" list checks
expect 2 "no command 'dance'" dance
expect 2 "no option '--dance'" run --dance
expect 2 "needs a value" run --seed
expect 2 "--seed 'x': expected a number" run --seed x
expect 2 "--seed '1..2'" run --seed 1..2
expect 2 "--seeds '5..1'" run --seeds 5..1
expect 2 "--seeds '1..'" run --seeds 1..
expect 2 "--seeds '99999999999999999999'" run --seeds 99999999999999999999
expect 2 "--nodes '0'" run --nodes 0
expect 2 "--nodes '64'" run --nodes 64
expect 2 "--nodes '3..99'" run --nodes 3..99
expect 2 "--steps '-1'" run --steps -1
expect 2 "--steps '4294967296'" run --steps 4294967296
expect 2 "--time '0s'" run --time 0s
expect 2 "--time '5d'" run --time 5d
expect 2 "--jobs '0'" run -j 0
expect 2 "--shard '3/2'" run --shard 3/2
expect 2 "--profile 'stormy'" run --profile stormy
expect 2 "--node 'mutant:X99'" run --node mutant:X99
expect 2 "--check 'luck'" run --check luck
expect 2 "--format 'xml'" run --format xml
expect 2 "'more' is too much" run more
expect 2 "replay needs a file" replay
expect 2 "nothing to list as 'dreams'" list dreams
expect 2 "no/such/file: No such file" replay no/such/file
: >empty
expect 2 "empty:1:1: not an artefact" replay empty
expect 2 "cannot be read" replay .

# Campaigns: what is found is saved and replays; results do not depend on workers.
expect 0 "every check held in every run" run --seeds 1..50
expect 0 "digest" run --seeds 1..50 --check-determinism --steps 200
expect 0 '"type":"summary"' run --seeds 1..20 --format json
expect 0 "500 steps" run --seeds 1..20 --steps 500 --check recovery
expect 1 "violation vote-once" run --node mutant:P01 --seeds 1..50 --out found
artefact=$(sed -n 's/.*raftsim replay \(.*\)/\1/p' out)
again=$(sed -n 's/.*again:  raftsim \(.*\)/\1/p' out)
expect 1 "violation vote-once" replay "$artefact"
expect 1 '"check":"vote-once"' replay "$artefact" --format json
# shellcheck disable=SC2086 -- the words of the command that was printed
expect 1 "violation vote-once" $again --out again
cmp -s "$artefact" "again/$(basename "$artefact")" || fail "the same seed gave another artefact"
expect 1 "violation election-safety" run --node mutant:P01 --check election-safety --seeds 1..20000

gzip -dc <"$artefact" >plain
expect 1 "violation vote-once" replay plain
head -n 40 plain >truncated
expect 2 "truncated:41:1: the file is truncated" replay truncated
head -c 300 "$artefact" >torn
expect 2 "damaged or truncated" replay torn
sed 's/^raftsim-run 1/raftsim-run 7/' plain >version
expect 2 "version:1:13: the artefact has version 7; expected 1" replay version
sed 's/^node .*/node mutant:X99/' plain >nobody
expect 2 "no node 'mutant:X99'" replay nobody
sed 's/^digest .*/digest 0000000000000001/' plain >digest
expect 4 "the same build gave two results" replay digest
sed 's/^digest .*/digest 0000000000000001/; s/^build .*/build other/' plain >build
expect 3 "no longer applies" replay build
sed 's/^build .*/build other/' plain >build
expect 1 "was saved by build other" replay build

"$raftsim" run --seeds 1..300 --nodes 3..7 --format json >one || fail "-j 1"
"$raftsim" run --seeds 1..300 --nodes 3..7 --format json -j 3 >three || fail "-j 3"
sed 's/"seconds":[0-9.]*//' one >a
sed 's/"seconds":[0-9.]*//' three >b
cmp -s a b || fail "-j changes the result"

# Nowhere to write: the finding is still told.
expect 5 "violation vote-once" run --node mutant:P01 --seeds 1..50 --out /dev/null/x
if [ -w /dev/full ]; then
    "$raftsim" list >/dev/full 2>err && fail "a full disk goes unnoticed"
fi

# Ctrl-C: the summary, exit 130. (A background job of sh ignores SIGINT until it is handled.)
"$raftsim" run --seeds 1..100000000 -j 2 >out 2>err &
pid=$!
sleep 1
kill -INT "$pid"
status=0
wait "$pid" || status=$?
[ "$status" -eq 130 ] || fail "Ctrl-C: exit $status, not 130"
grep -q interrupted out || fail "Ctrl-C: no summary"

# Time: stops by itself.
expect 0 "every check held" run --time 1s

[ "$failures" -eq 0 ] || exit 1
echo "the command line is as documented"
