// The router of a mixture layer: from a token's features to logits, from logits to the experts that compute it and its
// gate weights. Pure functions of plain tensors: learned weights, selection bias and noise stream come from the caller.
// Nothing here knows an expert, keeps state or moves a token. T tokens, D width, E experts, k experts of a token.
//
// All arithmetic is float32, float64 for float64 inputs, also under autocast: exact ties are common in bfloat16 logits.
// Ties go to the lowest index. Padded tokens (valid = false) choose nothing, whatever their logits hold, and no other
// token's result depends on them (noise is drawn by row); zero tokens are allowed. Tensors are on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "moe/routing_stats.h"

namespace moe {

// s = what a logit is worth: softmax over the experts, sigmoid (DeepSeek-V3), sqrt(softplus) (Megatron-LM).
enum class RouterScore { softmax, sigmoid, sqrt_softplus };

// top_k: each token takes its best k experts. expert_choice: each expert takes its best k * T / E tokens (Zhou et al.
// 2022), a token gets 0 to E experts, and the others of its batch decide which. hash: a fixed table from the token's
// key (Roller et al. 2021). balanced: tokens in turn, counts differ by one at most. The last two learn nothing, their
// gates are 1/k.
enum class RouterChoice { top_k, expert_choice, hash, balanced };

// The gate of a chosen expert. raw: its score (Switch, V-MoE). renormalized: score / sum over the chosen (Mixtral, and
// with sigmoid DeepSeek-V3). softmax: softmax over the chosen logits (Shazeer 2017). With k = 1 the last two are always
// 1 and the task would teach the router nothing: check_options() refuses that.
enum class RouterGate { raw, renormalized, softmax };

// Who is served when an expert is full. probs: its most probable tokens. position: first choices before second ones,
// each in the order of the tokens (GShard). batch_priority: as position, tokens in the order of their largest
// probability (batch priority routing of V-MoE).
enum class DropPolicy { probs, position, batch_priority };

// From the names above as settings write them. MOE_ERR_CONFIG with the nearest name.
RouterScore parse_router_score(std::string_view name);
RouterChoice parse_router_choice(std::string_view name);
RouterGate parse_router_gate(std::string_view name);
DropPolicy parse_drop_policy(std::string_view name);

struct RouterOptions {
  std::string layer = "router";  // named in errors
  RouterScore score = RouterScore::softmax;
  RouterChoice choice = RouterChoice::top_k;
  RouterGate gate = RouterGate::renormalized;
  int64_t top_k = 2;        // with expert_choice: experts of a token on average
  double temperature = 1;   // divides the logits before prior, noise and bias; below 1 sharpens
  double prior_weight = 1;  // beta of logits + beta * log prior
  double logit_noise = 0;   // deviation of Gaussian noise on the logits in training; V-MoE: 1 / E
  double gate_scale = 1;    // factor on the gates (routed_scaling_factor of DeepSeek)
  // Group-limited (DeepSeek-V3): of `groups` groups of experts the best `top_groups` may be chosen from; a group's
  // worth is the sum of its two best scores, bias included.
  int64_t groups = 1, top_groups = 1;
  double capacity_factor = 0;  // tokens of an expert at most: ceil(factor * k * T / E); 0: no limit (dropless)
  DropPolicy drop = DropPolicy::probs;
};

// The first option that does not fit, as the name of the field above and "expected ..., got ...".
struct OptionProblem {
  std::string option, message;
};
std::optional<OptionProblem> find_problem(const RouterOptions& options, int64_t experts);
// Throws MOE_ERR_CONFIG, naming the layer and the option.
void check_options(const RouterOptions& options, int64_t experts);

struct RouterInputs {
  at::Tensor logits;         // [T, E]; hash and balanced read its shape only
  at::Tensor valid;          // [T] bool; undefined: all
  at::Tensor bias;           // [E] added to the scores for the choice alone (aux-loss-free); undefined: none
  at::Tensor log_prior;      // [classes, E] ln P(expert | class); undefined: none
  at::Tensor labels;         // [T] int64 class of a token, -1 = none; used with log_prior
  at::Tensor noise_scale;    // [T, E] learned deviation of the noise; undefined: logit_noise
  at::Tensor keys;           // [T] int64 for hash: token id or position; undefined: the row
  std::optional<Rng> noise;  // training: the stream of the noise; none: evaluation, no noise
};

// `chosen` and `weights` are the router's decision; `experts` and `gates` what is left of it to compute, the same
// tensors unless a capacity drops something. With gradient: logits, probabilities, clean, noisy, noise_scale, weights,
// gates.
struct Routing {
  at::Tensor logits;         // [T, E] as given; 0 where padded
  at::Tensor probabilities;  // [T, E] the distribution that was chosen from (tempered, with prior and noise): rows sum
                             // to 1, or to 0 where padded
  at::Tensor chosen;         // [T, k] int64, best first (expert_choice: rising); -1 = none
  at::Tensor weights;        // [T, k]; 0 where chosen is -1
  at::Tensor experts;        // [T, k] int64; -1 = none or dropped
  at::Tensor gates;          // [T, k]; 0 where experts is -1
  at::Tensor counts;         // [E] int64: tokens that chose the expert
  at::Tensor clean;          // [T, E] tempered logits with prior, without noise; undefined for hash and balanced
  at::Tensor noisy;          // [T, E] clean + noise; undefined without noise
  at::Tensor noise_scale;    // [T, E] deviation of that noise; undefined without noise
  at::Tensor valid;          // [T] bool; undefined: all
  int64_t tokens = 0;        // valid ones
  int64_t capacity = 0;      // tokens of an expert at most; 0: no limit
  int64_t dropped = 0;       // choices over capacity
};

// Errors: MOE_ERR_CONFIG (options), MOE_ERR_SHAPE, MOE_ERR_DTYPE, MOE_ERR_NUMERIC (a valid token's logits are not
// finite).
Routing route(const RouterOptions& options, const RouterInputs& in);

// --- Logits [T, E] from features x [T, D] of any float type. Padded rows of x must be finite. ---

at::Tensor linear_logits(const at::Tensor& x, const at::Tensor& weight);  // weight [E, D]
// Noisy top-k (Shazeer 2017): softplus(x weight^T), the deviation of each logit's noise. weight [E, D]
at::Tensor learned_noise_scale(const at::Tensor& x, const at::Tensor& weight);
// exp(min(log_scale, ln 100)) * cosine of (projection x) and each expert's embedding (Tutel, Swin-MoE).
// projection [P, D], embeddings [E, P], log_scale []; Tutel starts log_scale at ln 2
at::Tensor cosine_logits(const at::Tensor& x, const at::Tensor& projection, const at::Tensor& embeddings,
                         const at::Tensor& log_scale);
// Input jitter (Switch): x times uniform noise in [1 - amount, 1 + amount). Training only.
at::Tensor jitter(const at::Tensor& x, double amount, Rng noise);

// --- Soft MoE (Puigcerver et al. 2023): every slot of every expert reads a mix of an image's tokens. Dense. ---

struct SoftRouting {
  at::Tensor dispatch;  // [B, N, E, S] softmax over the image's tokens: input of a slot = sum of dispatch * x
  at::Tensor combine;   // [B, N, E, S] softmax over all slots: output of a token = sum of combine * slot output
};
// x [B, N, D], slots [D, E, S], scale []: scale * cosine of token and slot -> [B, N, E, S]
at::Tensor soft_logits(const at::Tensor& x, const at::Tensor& slots, const at::Tensor& scale);
// logits [B, N, E, S]; valid [B, N] bool, undefined: all. Padded tokens have weight 0 in both; no slot reads an image
// without valid tokens. MOE_ERR_NUMERIC names the layer.
SoftRouting soft_route(const at::Tensor& logits, const at::Tensor& valid, const std::string& layer);

// --- Helpers ---

// MOE_ERR_NUMERIC, naming the layer and the first token, unless every logit is finite. The first `token_dims`
// dimensions of logits are tokens.
void check_finite_logits(const at::Tensor& logits, int64_t token_dims, const std::string& layer);

// Columns of the k largest values of each row, largest first, ties by lowest column. values [N, M] float32 or float64,
// no NaN, 1 <= k <= M -> [N, k] int64. One pass per row, made for small k.
at::Tensor top_k_indices(const at::Tensor& values, int64_t k);
// [T, k] values at `experts` as a dense [T, E], 0 elsewhere. With gradient.
at::Tensor dense_gates(const at::Tensor& experts, const at::Tensor& values, int64_t expert_count);
// What RoutingStats counts. labels: see RoutingRecord.
RoutingRecord routing_record(const Routing& routing, const at::Tensor& labels = {});
// Aux-loss-free balancing (Wang et al. 2024): bias += rate * sign(mean(counts) - counts), once per optimizer step with
// the counts of its whole window. Without a count the bias stays. bias [E] dense float32 or float64, counts [E].
// Allocates nothing.
void update_bias(const at::Tensor& bias, const std::vector<int64_t>& counts, double rate = 1e-3) noexcept;

}  // namespace moe
