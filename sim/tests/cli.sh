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
expect 2 "--check 'all,-luck'" run --check all,-luck
expect 2 "--check 'promise-durable,'" run --check promise-durable,
expect 2 "no check is left" run --check recovery,-recovery
expect 2 "--set 'lease'" run --set lease
expect 2 "--set 'luck=1'" run --set luck=1
expect 2 "--set 'clients=9'" run --set clients=9
expect 2 "--set 'clients='" run --set clients=
expect 2 "--set does not go with seed 1: reserve is above spares" run --set reserve=56
expect 2 "no seed in this shard: 1..2 has none in part 4 of 5" run --seeds 1..2 --shard 4/5
: >file
expect 2 "--out: file: it is no directory" run --out file
expect 2 "--out: file/x: Not a directory" run --out file/x
expect 2 "--out: no/such/place: No such file" run --out no/such/place
expect 2 "--format 'xml'" run --format xml
expect 2 "'more' is too much" run more
expect 2 "replay needs a file" replay
expect 2 "'more' is too much" help run more
expect 2 "'more' is too much" --version more
expect 2 "no help for 'nosuch'" help nosuch
expect 2 "no help for 'nosuch'" --help nosuch
expect 0 "examples" help replay
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
expect 0 "1 runs, seeds 5..5" run --seed 5 --time 1h
expect 0 "20 runs, seeds 11..30" run --seeds 11..30 --time 1h
expect 0 "2 runs, seeds 1..2" run --seeds 1..2 --shard 1/1
expect 0 "lease 1000, check-quorum 255" run --seeds 1..20 --set lease=5 --set check-quorum=255 --set lease=1000
expect 0 "every check held" run --seeds 1..20 --out new
[ ! -e new ] || fail "a campaign without findings made its directory"
# A stall names what is waited for, and each node, in text and in JSON.
expect 3 "stalled progress" run --node mutant:T03 --seeds 1..300 --nodes 3..5 --check progress --out stalls
grep -A1 "^  waits for:" out | grep -q "^    n[1-5] hands over to n[1-5]$" || fail "what a stall waits for"
grep -A9 "^  state:" out | grep -q "^    n[1-5] (core) leads term [0-9]*, hands over to" ||
    fail "the state of a stall"
