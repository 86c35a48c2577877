#!/bin/sh
# mutant.sh RAFTSIM ID SEEDS [PROFILE] - a campaign finds the planted bug with a check that its patch names, and
# the artefact replays to the same violation.
set -eu
raftsim=$1 id=$2 seeds=$3 profile=${4:-swarm}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
expected=$("$raftsim" list mutants | sed -n "s/^mutant:$id *\([^ ].*\) - .*/\1/p")
[ -n "$expected" ]

status=0
"$raftsim" run --node "mutant:$id" --seeds "1..$seeds" --nodes 3..5 --profile "$profile" -j 2 \
    --out "$out" --format json >"$out/found" || status=$?
found=$status
[ "$found" -eq 1 ] || [ "$found" -eq 3 ] || { echo "$id: exit $found, not 1 or 3"; exit 1; }
finding=$(grep '"type":"finding"' "$out/found")
member() { printf '%s\n' "$finding" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
check=$(member check)
case " $expected " in
*" $check "*) ;;
*) echo "$id: found by '$check', expected one of: $expected"; exit 1 ;;
esac

status=0
"$raftsim" replay "$(member artefact)" --format json >"$out/again" || status=$?
[ "$status" -eq "$found" ] || { echo "$id: its replay exits $status, not $found"; exit 1; }
finding=$(cat "$out/again")
[ "$(member check)" = "$check" ] || { echo "$id: its replay fires '$(member check)'"; exit 1; }
echo "$id: found by $check: $(member text)"
