#include "train/schema.h"

#include <algorithm>

#include "data/source.h"
#include "models/task.h"

namespace moe {

static Schema run_keys() {
  using enum KeyType;
  return {
      {"task", text, "", "", "Name of the system to train."},
      {"seed", integer, "0", ">= 0", "Root of every random stream."},
      {"device", text, "cpu", "cpu | cuda", "Where the model lives."},
      {"model.pretrained", text, "", "",
       "File whose tensors a new model starts from: a checkpoint of libmoe, safetensors or a .pth of torch.save, with "
       "the "
       "names of this or another known project; empty: none. Heads for another number of classes keep their start."},
      {"model.pretrained_only", texts, "[]", "",
       "Regular expressions; of model.pretrained only tensors whose name here holds a match are loaded, such as "
       "[^backbone]; []: all."},
      {"train.epochs", integer, "100", ">= 1", "Passes over the training split."},
      {"train.max_steps", integer, "0", ">= 0", "Optimizer steps after which the run ends; 0: train.epochs decides."},
      {"train.max_minutes", number, "0", ">= 0",
       "Wall minutes of training (evaluation not counted) after which the run ends; 0: no limit. Not reproducible."},
      {"train.batch_size", integer, "16", ">= 1", "Samples in a micro-batch."},
      {"train.accumulate", integer, "1", ">= 1",
       "Micro-batches in a step. Gradients equal those of one large batch but for BatchNorm statistics (see "
       "train.freeze_norm) and the grouping of denoising queries, which are of a micro-batch."},
      {"train.amp", text, "off", "off | bf16 | fp16 | auto",
       "Mixed precision of forward and backward; auto: bf16 where the CPU multiplies it natively, else off."},
      {"train.clip_norm", number, "0.1", ">= 0", "Global L2 norm that gradients are clipped to; 0: off."},
      {"train.checkpoint_activations", boolean, "false", "", "Recompute blocks in the backward pass to save memory."},
      {"train.freeze", texts, "[]", "", "Regular expressions; parameters whose name holds a match are not trained."},
      {"train.freeze_norm", boolean, "false", "",
       "Batch normalisation uses and keeps its running statistics in training."},
      {"train.log_every", integer, "10", ">= 1", "Steps between two step events."},
      {"train.eval_every", number, "1", ">= 0", "Epochs between evaluations; 0: only at the end."},
      {"train.checkpoint_every", integer, "0", ">= 0",
       "Steps between checkpoints besides the one of each epoch; 0: none."},
      {"train.keep_checkpoints", integer, "2", ">= 1", "Newest checkpoints kept beside the best."},
      {"train.early_stop", integer, "0", ">= 0",
       "Evaluations without a better first metric before the run ends; 0: off."},
      {"optimizer.kind", text, "adamw", "adamw | adam | sgd", "Update rule."},
      {"optimizer.lr", number, "1e-4", "> 0", "Base learning rate of groups that set none."},
      {"optimizer.weight_decay", number, "1e-4", ">= 0", "Weight decay of groups that set none."},
      {"optimizer.betas", numbers, "[0.9, 0.999]", ">= 0, < 1", "Adam's decay rates."},
      {"optimizer.eps", number, "1e-8", "> 0", "Adam's denominator guard."},
      {"optimizer.momentum", number, "0.9", ">= 0, < 1", "Momentum of sgd."},
      {"optimizer.nesterov", boolean, "false", "", "Nesterov momentum of sgd."},
      {"optimizer.no_decay", texts, "[norm_bias]", "",
       "Regular expressions of parameters without weight decay; norm_bias stands for every 1-d parameter."},
      {"optimizer.groups.*.lr", number, "1e-4", "> 0", "Base learning rate of this group; not given: optimizer.lr."},
      {"optimizer.groups.*.weight_decay", number, "1e-4", ">= 0",
       "Weight decay of this group; not given: optimizer.weight_decay."},
      {"optimizer.groups.*.match", texts, "[]", "",
       "Regular expressions on parameter names. Without any, `pretrained` and `new` go by origin and `default` takes "
       "the rest."},
      {"schedule.kind", text, "constant", "constant | step | multi_step | cosine | one_cycle",
       "Course of the learning rate."},
      {"schedule.warmup_steps", integer, "0", ">= 0", "Steps of linear warm-up; it multiplies the course."},
      {"schedule.warmup_start", number, "0", ">= 0, <= 1", "Factor the warm-up starts from."},
      {"schedule.final_factor", number, "0.01", ">= 0, <= 1",
       "Factor at the end of cosine (which starts after the warm-up) and one_cycle."},
      {"schedule.step_epochs", number, "30", "> 0", "Epochs between two drops of step."},
      {"schedule.milestones", numbers, "[]", "> 0", "Epochs of the drops of multi_step."},
      {"schedule.gamma", number, "0.1", "> 0, <= 1", "Factor of one drop."},
      {"schedule.rise_share", number, "0.3", "> 0, < 1", "Share of one_cycle spent rising, from 1/25."},
      {"ema.decay", number, "0", ">= 0, < 1", "Decay of the averaged weights used to evaluate; 0: off."},
      {"ema.warmup", number, "2000", "> 0", "Steps over which the decay rises: decay * (1 - exp(-step / warmup))."},
      {"ema.half_life", number, "0", ">= 0",
       "Training samples over which a weight's part in the averages halves, at most 5 % of those seen, in place of "
       "ema.decay; 0: off."},
      {"sweep.rows", texts, "[]", "",
       "Rows of `moe sweep`, each NAME KEY=VALUE ... as on the command line; []: the axes alone."},
      {"sweep.axes", texts, "[]", "", "Keys and values that `moe sweep` combines with every row, each KEY=A|B|C."},
      {"sweep.seeds", integers, "[0]", ">= 0", "Seeds that every row is trained with."},
      {"sweep.metrics", texts, "[]", "", "Metrics of the table that `moe sweep` prints; []: the first four."},
      {"scaler.initial", number, "65536", "> 0", "First loss scale of fp16."},
      {"scaler.growth_interval", integer, "2000", ">= 1", "Good steps before the loss scale doubles."},
  };
}

static void append(Schema& schema, const Schema& more) {
  schema.insert(schema.end(), more.begin(), more.end());
}

Schema shared_schema() {
  Schema schema = run_keys();
  append(schema, data_schema());
  return schema;
}

// A task's key of the same path stands in the place of a shared one: its data sets and sizes differ.
static void append_task(Schema& schema, const Schema& own) {
  for (const Key& key : own) {
    const auto shared = std::find_if(schema.begin(), schema.end(), [&](const Key& k) { return k.path == key.path; });
    if (shared == schema.end()) {
      schema.push_back(key);
    } else {
      *shared = key;
    }
  }
}

Schema task_schema(const std::string& task) {
  Schema schema = shared_schema();
  if (task.empty()) return schema;
  std::vector<std::string> names;
  for (const TaskEntry& entry : task_registry()) {
    if (entry.name == task) {
      append_task(schema, entry.schema());
      return schema;
    }
    names.push_back(entry.name);
  }
  fail(MOE_ERR_CONFIG, "task: expected one of ", join(names, ", "), ", got ", quote(task), did_you_mean(task, names));
}

}  // namespace moe
