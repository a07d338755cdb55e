#!/usr/bin/env bash
# The `moe` command and the C examples as a user calls them: help, exit codes, one-line errors, and a tiny training that is
# interrupted, resumed, evaluated, used and looked into.
#   test_cli.sh BUILD_FOLDER
set -uo pipefail
build=$(realpath "$1")
source=$(realpath "$(dirname "$0")/../..")
moe=$build/bin/moe
work=$(mktemp -d /tmp/moe-test-cli-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0

wrong() {
  echo "FAILED: $*"
  sed 's/^/  out: /' out | tail -n 20
  sed 's/^/  err: /' err | tail -n 20
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

prints() {
  grep -qE -- "$1" out || wrong "expected \"$1\" in the output of: ${*:2}"
}

check_help_and_usage() {
  expect 0 "$moe" --help
  prints 'exit codes' moe --help
  for name in train sweep watch eval predict sample experts table export config data info; do
    expect 0 "$moe" "$name" --help
    prints "usage: moe $name" "$name --help"
    [ "$(grep -c "^  moe $name" out)" -ge 1 ] || wrong "moe $name --help shows no example"
    refuse 2 'unknown option "--hepl", did you mean "--help"?' "$moe" "$name" --hepl
  done
  refuse 2 'expected a command' "$moe"
  refuse 2 'unknown command "trian", did you mean "train"?' "$moe" trian
  refuse 2 'unknown option "--rnu", did you mean "--run"?' "$moe" train --rnu x
  refuse 2 '--run: expected a value' "$moe" train tiny.yml --run
  refuse 2 'expected a settings file' "$moe" train
  refuse 2 'expected KEY=VALUE, got "epochs"' "$moe" train tiny.yml epochs
  refuse 2 'expected WIDTHxHEIGHT' "$moe" data synth traffic x --size 640
  refuse 2 '--train: expected an integer >= 1, got "0"' "$moe" data synth traffic x --train 0
  refuse 2 '--window: expected lifetime, epoch, step or eval' "$moe" experts run --window ever
  refuse 2 'expected keys data.*, evaluate.*, sample.* or train.batch_size, got "model.hidden"' "$moe" eval run data.root=x model.hidden=64
  refuse 2 'expected --run or --resume' "$moe" train --run a --resume b
}

check_failures() {
  refuse 1 'moe: nowhere.yml' "$moe" train nowhere.yml
  refuse 1 'moe: nowhere.yml' "$moe" config nowhere.yml
  refuse 1 'nowhere' "$moe" eval nowhere
  refuse 1 'nowhere' "$moe" experts nowhere
  refuse 1 'nowhere' "$moe" predict nowhere picture.png
  refuse 1 'override train.epoch: unknown key, did you mean "train.epochs"' "$moe" config tiny.yml train.epoch=3
  refuse 1 'override train.epochs: expected an integer >= 1, got "many"' "$moe" train tiny.yml train.epochs=many
  refuse 1 'nothing' "$moe" train tiny.yml data.root=nothing --run failed
  [ ! -e failed ] || wrong "a run that could not begin leaves its folder"
  mkdir own
  echo "mine" >own/metrics.csv
  refuse 1 'own: expected an empty or new folder, or one with a run, got one without config.yml that holds metrics.csv' \
    "$moe" train tiny.yml --run own
  [ "$(ls -A own)" = metrics.csv ] && [ "$(cat own/metrics.csv)" = mine ] || wrong "a run touches files of others"
  if [ -d /sys/kernel ]; then # refuses root too
    refuse 1 '/sys/kernel/run/checkpoints: cannot create the folder' "$moe" train tiny.yml --run /sys/kernel/run
  fi
  echo "text" >broken.safetensors
  refuse 1 'broken.safetensors' "$moe" eval broken.safetensors
}

write_settings() {
  cat >tiny.yml <<'YAML'
task: rtdetr
seed: 3
data: {root: scenes, size: [64, 96], workers: 1, augment: {flip: 0.5}}
model:
  backbone: {width: 0.25}
  hidden: 32
  heads: 4
  encoder: {ffn: 48}
  decoder: {layers: 2, ffn: 48}
  denoising: {queries: 10}
  experts: {kind: class_partitioned, groups: by_class, top_k: 2, queries: 12}
train: {epochs: 2, batch_size: 4, log_every: 1}
optimizer: {lr: 1e-3}
YAML
}

check_data_and_config() {
  expect 0 "$moe" data synth traffic scenes --train 12 --val 4 --size 192x128 --seed 5
  [ "$(ls scenes/image | wc -l)" = 16 ] || wrong "expected 16 pictures"
  refuse 1 'scenes' "$moe" data synth traffic scenes
  refuse 2 'trafic' "$moe" data synth trafic other
  expect 0 "$moe" config tiny.yml train.epochs=7
  prints '^  epochs: 7$' config
  cp out resolved.yml
  expect 0 "$moe" config resolved.yml
  cmp -s out resolved.yml || wrong "the resolved settings do not load back to the same"
  expect 0 "$moe" config tiny.yml train.epochs=7 --origins
  prints 'epochs: 7  # override$' "config --origins"
  prints 'batch_size: 4  # tiny.yml:[0-9]+:' "config --origins"
  prints '# default$' "config --origins"
  expect 0 "$moe" config --schema rtdetr
  prints '^\| `model.experts.top_k` \| integer \|' "config --schema"
  expect 0 "$moe" config --schema
  refuse 1 'rtdert' "$moe" config --schema rtdert
}

check_info() {
  expect 0 "$moe" info
  for key in version abi torch cpu_capability compiler; do prints "\"$key\": [\"0-9]" info; done
  prints '"gemm": "(oneDNN for float32 and bfloat16, MKL for the rest|MKL for all types) \(MOE_GEMM: auto\)"' info
  prints '"allocator": ".+ \(MOE_ALLOCATOR: auto\)"' info
  expect 0 env MOE_GEMM=mkl MOE_ALLOCATOR=system "$moe" info
  prints '"gemm": "MKL for all types \(MOE_GEMM: mkl\)"' "info with MOE_GEMM=mkl"
  prints '"allocator": "LibTorch.s own \(MOE_ALLOCATOR: system\)"' "info with MOE_ALLOCATOR=system"
  refuse 1 'MOE_GEMM: expected auto, onednn or mkl, got "mlk", did you mean "mkl"?' env MOE_GEMM=mlk "$moe" info
  check_info_of_cuda
}

# By the file beside the library: a copy of the build with an empty one.
check_info_of_cuda() {
  mkdir -p copy/bin copy/lib
  cp "$moe" copy/bin/
  cp "$build"/lib/libmoe.so.0 copy/lib/
  expect 0 copy/bin/moe info
  prints '"cuda": false' "info without libmoe_cuda.so"
  : >copy/lib/libmoe_cuda.so
  expect 0 copy/bin/moe info
  prints '"cuda": true' "info with libmoe_cuda.so"
  rm -r copy
}

# Every settings file of the tree that is not a base of others.
check_configs() {
  local count=0
  for file in "$source"/configs/*/*.yml; do
    case $file in */base/*) continue ;; esac
    expect 0 "$moe" config "$file"
    prints '^task: (rtdetr|diffusion|classifier)$' "config $file"
    count=$((count + 1))
  done
  [ "$count" -ge 12 ] || wrong "expected at least 12 settings files below configs, got $count"
}

check_data_check() {
  expect 0 "$moe" data check tiny.yml --list list.txt
  prints '^tiny.yml: 16 pictures, [0-9]+ objects, 0 problems$' "data check"
  expect 0 "$moe" data check scenes
  cp -r scenes broken
  : >broken/image/000001.jpg
  expect 1 "$moe" data check tiny.yml data.root=broken --list list.txt
  prints '^train, empty: broken/image/000001.jpg: expected a picture, got a file of 0 bytes$' "data check"
  prints '1 pictures to leave out -> data.exclude=list.txt' "data check"
  expect 0 "$moe" data check tiny.yml data.root=broken data.exclude=list.txt
  expect 2 "$moe" data check
  refuse 1 'nowhere' "$moe" data check nowhere
}

check_files() {
  echo '{"images":[{"id":7}],"categories":[{"id":4,"name":"car"}],"annotations":[{"id":1,"image_id":7,"category_id":4,' \
    '"bbox":[10,20,40,50],"area":2000,"iscrowd":0}]}' >a.json
  echo '[{"image_id":7,"category_id":4,"bbox":[10,20,40,50],"score":0.5}]' >d.json
  expect 0 "$moe" eval --annotations a.json --detections d.json
  prints '^AP +1[.]0000$' "eval --annotations"
  prints '^precision@0[.]50 +1[.]0000$' "eval --annotations"
  expect 0 "$moe" eval --annotations a.json --detections d.json --json
  prints '^\{"annotations": "a.json", "detections": "d.json", "metrics": \{"AP": (1,|0[.]9999)' "eval --annotations --json"
  refuse 2 'together' "$moe" eval --annotations a.json
  refuse 2 'expected no run beside' "$moe" eval run --annotations a.json --detections d.json
  refuse 1 'd.json' "$moe" eval --annotations d.json --detections a.json
}

check_training() {
  expect 0 "$moe" train tiny.yml
  prints '^run folder: runs/tiny-0001$' train
  prints 'epoch 2/2' train
  for file in config.yml train.log metrics.jsonl metrics.csv; do
    [ -s "runs/tiny-0001/$file" ] || wrong "expected runs/tiny-0001/$file"
  done
  expect 0 "$moe" train tiny.yml train.max_steps=1
  prints '^run folder: runs/tiny-0002$' "second train"
  expect 0 python3 "$source/tests/train/check_checkpoint.py" runs/tiny-0001/checkpoints/best.safetensors
  prints ' tensors, .* step [36]$' check_checkpoint.py
  expect 0 "$moe" train --resume runs/tiny-0001 train.epochs=3
  prints 'epoch 3/3' "train of one more epoch"
}

# The line of a step, with both rates; rewritten in place on a terminal and nowhere else.
check_progress() {
  expect 0 "$moe" train tiny.yml model.pretrained=runs/tiny-0001/checkpoints/best.safetensors model.experts.groups=by_size \
    optimizer.groups.pretrained.lr=1e-5 optimizer.groups.new.lr=1e-4 --run rates
  prints '^epoch 1/2  step 1/6  loss [0-9.]+ \(vfl [0-9.]+ bbox .* aux [0-9.]+\)  lr pretrained 1e-05 new 0[.]0001  [0-9.]+ images/s  load [0-9]+ ms  step [0-9]+ ms  left ' "train with two rates"
  ! grep -q $'\033' out || wrong "escape sequences in a file"
  command -v script >/dev/null || return 0
  expect 0 script -qec "$moe train tiny.yml train.max_steps=2 --run terminal" /dev/null
  grep -q $'\r\033\[K' out || wrong "expected the line of a step to be rewritten on a terminal"
}

# Starts a long training, interrupts it after its first step, and lets it end within the epoch at hand.
check_interruption() {
  "$moe" train tiny.yml train.epochs=500 --run stopped >out 2>err </dev/null &
  local id=$!
  for _ in $(seq 600); do
    grep -q 'step 2/' out && break
    kill -0 "$id" 2>/dev/null || break
    sleep 0.05
  done
  kill -INT "$id"
  wait "$id"
  [ $? = 130 ] || wrong "an interrupted training should exit with 130"
  prints 'moe train --resume stopped$' "interrupted train"
  local step
  step=$(sed -n 's/^stopped after step \([0-9]*\);.*/\1/p' out)
  expect 0 "$moe" train --resume stopped train.epochs=$((step / 3 + 1))
  prints "step $((step + 1))/" "resumed train"
  refuse 1 'optimizer.lr' "$moe" train --resume stopped optimizer.lr=0.5
  refuse 1 'nowhere' "$moe" train --resume nowhere
}

check_use() {
  expect 0 "$moe" eval runs/tiny-0001
  prints '^AP ' eval
  expect 0 "$moe" eval runs/tiny-0001 train.batch_size=2 --json
  prints '"AP50": ' "eval --json"
  expect 0 "$moe" eval runs/tiny-0001 --save saved
  cp out whole
  expect 0 "$moe" eval --annotations saved/annotations.json --detections saved/detections.json
  for metric in AP AP50 AR100 AP50/car; do
    [ "$(awk -v m=$metric '$1 == m' whole)" = "$(awk -v m=$metric '$1 == m' out)" ] ||
      wrong "the saved files give another $metric: $(awk -v m=$metric '$1 == m' whole)"
  done
  refuse 2 'expected no --save beside --annotations' "$moe" eval --annotations a --detections d --save saved
  expect 0 "$moe" eval runs/tiny-0001 data.slice.size=64
  expect 0 "$moe" predict runs/tiny-0001 data.slice.size=64 scenes/image/000000.* --out sliced --min-score 0
  [ "$(grep -c bbox sliced/predictions.json)" -gt "$((2 * 72))" ] || wrong "slices should add detections"
  refuse 1 'override data.slices' "$moe" predict runs/tiny-0001 data.slices=64 scenes/image/000000.*
  refuse 2 'then pictures' "$moe" predict runs/tiny-0001 data.slice.size=64
  expect 0 "$moe" predict runs/tiny-0001 scenes/image/* --out predicted --min-score 0
  [ "$(ls predicted/*.png | wc -l)" = 16 ] || wrong "expected 16 pictures with predictions"
  grep -q '"bbox": \[' predicted/predictions.json || wrong "expected detections in predictions.json"
  echo "no picture" >text.png
  expect 1 "$moe" predict runs/tiny-0001 text.png scenes/image/000000.* --out some --min-score 1.01
  grep -q 'text.png' err || wrong "expected a warning about text.png"
  grep -q '1 of 2 pictures could not be read' err || wrong "expected a count of broken pictures"
  prints 'no object of score 1.01 or more, the highest is 0[.]' "predict --min-score 1.01"
  refuse 1 'no.png' "$moe" predict runs/tiny-0001 no.png --out predicted
}

check_export() {
  expect 0 "$moe" export runs/tiny-0001 own.safetensors --format own
  [ -s own.safetensors ] || wrong "expected own.safetensors"
  refuse 1 'export to transformers' "$moe" export runs/tiny-0001 exported
  refuse 2 'expected one of own, transformers, got "onnx"' "$moe" export runs/tiny-0001 exported --format onnx
  refuse 1 'nowhere' "$moe" export nowhere exported
}

# The experts' tokens add up to the layer's assignments, and the class table to its totals.
check_experts() {
  expect 0 "$moe" experts runs/tiny-0001
  local sum total
  sum=$(awk '/^  total/ {print $2}' out)
  total=$(sed -n 's/.* \([0-9]*\) assignments.*/\1/p' out)
  [ -n "$sum" ] && [ "$sum" = "$total" ] || wrong "expert counts $sum do not add up to $total assignments"
  [ "$(awk '/%/ && !/total/ {n += $2} END {print n}' out)" = "$total" ] || wrong "the rows do not add up to $total"
  expect 0 "$moe" experts runs/tiny-0001 --by class
  prints '^  motorcycle ' "experts --by class"
  expect 0 "$moe" experts runs/tiny-0001 --window eval --json
  prints '^\{"checkpoint": "runs/tiny-0001", "step": [0-9]+, "window": "eval", "layers": \[\{"name": .*"tokens": 4,' "experts --json"
}

# A line a run, with the numbers that the other commands give.
check_table() {
  expect 0 "$moe" table runs/tiny-0001 runs/tiny-0002
  [ "$(wc -l <out)" = 4 ] || wrong "expected a header of two lines and two rows"
  [ "$(awk -F'|' '{print NF}' out | sort -u | wc -l)" = 1 ] || wrong "the rows of the table differ in their columns"
  prints '^[|] run [|] AP [|] AP50 [|] AP50/car [|].*[|] parameters [|] active [|] GFLOP [|]' table
  prints '^[|] tiny-0001 [|].* M [|] [0-9.]+ [|] [0-9.]+ [|] 1 x 6 [|] [0-9]+-[0-9]+ % [|]' table
  expect 0 "$moe" table runs/tiny-0001 --json
  cp out table.json
  expect 0 "$moe" eval runs/tiny-0001 --json
  python3 - table.json out <<'PYTHON' || wrong "moe table --json differs from moe eval --json"
import json, sys
table, evaluated = (json.load(open(path)) for path in sys.argv[1:])
assert table[0]["metrics"] == evaluated["metrics"] and table[0]["samples_per_second"] > 0
assert table[0]["parameters"] > table[0]["active_parameters"] > 0 and table[0]["flop"] > 0
PYTHON
  refuse 2 'expected run folders' "$moe" table
  refuse 1 'nowhere' "$moe" table nowhere runs/tiny-0001
  prints '^[|] tiny-0001 [|].* M [|]' table
}

# The numbers of metrics.jsonl, once, and of a run that another process is training.
check_watch() {
  expect 0 "$moe" watch runs/tiny-0001 --plot curves.svg
  [ "$(wc -l <out)" = 1 ] || wrong "a finished run should give one line"
  prints '^step 9  loss [0-9.]+  [0-9.]+ images/s  router entropy 0[.][0-9]+  AP -?[0-9.]+, best [0-9.]+$' watch
  python3 - curves.svg runs/tiny-0001/metrics.jsonl <<'PYTHON' || wrong "curves.svg does not hold the run's points"
import json, sys
import xml.etree.ElementTree as xml
lines = [json.loads(line) for line in open(sys.argv[2])]
steps = [line for line in lines if line["event"] == "step"]
evals = [line for line in lines if line["event"] == "eval"]
curves = [e.get("points").split() for e in xml.parse(sys.argv[1]).iter() if e.tag.endswith("polyline")]
assert [len(c) for c in curves] == [len(steps), len(evals), len(steps), len(steps)]
losses = [line["loss"] for line in steps]
heights = [float(point.split(",")[1]) for point in curves[0]]
assert heights.index(min(heights)) == losses.index(max(losses)) and heights.index(max(heights)) == losses.index(min(losses))
PYTHON
  "$moe" train tiny.yml train.epochs=4 --run watched >/dev/null 2>&1 </dev/null &
  for _ in $(seq 600); do [ -s watched/metrics.jsonl ] && break || sleep 0.05; done
  expect 0 "$moe" watch watched --interval 1
  prints '^step 12 ' watch
  wait
  "$moe" train tiny.yml train.epochs=400 --run halted >/dev/null 2>&1 </dev/null &
  for _ in $(seq 600); do [ -s halted/metrics.jsonl ] && break || sleep 0.05; done
  kill -INT $!
  wait $! || true
  expect 0 "$moe" watch halted --interval 1
  prints '^stopped; it goes on with: moe train --resume halted$' watch
  refuse 1 'nowhere/metrics.jsonl: expected the metrics of a run' "$moe" watch nowhere
  refuse 2 'expected one run folder' "$moe" watch
}

check_examples() {
  expect 0 "$build/examples/minimal" tiny.yml minimal
  prints 'epoch 5/5' minimal
  refuse 1 'nowhere.yml' "$build/examples/minimal" nowhere.yml
  expect 0 "$build/examples/feed_batches" 3
  prints '^step 3  loss' feed_batches
  prints '^picture 3: true' feed_batches
  expect 0 "$build/examples/expert_stats" tiny.yml expert_stats
  prints 'the whole training' expert_stats
  prints '^  car ' expert_stats
}

write_settings
check_help_and_usage
check_data_and_config
check_info
check_configs
check_data_check
check_files
check_failures
check_training
check_progress
check_interruption
check_use
check_export
check_experts
check_table
check_watch
check_examples
[ "$failures" = 0 ] && echo "all checks passed"
exit $((failures > 0))
