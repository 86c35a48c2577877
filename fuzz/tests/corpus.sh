#!/bin/sh
# corpus.sh TARGET DIR - runs a fuzz target over every file of its corpus.
set -eu
target=$1 dir=$2
ls "$dir"/* >/dev/null
"$target" "$dir"/*
