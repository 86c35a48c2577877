#!/bin/sh
# apply.sh PATCH OUTDIR PREFIX FILE... - copies of the files, as PREFIX_name, with the patch applied.
set -eu
patch=$(realpath "$1") outdir=$2 prefix=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/raft" "$work/sim"
for file; do
    cp "$file" "$work/$(basename "$(dirname "$file")")/"
done
patch --quiet --fuzz=0 --strip=1 --directory="$work" --input="$patch"
for file; do
    cp "$work/$(basename "$(dirname "$file")")/$(basename "$file")" "$outdir/${prefix}_$(basename "$file")"
done
