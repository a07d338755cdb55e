#!/usr/bin/env bash
# Checks the Go package against the library of a build tree: format, vet, or test with the race detector.
#   go.sh BUILD_FOLDER format|vet|test
# Exit code 77 when there is no Go that is new enough.
set -euo pipefail
build=$(realpath "$1")
source=$(realpath "$(dirname "$0")/../../..")
needs=1.23

skip() {
  echo "SKIPPED: the Go package was NOT tested: $1"
  exit 77
}

command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
command -v go >/dev/null || skip "no go on the PATH (needs Go $needs or later)"
export GOTOOLCHAIN=local GOPROXY=off GOFLAGS=
found=$(go env GOVERSION)
[ "$(printf '%s\n' "$needs" "${found#go}" | sort -V | head -n 1)" = "$needs" ] || skip "needs Go $needs or later, found $found"

# Go's build cache looks neither at the headers of C nor at moe.pc: another header or build tree is another flag.
export PKG_CONFIG_PATH=$build/lib/pkgconfig CGO_ENABLED=1
sum=$( (echo "$build"; cat "$build/lib/pkgconfig/moe.pc" "$source/include/moe.h") | cksum | cut -d ' ' -f 1)
export CGO_CFLAGS="-O2 -g -DMOE_TREE_SUM=$sum"
# Waiting threads of parallel sessions give the cores back soon.
export GOMP_SPINCOUNT=1000

cd "$source/examples/go"
case $2 in
  format)
    wrong=$(gofmt -l .)
    [ -z "$wrong" ] || { echo "not formatted by gofmt: $wrong"; exit 1; }
    ;;
  vet) go vet ./... ;;
  test) go test -race -count=1 -timeout 800s ./... ;;
esac
