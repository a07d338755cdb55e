// Weights of a file into a new model, by name: checkpoints of libmoe, safetensors and torch.save files of this or
// another project (Task::other_names). It changes no optimizer, no counter and no setting; Session::load() restores a
// training.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "config/config.h"
#include "models/task.h"

namespace moe {

// Tensors of a file under the file's names.
struct WeightsFile {
  std::string part;  // which of its dicts: "ema.module", "ema", "" for the only one
  NamedTensors tensors;
};
// The format is told from the first bytes. Of a checkpoint that averages its weights: the averages.
// MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_DATA.
WeightsFile load_weights(const std::string& path);

// What became of every tensor. By our names: loaded, of another shape (heads only, with both shapes), absent from the
// file; by the file's: not of this model.
struct PretrainedReport {
  std::vector<std::string> loaded, misshaped, missing, unexpected;

  std::string lines()
      const;  // "loaded NAME", "mis-shaped NAME: file [80, 256], model [6, 256]", "missing NAME", ... one a line
};

// Copies what the file of `model.pretrained` has into `targets` (by our names); `model.pretrained_only` leaves others
// out. Heads of another shape keep their start. On an error nothing was copied. MOE_ERR_DATA: no tensor fits, another
// shape where only heads may differ, or integers where floats belong (quantised).
PretrainedReport load_pretrained(const Config& config, const Task& task, const NamedTensors& targets, const Log& log);

}  // namespace moe
