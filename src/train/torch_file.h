// Weights in a file of torch.save (.pth, .pt, .bin): the zip format that PyTorch writes since 1.6. Tensors of floats
// and integers in any memory order; quantised, sparse and sub-classed ones are refused by name (train/pickle.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace moe {

struct TorchFile {
  std::string part;  // which dict of the file it was: "ema.module", "" for the file's own
  std::vector<std::pair<std::string, at::Tensor>> tensors;  // of that dict, in file order; dense copies
};

// The state dict of the file. Of a training checkpoint that holds several: the averaged weights (ema.module, ema), else
// model, state_dict, module, or the file's own dict. A prefix "module." of all names (DistributedDataParallel) is left
// out. MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_DATA.
TorchFile load_torch_file(const std::string& path);

}  // namespace moe
