#!/usr/bin/env bash
# The C++ examples as a user calls them: a training that is interrupted and resumed, errors in one line, own
# arrays.
#   test_examples.sh BUILD_FOLDER
set -uo pipefail
programs=$(realpath "$1")/examples/cpp
moe=$(realpath "$1")/bin/moe
work=$(mktemp -d /tmp/moe-test-cpp-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0

# expect CODE TEXT COMMAND...: its exit code, and TEXT (an extended regular expression) in what it prints.
expect() {
  local want=$1 text=$2
  shift 2
  "$@" >out 2>&1 </dev/null
  local got=$?
  [ "$got" = "$want" ] && grep -qE -- "$text" out && return
  echo "FAILED: $* exited with $got, expected $want and \"$text\" in:"
  tail -n 20 out
  failures=$((failures + 1))
}

cat >tiny.yml <<'YAML'
task: rtdetr
seed: 3
data: {root: scenes, size: [64, 96], workers: 1}
model:
  backbone: {width: 0.25}
  hidden: 32
  heads: 4
  encoder: {ffn: 48}
  decoder: {layers: 2, ffn: 48}
  denoising: {queries: 10}
  experts: {kind: class_partitioned, groups: by_class, top_k: 2, queries: 12}
train: {epochs: 2, batch_size: 4, log_every: 1}
YAML
expect 0 '12 training and 4 validation' "$moe" data synth traffic scenes --train 12 --val 4 --size 192x128

expect 2 'usage: train CONFIG FOLDER' "$programs/train" tiny.yml
expect 1 '^nowhere.yml: ' "$programs/train" nowhere.yml run
expect 1 'did you mean "train.epochs"' "$programs/train" tiny.yml run train.epoch=3
expect 1 'expected KEY=VALUE, got "epochs"' "$programs/train" tiny.yml run epochs
expect 0 'epoch 2/2' "$programs/train" tiny.yml whole
expect 0 '^  decoder.gate: car [0-9]+%' "$programs/train" tiny.yml other seed=4
expect 0 '^digest [0-9a-f]{16}$' "$programs/train" tiny.yml whole
digest=$(tail -n 1 out)

# Interrupted after its first step, within the epoch at hand; resumed, it ends as the one that was not.
"$programs/train" tiny.yml stopped >out 2>&1 </dev/null &
id=$!
for _ in $(seq 600); do
  grep -q 'step 1/' out && break
  sleep 0.05
done
kill -INT "$id"
wait "$id"
code=$?
[ $code = 130 ] && grep -q '^stopped; the same command goes on$' out ||
  { echo "FAILED: an interrupted training exited with $code"; cat out; failures=$((failures + 1)); }
expect 0 "^$digest\$" "$programs/train" tiny.yml stopped

expect 0 '^best score in picture 0' "$programs/feed_arrays" 3
expect 0 '^  green ' "$programs/feed_arrays" 1

# With a libmoe that lacks almost every function a program gets an error value, not the loader's end, also where
# all functions are looked up at start (LD_BIND_NOW).
older() { # ABI VERSION
  cat >older.c <<C
int moe_abi_version(void) { return $1; }
int moe_version(void) { return $2; }
const char *moe_version_string(void) { return "of a test"; }
const char *moe_status_name(int status) { return "MOE_ERR_OTHER"; }
int moe_last_error(void *info) { return 0; }
C
  echo 'MOE_0 { global: moe_*; local: *; };' >older.map
  "${CC:-cc}" -w -shared -fPIC -Wl,-soname,libmoe.so.0 -Wl,--version-script=older.map older.c -o libmoe.so.0
}
older 0 99
expect 1 '^libmoe: expected version 0.1.0 or newer, got 0.0.99$' env LD_LIBRARY_PATH=. LD_BIND_NOW=1 "$programs/train" tiny.yml run
older 1 100
expect 1 '^libmoe: expected binary interface 0, got 1$' env LD_LIBRARY_PATH=. LD_BIND_NOW=1 "$programs/train" tiny.yml run
expect 1 '^MOE_ERR_OTHER: libmoe: expected binary interface 0, got 1$' env LD_LIBRARY_PATH=. LD_BIND_NOW=1 "$programs/feed_arrays" 1

[ "$failures" = 0 ] && echo "all checks passed"
exit $((failures > 0))
