#!/bin/sh
# build_id.sh OUTPUT SUFFIX FILE... - a hash of the sources as a C string, wherever they lie.
set -eu
output=$1 suffix=$2
shift 2
hash=$(cat "$@" | sha256sum | cut -c1-12)
cat >"$output" <<END
#include "build_id.h"

const char build_id[] = "$hash-$suffix";
END
