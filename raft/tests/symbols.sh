#!/bin/sh
# The core needs nothing but memory functions and assert: no heap, no stdio, no clock, no dice.
set -eu
allowed='memcpy|memmove|memset|__assert_fail|__popcountdi2|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail'
defined=$(nm --defined-only "$1" | awk 'NF == 3 { print $3 }' | sort -u)
wanted=$(nm --undefined-only "$1" | awk 'NF == 2 { print $2 }' | sort -u)
foreign=$(printf '%s\n' "$wanted" | grep -vxF "$defined" | grep -vxE "$allowed" || true)
if [ -n "$foreign" ]; then
    echo "raft/ must not need:" $foreign
    exit 1
fi
# Globals that can change would be a door for nondeterminism.
if nm "$1" | grep -E ' [bBdDcC] '; then
    echo "raft/ must not have variables of its own"
    exit 1
fi
