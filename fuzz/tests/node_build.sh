#!/bin/sh
# node_build.sh RAFTSIM MUTANTS - the id in an artefact covers what its runs depend on, no more: raft/
# and sim/ for every node, for a mutant also its patch, without the patch's head.
set -eu
raftsim=$1 table=$2/table.sh
set -- "$2"/P01-*.patch
patch=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

# table.sh: the build of the one mutant in a table of the given patch.
entry() { sh "$table" "$work/out.c" "$work/id.c" "$1" && sed -n 's/.*, "\(1234-log[^"]*\)"},$/\1/p' "$work/out.c"; }
printf 'const char build_id[] = "1234-log16";\n' >"$work/id.c"
before=$(entry "$patch")
case $before in 1234-log16-????????) ;; *) fail "the build of $patch is '$before'" ;; esac
sed 's/^title: .*/title: another title/' "$patch" >"$work/head"
[ "$(entry "$work/head")" = "$before" ] || fail "the head of a patch changes the build"
sed '$ s/$/ /' "$patch" >"$work/body"
[ "$(entry "$work/body")" != "$before" ] || fail "another patch has the same build"

# raftsim: no patch is part of the id of the program; a mutant's artefact has that id and its patch's.
core=$("$raftsim" --version | sed -n 's/.*(build \(.*\))$/\1/p')
[ -n "$core" ] || fail "--version tells no build"
status=0
"$raftsim" run --node mutant:P01 --seeds 1..50 --out "$work" >/dev/null || status=$?
[ "$status" -eq 1 ] || fail "no finding: exit $status"
gzip -dc "$work"/*.run >"$work/plain"
build=$(sed -n 's/^build //p' "$work/plain")
case $build in "$core"-????????) ;; *) fail "the artefact of a mutant has the build '$build'" ;; esac
"$raftsim" replay "$work/plain" >/dev/null 2>"$work/err" || true
[ ! -s "$work/err" ] || fail "the same build says: $(cat "$work/err")"
sed "s/^build .*/build $core-00000000/" "$work/plain" >"$work/other"
"$raftsim" replay "$work/other" >/dev/null 2>"$work/err" || true
grep -q "was saved by build $core-00000000, this is $build" "$work/err" || fail "another patch is not noticed"
echo "the id of a build covers what a run depends on"
