#!/usr/bin/env bash
# Checks the Rust crates against the library of a build tree.
#   rust.sh BUILD_FOLDER format|clippy|doc|drift|missing|test|examples
# Exit code 77 when there is no Rust that is new enough, or not the tool that a step needs.
set -euo pipefail
build=$(realpath "$1")
source=$(realpath "$(dirname "$0")/../../..")
needs=1.85

skip() {
  echo "SKIPPED: the Rust crates were NOT checked: $1"
  exit 77
}

die() {
  echo "$1"
  exit 1
}

command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null || skip "no cargo on the PATH (needs Rust $needs or later)"
found=$(cargo --version | cut -d ' ' -f 2)
[ "$(printf '%s\n' "$needs" "$found" | sort -V | head -n 1)" = "$needs" ] || skip "needs Rust $needs or later, found $found"

export CARGO_TARGET_DIR=$build/rust PKG_CONFIG_PATH=$build/lib/pkgconfig
unset MOE_DIR MOE_LIB_DIR MOE_HEADER RUSTFLAGS CARGO_ENCODED_RUSTFLAGS LD_BIND_NOW
cd "$source/examples/rust"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The build must end with this line when libmoe is looked for as the variables say.
expect_refusal() {
  local line=$1
  shift
  if env "$@" CARGO_TARGET_DIR="$build/rust/missing" cargo build --locked -p moe-sys >"$work/log" 2>&1; then
    die "expected the build with $* to end with: $line"
  fi
  grep -F "libmoe: $line" "$work/log" || { cat "$work/log"; die "expected the line: libmoe: $line"; }
}

missing() {
  expect_refusal "expected libmoe.so where MOE_LIB_DIR says, found none in $work/no" MOE_LIB_DIR="$work/no"
  expect_refusal "expected libmoe.so where MOE_DIR says, found none in $work/no/lib, $work/no/lib64" MOE_DIR="$work/no"
  expect_refusal "expected pkg-config to know the package moe; set PKG_CONFIG_PATH" PKG_CONFIG_PATH= PKG_CONFIG_LIBDIR="$work"
  sed 's/^abi_version=.*/abi_version=9/' "$build/lib/pkgconfig/moe.pc" >"$work/moe.pc"
  expect_refusal "expected a library with ABI 0, pkg-config found" PKG_CONFIG_PATH="$work"
}

train() {
  "$CARGO_TARGET_DIR/release/examples/train" "$source/configs/rtdetr/synthetic.yml" "$1" data.root="$work/scenes" \
    data.size="[64, 96]" data.workers=1 model.backbone.width=0.125 model.hidden=32 model.encoder.ffn=32 \
    model.decoder.ffn=32 train.batch_size=4 train.log_every=1 train.epochs="$2"
}

# Stopped by Ctrl-C after its first step and run again, a training ends with the digest of one that was not stopped.
examples() {
  "$build/bin/moe" data synth traffic "$work/scenes" --train 24 --val 4 --size 160x96 >/dev/null
  cargo build --locked --release --examples
  "$CARGO_TARGET_DIR/release/examples/feed_arrays" 3 >"$work/feed.log"
  grep -q '^step 3 ' "$work/feed.log" && grep -q '^picture 3: ' "$work/feed.log" || die "$(cat "$work/feed.log")"
  train "$work/whole" 1 >"$work/whole.log" 2>&1 || die "$(cat "$work/whole.log")"
  local code=0 pid
  set -m # gives the background job the default action for Ctrl-C
  train "$work/stopped" 1 >"$work/stopped.log" 2>&1 &
  pid=$!
  set +m
  for _ in $(seq 600); do
    grep -q '^step\|^epoch' "$work/stopped.log" && break
    sleep 0.1
  done
  kill -INT -- -"$pid"
  wait "$pid" || code=$?
  [ "$code" = 130 ] || die "expected exit code 130 after Ctrl-C, got $code: $(tail -n 3 "$work/stopped.log")"
  train "$work/stopped" 1 >"$work/stopped.log" 2>&1 || die "$(cat "$work/stopped.log")"
  local whole stopped
  whole=$(tail -n 1 "$work/whole.log") stopped=$(tail -n 1 "$work/stopped.log")
  echo "$whole"
  [[ $whole = digest* && $whole = "$stopped" ]] || die "expected $whole after a stop as well, got $stopped"
}

case $2 in
  format)
    cargo fmt --version >/dev/null 2>&1 || skip "no rustfmt"
    cargo fmt --all --check
    ;;
  clippy)
    cargo clippy --version >/dev/null 2>&1 || skip "no clippy"
    cargo clippy --locked --workspace --all-targets -- -D warnings
    ;;
  doc) RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace ;;
  drift)
    cargo test --locked -p moe-sys-bindgen -- --nocapture | tee "$work/log"
    ! grep -q '^SKIPPED' "$work/log" || skip "no libclang for bindgen (Debian: libclang1)"
    ;;
  missing) missing ;;
  test) cargo test --locked ;;
  examples) examples ;;
  *) die "expected format, clippy, doc, drift, missing, test or examples, got $2" ;;
esac
