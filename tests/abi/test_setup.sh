#!/usr/bin/env bash
# What scripts/setup says where it cannot go on: each time one line and status 1. The programs it asks (dpkg-query, id, df, uname)
# are stubs, so nothing is installed or downloaded.
#   test_setup.sh SETUP
set -uo pipefail
setup=$(realpath "$1")
work=$(mktemp -d /tmp/moe-test-setup-XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
failures=0

# stub NAME TEXT: a program NAME that prints TEXT.
stub() {
  printf '#!/bin/sh\necho "%s"\n' "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

# refuses TEXT [NAME=VALUE...]: setup with these variables ends with status 1 and one line of error that begins with TEXT.
refuses() {
  local text=$1
  shift
  env -i HOME="$work" PATH="$work/bin" "$@" "$bash" "$setup" >"$work/out" 2>"$work/err"
  local got=$?
  [ "$got" = 1 ] && [ "$(wc -l <"$work/err")" = 1 ] && [[ "$(cat "$work/err")" == "setup: $text"* ]] && return
  echo "FAILED: expected status 1 and \"setup: $text\", got status $got and:"
  sed 's/^/  /' "$work/err"
  failures=$((failures + 1))
}

bash=$(command -v bash)
for name in bash sh dirname grep mkdir awk env; do ln -s "$(command -v "$name")" "$work/bin/$name"; done

stub dpkg-query "install ok not-installed"
refuses "needs Debian's apt-get to install: build-essential cmake"
stub apt-get "not to be called"
stub id 1000
refuses "needs root or sudo to install: build-essential cmake"
grep -q 'not to be called' "$work/out" "$work/err" && failures=$((failures + 1))

stub dpkg-query "install ok installed"
stub uname riscv64
refuses "the wheels are for x86_64, this is riscv64; set MOE_TORCH_DIR to a LibTorch 2.15"
stub uname x86_64
refuses "cannot write to /dev/null/cache; set MOE_CACHE to a folder with 3000 MB free" MOE_CACHE=/dev/null/cache
stub df $'Filesystem MB Used Available\na b c 17'
refuses "needs 3000 MB free in $work/cache, has 17 MB; set MOE_CACHE to another folder" MOE_CACHE="$work/cache"

[ "$failures" = 0 ] && echo "all checks passed"
exit $((failures > 0))
