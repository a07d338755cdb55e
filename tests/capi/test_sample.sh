#!/usr/bin/env bash
# `moe sample` as a user calls it: a tiny diffusion model is trained, sampled as a grid and one by one, with other settings of
# the sampler, and its errors are one line.
#   test_sample.sh BUILD_FOLDER
set -uo pipefail
moe=$(realpath "$1")/bin/moe
work=$(mktemp -d /tmp/moe-test-sample-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0

wrong() {
  echo "FAILED: $*"
  tail -n 5 out err
  failures=$((failures + 1))
}

# expect CODE COMMAND...: runs it, keeps its output in ./out and ./err, checks the exit code.
expect() {
  local want=$1
  shift
  "$@" >out 2>err </dev/null
  local got=$?
  [ "$got" = "$want" ] || wrong "$* exited with $got, expected $want"
}

# refuse CODE TEXT COMMAND...: fails with one line on stderr that holds TEXT.
refuse() {
  local code=$1 text=$2
  shift 2
  expect "$code" "$@"
  [ "$(wc -l <err)" = 1 ] || wrong "$*: expected one line of error"
  grep -qF -- "$text" err || wrong "$*: expected \"$text\" in the error"
}

# Twelve records of CIFAR-10: labels 0, 1, 2 in turn, planes of one value each.
records() {
  for i in $(seq 0 11); do
    printf "\\x0$((i % 3))"
    head -c 3072 /dev/zero | tr '\0' "\\$((100 + i))"
  done
}
mkdir data
records >data/data_batch_1.bin
records >data/test_batch.bin
cat >tiny.yml <<'EOF'
task: diffusion
data: {root: data, classes: [red, green, blue], size: [8, 8]}
model: {unet: {channels: 8, multipliers: [1, 2], embedding: 16}, experts: {count: 4, top_k: 2}}
train: {epochs: 1, batch_size: 4}
sample: {steps: 4, guidance: 2}
EOF
expect 0 "$moe" train tiny.yml --run run
grep -q skill out || wrong "train: expected the skill of the denoiser in its output"

# Three classes, four columns, a border of two pixels: 42 x 32 pixels.
expect 0 "$moe" sample run --columns 4 --out grid.png
[ "$(od -An -tu1 -j16 -N8 grid.png | tr -s ' ')" = " 0 0 0 42 0 0 0 32" ] || wrong "grid.png: expected 42 x 32 pixels"
expect 0 "$moe" sample run --columns 4 --out again.png
cmp -s grid.png again.png || wrong "the same call gives other pictures"
expect 0 "$moe" sample run --columns 4 --seed 5 --out other.png
cmp -s grid.png other.png && wrong "another seed gives the same pictures"
expect 0 "$moe" sample run sample.sampler=dpmpp_2m sample.steps=3 --columns 2 --singles one --out fast.png
[ "$(ls one | tr '\n' ' ')" = "blue-0000.png blue-0001.png green-0000.png green-0001.png red-0000.png red-0001.png " ] ||
  wrong "one/: expected a file for every picture"
expect 0 "$moe" sample run --first 1 --columns 1 --singles later --out column.png
expect 0 "$moe" sample run --columns 2 --singles both --out columns.png
cmp -s later/green-0001.png both/green-0001.png || wrong "a picture depends on its neighbours in the grid"

# Who is chosen at which steps: every picture at every range, twice in each of three layers.
expect 0 "$moe" experts run --by time --svg time.svg
for name in 0-99 100-249 250-499 500-749 750-999; do
  [ "$(grep -c "^  $name .* 24$" out)" = 3 ] || wrong "experts --by time: expected twelve pictures twice at $name in each layer"
done
python3 -c 'import sys, xml.dom.minidom as m; d = m.parse("time.svg"); sys.exit(len(d.getElementsByTagName("rect")) != 1 + 3 * 5 * 4)' ||
  wrong "time.svg: expected a cell for every layer, range and expert"
expect 0 "$moe" experts run --by class --window eval --svg class.svg --json
python3 -c 'import json; d = json.load(open("out")); assert [sum(map(sum, l["classes"].values())) for l in d["layers"]] == [120] * 3' ||
  wrong "experts --json: expected every choice of an evaluation in the table of classes"
grep -q '>green<' class.svg || wrong "class.svg: expected the names of the classes"
expect 0 "$moe" experts run --by time --json
python3 -c 'import json; d = json.load(open("out")); assert all(sum(r) == 24 for l in d["layers"] for r in l["steps"].values())' ||
  wrong "experts --by time --json: expected 24 choices a range"
refuse 2 "--by: expected class or time" "$moe" experts run --by day
refuse 1 "nowhere/x.svg: cannot write" "$moe" experts run --svg nowhere/x.svg

refuse 2 "expected keys sample.*" "$moe" sample run data.size=[16,16]
refuse 1 "expected at least 1 step, got 0" "$moe" sample run sample.steps=0
refuse 1 "expected ddpm, ddim, dpmpp_2m or heun" "$moe" sample run sample.sampler=euler
refuse 2 "--columns: expected an integer >= 1" "$moe" sample run --columns 0
refuse 1 "nothing" "$moe" sample nothing
[ "$failures" = 0 ] && echo "all passed"
exit $((failures > 0))
