// Precompiled for every target that uses LibTorch: torch/torch.h alone costs 20 s a source.
#include <torch/torch.h>
