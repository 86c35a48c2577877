#!/bin/sh
# table.sh OUTPUT BUILD_ID_C PATCH... - the table of mutants, from the heads of their patches.
set -eu
output=$1 build=$(sed -n 's/^const char build_id.*"\(.*\)";$/\1/p' "$2")
shift 2
[ -n "$build" ]
field() { sed -n "/^---/q; s/^$2: *//p" "$1"; }
# The head of a patch changes no run: the hash covers only what is applied.
hash() { sed -n '/^---/,$p' "$1" | sha256sum | cut -c1-8; }
{
    printf '#include "nodes.h"\n\n'
    for patch; do printf 'extern const struct node_impl node_mutant_%s;\n' "$(field "$patch" id)"; done
    printf '\nconst struct mutant mutant_table[] = {\n'
    for patch; do
        id=$(field "$patch" id)
        printf '    {"%s", "%s", "%s", &node_mutant_%s, "%s-%s"},\n' \
            "$id" "$(field "$patch" title)" "$(field "$patch" checks)" "$id" \
            "$build" "$(hash "$patch")"
    done
    printf '};\nconst size_t mutant_count = sizeof mutant_table / sizeof mutant_table[0];\n'
} >"$output"
