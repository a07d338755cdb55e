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

// What the routers of feed-forward experts chose, by layer, for losses of the whole window; of a pass in training.
std::vector<RoutingTotals> layer_totals(const Options& options, const NetworkOutput& output, const Targets& targets);

// vfl, bbox, giou of the last layer; *_aux of the other layers; *_enc of the selected cells; *_dn of denoising over all
// layers; gate; with feed-forward experts the losses of their routers, sums over layers. Experts and layers are added
// up. An expert says nothing about images it was not computed for. Denoising is divided by boxes times the groups of
// this micro-batch: how many there are depends on how the window is cut.
//
// Routers see the window's totals where the context has them, else those of this micro-batch, which then counts for its
// share of the window's tokens ("router_tokens"). token_classes: of every layer with feed-forward experts the class of
// each token that was matched, -1 of others, [G * (D + Q)] int64; NULL: not wanted.
std::vector<LossTerm> losses(const Options& options, const NetworkOutput& output, const Targets& targets,
                             const ForwardContext& context, std::vector<at::Tensor>* token_classes = nullptr);

}  // namespace moe::rtdetr