nodes=$(sed -n 's/.*, \([3-5]\) nodes, node mutant:T03.*/\1/p' out)
[ "$(grep -c '^    n[0-9]* (' out)" -ge "$nodes" ] || fail "a node is missing"
expect 3 '"waits_for":["n' replay stalls/* --format json
expect 3 '"state":["n1 (' replay stalls/* --format json --no-fork
expect 1 "violation promise-durable" run --node mutant:P01 --seeds 1..50 --out found
if grep -q '^sometimes' out; then fail "the table of counts on a finding"; fi
artefact=$(ls found/*)
case $artefact in
found/P01-seed-*-promise-durable.run) ;;
*) fail "the name $artefact" ;;
esac
sed -n 's/^  replay: //p' out >replay_line
sed -n 's/^  again:  //p' out >again_line
again=$(cut -d ' ' -f 2- again_line)
expect 1 "violation promise-durable" replay "$artefact"
expect 1 "violation promise-durable" replay "$artefact" --no-fork
for line in replay_line again_line; do
    [ -s $line ] || fail "no $line"
    status=0
    sh ./$line >out 2>err || status=$?
    [ "$status" -eq 1 ] || fail "$(cat $line): exit $status, not 1"
    grep -q "violation promise-durable" out || fail "$(cat $line): another finding"
done
expect 1 '"check":"promise-durable"' replay "$artefact" --format json
# shellcheck disable=SC2086 -- the words of the command that was printed
expect 1 "violation promise-durable" $again --out again
cmp -s "$artefact" "again/$(basename "$artefact")" || fail "the same seed gave another artefact"
expect 1 "violation election-safety" run --node mutant:P01 --check election-safety --profile crashy --seeds 1..20000
expect 1 "election won" run --node mutant:P01 --seeds 1..50 --out found --sometimes
# The named sin is found: a node whose disk was wiped keeps its id. Without it, nothing is.
expect 1 "violation" run --set wipe-same-id=1 --seeds 1..1000 --nodes 3..5 --check all,-progress --out sins
expect 1 "violation vote-once" run --set wipe-same-id=1 --seeds 1..1000 --nodes 3..5 --check vote-once \
    --keep-going --out sins
expect 0 "every check held" run --set wipe-same-id=0 --seeds 1..100 --nodes 3..5

# The lists of checks: names, exclusions, and several lists add up. What is printed runs again.
lists() {
    "$raftsim" run --node mutant:P01 --seeds 1..500 --nodes 3 --out lists "$@" >out 2>err
    sed -n 's/^  again:.*--node mutant:P01//p' out
}
[ "$(lists --check promise-durable,recovery)" = " --check promise-durable,recovery" ] || fail "a list of checks"
[ "$(lists --check recovery --check promise-durable)" = " --check promise-durable,recovery" ] || fail "two lists"
[ "$(lists --check all,-progress)" = " --check all,-progress" ] || fail "a list without one check"
[ "$(lists --check -progress)" = " --check all,-progress" ] || fail "only an exclusion"
[ "$(lists --check all,-progress,progress)" = "" ] || fail "a check that comes back"
[ "$(lists --set clients=3 --hang-after 9s)" = " --set clients=3 --hang-after 9s" ] ||
    fail "the settings are not in the command"
if lists --check all,-promise-durable | grep -q .; then
    if grep -q 'violation promise-durable' out; then fail "a check that was excluded fired"; fi
fi

# Runs that differ do not take each other's place; the same run again does.
seed=${artefact#*-seed-} seed=${seed%%-*}
for options in "" "--steps 999" "--check promise-durable" "" "--steps 999"; do
    # shellcheck disable=SC2086 -- words
    "$raftsim" run --node mutant:P01 --seed "$seed" $options --out names >out 2>err
done
name=P01-seed-$seed-promise-durable
[ "$(cd names && echo *)" = "$name-2.run $name-3.run $name.run" ] ||
    fail "artefacts take each other's place: $(ls names)"
[ "$(find names -name '*.tmp' | wc -l)" -eq 0 ] || fail "a temporary file stayed"

# A path that is not UTF-8, one that a shell would take apart.
odd=$(printf "odd \377'\$(x)")
expect 1 '"type":"finding"' run --node mutant:P01 --seeds 1..50 --out "$odd" --format json
if command -v iconv >/dev/null; then
    iconv -f UTF-8 -t UTF-8 out >converted 2>&1 || fail "JSON that is not UTF-8"
else
    echo "SKIP: no iconv"
fi
expect 1 "replay:" run --node mutant:P01 --seeds 1..50 --out "$odd"
sed -n 's/^  replay: //p' out >replay_line
status=0
sh ./replay_line >out 2>err || status=$?
[ "$status" -eq 1 ] || fail "$(cat replay_line): exit $status, not 1"

gzip -dc <"$artefact" >plain
expect 1 "violation promise-durable" replay plain
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

# A disk that is full, which a limit of the size of files stands for: the finding is still told, an
# older artefact stays, and an error on standard output is one.
(ulimit -f 1; "$raftsim" run --node mutant:P01 --seeds 1..50 --out found 2>&1; echo "exit $?") | cat >out
grep -q "violation promise-durable" out || fail "a full disk: the finding is not told"
grep -q "File too large" out || fail "a full disk: nothing says so"
grep -q "exit 5" out || fail "a full disk: $(tail -n 1 out), not 5"
expect 1 "violation promise-durable" replay "$artefact"
(ulimit -f 1; "$raftsim" run --help >limited; "$raftsim" list >limited 2>limited_err) && fail "a full disk goes unnoticed"

# Ctrl-C: the summary, exit 130. (A background job of sh ignores SIGINT until it is handled.)
"$raftsim" run --seeds 1..100000000 -j 2 >out 2>err &
pid=$!
sleep 1
kill -INT "$pid"
status=0
wait "$pid" || status=$?
[ "$status" -eq 130 ] || fail "Ctrl-C: exit $status, not 130"
grep -q interrupted out || fail "Ctrl-C: no summary"

# A worker that is killed is replaced, and the result is the same. A campaign that is stopped for
# longer than --hang-after goes on.
set -- run --seeds 1..3000 --nodes 3..7 -j 2
digest() { sed -n 's/.*, digest \([0-9a-f]*\)$/\1/p' "$1"; }
"$raftsim" "$@" >undisturbed
"$raftsim" "$@" >out 2>err &
pid=$!
sleep 0.2
worker=$(cut -d ' ' -f 1 "/proc/$pid/task/$pid/children" 2>/dev/null)
if [ -n "$worker" ]; then
    kill -KILL "$worker"
    wait "$pid" || fail "a killed worker: exit $?, not 0"
    grep -q "killed by SIGKILL from outside; it is run again" err || fail "a killed worker: not told"
    grep -q "killed from outside" out || fail "a killed worker: not in the summary"
    [ "$(digest out)" = "$(digest undisturbed)" ] || fail "a killed worker: another digest"
else
    echo "SKIP: the children of a process are not known"
    wait "$pid"
fi
if command -v setsid >/dev/null; then
    setsid "$raftsim" "$@" --hang-after 1s >out 2>err &
    pid=$!
    sleep 0.2
    kill -STOP "-$pid" || fail "a campaign cannot be stopped"
    sleep 3
    kill -CONT "-$pid"
    wait "$pid" || fail "a stopped campaign: exit $?, not 0"
    [ "$(digest out)" = "$(digest undisturbed)" ] || fail "a stopped campaign: another digest"
else
    echo "SKIP: no setsid"
fi

# Time: stops by itself.
expect 0 "every check held" run --time 1s

[ "$failures" -eq 0 ] || exit 1
echo "the command line is as documented"
