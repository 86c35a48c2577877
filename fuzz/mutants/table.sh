#!/bin/sh
# table.sh OUTPUT PATCH... - the table of mutants, from the heads of their patches.
set -eu
output=$1
shift
field() { sed -n "/^---/q; s/^$2: *//p" "$1"; }
{
    printf '#include "nodes.h"\n\n'
    for patch; do printf 'extern const struct node_impl node_mutant_%s;\n' "$(field "$patch" id)"; done
    printf '\nconst struct mutant mutant_table[] = {\n'
    for patch; do
        id=$(field "$patch" id)
        printf '    {"%s", "%s", "%s", &node_mutant_%s},\n' \
            "$id" "$(field "$patch" title)" "$(field "$patch" checks)" "$id"
    done
    printf '};\nconst size_t mutant_count = sizeof mutant_table / sizeof mutant_table[0];\n'
} >"$output"
