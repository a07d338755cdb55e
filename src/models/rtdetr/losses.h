// The loss terms of a micro-batch: the criterion over final layer, auxiliary layers, selected cells and denoising
// queries of every expert, and the gate's cross entropy. Sums are divided by numbers of the whole window only, so
// micro-batches add up to the gradient of one large batch.
#pragma once

#include "models/rtdetr/mixture_decoder.h"
#include "models/rtdetr/options.h"
#include "models/task.h"

namespace moe::rtdetr {

// "boxes": all of the batch; with a mixture also "boxes.<group>".
Normalizers count_boxes(const Options& options, const at::Tensor& labels);

// vfl, bbox, giou of the last layer; *_aux of the other layers; *_enc of the selected cells; *_dn of denoising over all
// layers; gate. Experts and layers are added up. An expert says nothing about images it was not computed for.
// Denoising is divided by boxes times the groups of this micro-batch: how many there are depends on how the window is
// cut.
std::vector<LossTerm> losses(const Options& options, const NetworkOutput& output, const Targets& targets,
                             const ForwardContext& context);

}  // namespace moe::rtdetr
