#!/usr/bin/env bash
# What scripts/setup says where it cannot go on: each time one line and status 1; and that it goes on without what tests alone
# need. The programs it asks (dpkg-query, id, df, uname, python3) are stubs, so nothing is installed or downloaded.
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

# goes_on TEXT PROGRAM: where python3 answers as PROGRAM does, setup says TEXT and is ready in the end.
goes_on() {
  ln -sf "$(type -P "$2")" "$work/bin/python3"
  env -i HOME="$work" PATH="$work/bin" MOE_TORCH_DIR=/opt/torch "$bash" "$setup" >"$work/out" 2>&1 &&
    grep -qxF "setup: $1" "$work/out" && [ "$(tail -n 1 "$work/out")" = "setup: ready" ] && return
  echo "FAILED: expected status 0 and \"setup: $1\", got:"
  sed 's/^/  /' "$work/out"
  failures=$((failures + 1))
}

bash=$(command -v bash)
for name in bash sh dirname grep mkdir awk env rm; do ln -s "$(command -v "$name")" "$work/bin/$name"; done

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

goes_on "NumPy 2.4.6, for tests: left out, its wheel is for CPython 3.11" true
goes_on "NumPy 2.4.6, for tests: left out, pip could not fetch it" false

[ "$failures" = 0 ] && echo "all checks passed"
exit $((failures > 0))
