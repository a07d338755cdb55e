#!/usr/bin/env bash
# `moe sweep` as a user calls it: a small table of two rows, two values and two seeds, killed and taken up again, with results
# by run and by row that agree; runs that are done are not done again, and those of other settings are refused. And samples
# judged from the command line.
#   test_sweep.sh BUILD_FOLDER
set -uo pipefail
moe=$(realpath "$1")/bin/moe
work=$(mktemp -d /tmp/moe-test-sweep-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0

wrong() {
  echo "FAILED: $*"
  tail -n 8 out err
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
    head -c 3072 /dev/zero | tr '\0' "\\$((100 + 10 * (i % 3) + i / 3))"
  done
}
mkdir data
records >data/data_batch_1.bin
records >data/test_batch.bin
cat >tiny.yml <<'EOF'
task: diffusion
data: {root: data, classes: [red, green, blue], size: [8, 8]}
model: {unet: {channels: 8, multipliers: [1, 2], embedding: 16}, experts: {count: 4, top_k: 2}}
train: {epochs: 2, batch_size: 4, log_every: 1}
sample: {steps: 4}
EOF
cat >sweep.yml <<'EOF'
base: tiny.yml
sweep:
  rows: [full, no_moe model.experts.kind=fusion model.frequency.mode=none]
  axes: ["model.unet.multipliers=[1,2]|[1,1]"]
  seeds: [0, 7]
  metrics: [skill, eps_mse]
EOF
expect 0 "$moe" sweep sweep.yml --list
[ "$(wc -l <out)" = 8 ] || wrong "--list: expected eight runs"
grep -qx 'no_moe multipliers=\[1,1\], seed 7: model.experts.kind=fusion model.frequency.mode=none model.unet.multipliers=\[1,1\]' out ||
  wrong "--list: expected the last run with its settings"
[ ! -e runs ] || wrong "--list made a folder"

# Killed after the first result, in the middle of another run; the same command goes on.
"$moe" sweep sweep.yml >out 2>err </dev/null &
sweep=$!
for _ in $(seq 600); do
  [ -e "runs/sweep/full_multipliers=_1,2_/seed-0/result.txt" ] && break
  sleep 0.1
done
kill -9 $sweep 2>/dev/null
wait $sweep 2>/dev/null
done_before=$(find runs/sweep -name result.txt | wc -l)
[ "$done_before" -ge 1 ] || wrong "expected a result before the kill"
touch -d '2001-01-01' "runs/sweep/full_multipliers=_1,2_/seed-0/result.txt"
expect 0 "$moe" sweep sweep.yml
[ "$(grep -c 'done before' out)" -ge "$done_before" ] || wrong "expected $done_before runs done before"
[ "$(date -r "runs/sweep/full_multipliers=_1,2_/seed-0/result.txt" +%Y)" = 2001 ] || wrong "a run that was done is done again"

# A line a run, a line a row, and the means are those of the runs.
[ "$(wc -l <runs/sweep/results.csv)" = 9 ] || wrong "results.csv: expected eight runs"
[ "$(wc -l <runs/sweep/table.csv)" = 5 ] || wrong "table.csv: expected four rows"
for name in parameters active multiply_adds step_ms skill eps_mse eps_mse/0-99; do
  head -n 1 runs/sweep/results.csv | tr , '\n' | grep -qxF "$name" || wrong "results.csv: expected the column $name"
done
python3 - runs/sweep <<'EOF' || wrong "table.csv: not the means and deviations of results.csv"
import csv, statistics, sys
runs = list(csv.DictReader(open(sys.argv[1] + "/results.csv")))
for row in csv.DictReader(open(sys.argv[1] + "/table.csv")):
    mine = [run for run in runs if run["row"] == row["row"]]
    assert len(mine) == 2 == int(row["runs"]), row
    for name in mine[0]:
        if name in ("row", "seed"):
            continue
        values = [float(run[name]) for run in mine]
        assert abs(float(row[name]) - statistics.mean(values)) <= 1e-6 * max(1, abs(values[0])), (name, row)
        assert abs(float(row[name + "_deviation"]) - statistics.stdev(values)) <= 1e-6 * max(1, abs(values[0])), (name, row)
full = [run for run in runs if run["row"] == "full multipliers=[1,2]"]
assert full[0]["skill"] != full[1]["skill"], "two seeds, one result"
assert float(full[0]["active"]) < float(full[0]["parameters"])
EOF
grep -q '^| full multipliers=\[1,2\] | 2 | .* M | .* ± ' runs/sweep/table.md || wrong "table.md: expected the row full"
tail -n 6 out | diff - runs/sweep/table.md >/dev/null || wrong "expected the table at the end of the output"

# The first run of a sweep has the bits of the same training alone.
expect 0 "$moe" train tiny.yml seed=7 model.unet.multipliers=[1,2] --run alone
grep '"event":"eval"' alone/metrics.jsonl | tail -n 1 | sed 's/.*"skill":\([^,]*\),.*/\1/' >skill
awk -v want="$(cat skill)" '$2 == "skill" && $1 - want < 1e-12 && want - $1 < 1e-12 {found = 1} END {exit !found}' \
  "runs/sweep/full_multipliers=_1,2_/seed-7/result.txt" || wrong "a run of the sweep is not the training alone"

refuse 1 "made with other settings" "$moe" sweep sweep.yml optimizer.lr=5e-3
refuse 1 'expected KEY=VALUE, got "oops"' "$moe" sweep sweep.yml 'sweep.rows=["bad oops"]' --out other
refuse 1 "model.experts.cuont" "$moe" sweep sweep.yml 'sweep.rows=["bad model.experts.cuont=3"]' --out other
refuse 1 'sweep.axes: expected KEY=A|B|C, got "lr"' "$moe" sweep sweep.yml 'sweep.axes=[lr]' --out other
refuse 2 "expected a settings file" "$moe" sweep
refuse 1 "nothing.yml" "$moe" sweep nothing.yml

# Samples judged from the command line, by pixels and by a classifier.
cat >judge.yml <<'EOF'
task: classifier
data: {root: data, classes: [red, green, blue], size: [8, 8]}
model: {classifier: {channels: 8, multipliers: [2]}}
train: {epochs: 2, batch_size: 4}
EOF
expect 0 "$moe" train judge.yml --run judge
grep -q 'accuracy' out || wrong "classifier: expected its accuracy"
expect 0 "$moe" eval alone evaluate.samples=9 evaluate.extractor=judge evaluate.reference=reference.npz evaluate.neighbours=2
for name in KID FID precision recall density coverage IS class_accuracy nearest; do
  grep -q "^$name/judge " out && grep -q "^${name}_real/judge " out || wrong "moe eval: expected $name"
done
[ -e reference.npz ] || wrong "expected reference.npz"
expect 0 "$moe" eval alone
grep -q KID out && wrong "moe eval: samples that nobody asked for"
refuse 1 "absent.pt: expected a TorchScript file" "$moe" eval alone evaluate.samples=9 evaluate.extractor=absent.pt
[ "$failures" = 0 ] && echo "all passed"
exit $((failures > 0))
