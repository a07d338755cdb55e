// The losses that keep a router balanced, decided or on its classes; [] tensors to be weighted and added to the task's
// loss. They know the routing alone: no expert, no weight of the sum, no state. T valid tokens, E experts, k experts of
// a token, f_e = share of the choices that went to e, P_e = mean probability of e, H = entropy in nats. For every loss:
// padded tokens change nothing, zero tokens give 0, and repeating the batch changes nothing.
//
// Balance: every expert chosen equally often. Collapse: every token chooses the same k experts, P evenly on these.
//   loss                        | at balance                      | at collapse
//   switch, GShard              | 1 (P uniform; any E and k)      | E / k
//   importance CV², load CV²    | 0                               | E / k - 1
//   router z                    | (ln E)² for zero logits; 0 where log-sum-exp is 0; a² for one large logit a
//   token entropy               | ln E undecided, 0 decided       | ln k
//   marginal entropy            | -ln E                           | -ln k
//   mutual information          | -ln E decided, 0 undecided      | 0
//   LIMoE threshold             | 0 (threshold <= ln E)           | threshold - ln k
//   class mutual information    | -min(H(class), ln E) at its best| 0
//   class routing cross entropy | ln E undecided, 0 on its expert | ln k where the class's expert is one of the k
//
// Accumulation. `window` holds the totals of all micro-batches (and ranks, summed) of one optimizer step, this one
// included; without it the micro-batch is the whole window. With it the micro-batches' losses and gradients add up to
// exactly those of the one large batch:
// - z, token entropy, class routing cross entropy are sums over tokens divided by the window's tokens: only
//   window.tokens (window.labelled) is read, which is known before any forward pass;
// - switch and GShard take f from the window's counts and are then such sums in P;
// - the others are functions of a sum over tokens: its value is the window's, its gradient flows through this
//   micro-batch's part, and each micro-batch counts for its share of the tokens.
// The last two need totals that are known only after the router has seen the whole window. Averaging the
// per-micro-batch form instead (no window) is the usual, stricter balance within each micro-batch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "moe/router.h"

namespace moe {

// Sums over the valid tokens of a routing, without gradient; those of micro-batches and ranks add up. Undefined tensors
// count as zeros.
struct RoutingTotals {
  int64_t tokens = 0;
  int64_t labelled = 0;      // tokens with a class
  at::Tensor counts;         // [E] int64, choices before any drop
  at::Tensor first_counts;   // [E] int64, first choices
  at::Tensor probability;    // [E] float64, sum of probabilities
  at::Tensor importance;     // [E] float64, sum of gate weights
  at::Tensor load;           // [E] float64, sum of the chances to be chosen; undefined without noise
  at::Tensor class_experts;  // [classes, E] float64, sum of probabilities by class; undefined without labels

  RoutingTotals& operator+=(const RoutingTotals& other);
};
// labels [T] int64 below `classes`, -1 = none; undefined: none
RoutingTotals routing_totals(const Routing& routing, const at::Tensor& labels = {}, int64_t classes = 0);

// E sum_e f_e P_e (Fedus et al. 2021). Not a bound: below 1 where f and P disagree.
at::Tensor switch_loss(const Routing& routing, const RoutingTotals& window = {});
// The same with f of the first choices alone (Lepikhin et al. 2020). Not for expert_choice, which has no first ones.
at::Tensor gshard_loss(const Routing& routing, const RoutingTotals& window = {});

// Squared coefficient of variation (population variance / mean²) over the experts of
// - the summed gate weights (Shazeer et al. 2017);
at::Tensor importance_loss(const Routing& routing, const RoutingTotals& window = {});
// - the chance of each token to choose the expert if that logit's noise were drawn again. 0 without noise. Bias and
//   groups are not part of that chance.
at::Tensor load_loss(const Routing& routing, const RoutingTotals& window = {});

// Mean squared log-sum-exp of the logits as given, before temperature (ST-MoE, Zoph et al. 2022).
at::Tensor z_loss(const Routing& routing, const RoutingTotals& window = {});

// Mean H(p_t): small when every token is decided.
at::Tensor token_entropy_loss(const Routing& routing, const RoutingTotals& window = {});
// -H(P): small when the experts are used alike on the whole.
at::Tensor marginal_entropy_loss(const Routing& routing, const RoutingTotals& window = {});
// -(H(P) - mean H(p_t)): minus the information that a token carries about its expert.
at::Tensor mutual_information_loss(const Routing& routing, const RoutingTotals& window = {});
// max(0, threshold - H(P)), threshold in nats: at least e^threshold experts in use (LIMoE, Mustafa et al. 2022).
at::Tensor limoe_loss(const Routing& routing, double threshold, const RoutingTotals& window = {});

// -I(class; expert) over the labelled tokens (Mod-Squad, Chen et al. 2023). labels as in routing_totals().
at::Tensor class_mutual_information_loss(const Routing& routing, const at::Tensor& labels, int64_t classes,
                                         const RoutingTotals& window = {});
// Mean -ln softmax(logits)[target] over tokens with a target (DAMEX, Jain et al. 2023). targets [T] int64: the expert
// that the token's class belongs to, -1 = none.
at::Tensor class_routing_loss(const Routing& routing, const at::Tensor& targets, const RoutingTotals& window = {});

}  // namespace moe
