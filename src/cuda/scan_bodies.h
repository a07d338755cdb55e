// The selective scan of Mamba (Gu and Dao 2023), forward and backward, float32 and float64:
//   h_t[d, n] = exp(delta_t[d] a[d, n]) h_{t-1}[d, n] + delta_t[d] b_t[n] u_t[d],  h_0 = 0
//   y_t[d] = sum over n of c_t[n] h_t[d, n] + skip[d] u_t[d]
// One thread a channel keeps its N states in registers. Forward stores the states before every chunk of steps; backward
// computes a chunk again from there. Sums over channels go through shared memory, one part a tile of channels; sums
// over parts and images are the caller's. nn/selective_scan.h is the reference.
#pragma once

#include "cuda/host_device.h"

namespace moe::cuda {

constexpr int most_states = 16;
constexpr int scan_chunk = 16;  // steps
constexpr int scan_tile = 64;   // channels of a block

struct ScanSizes {
  int64_t images, steps, channels, states;  // B, L, d, N

  MOE_HD int64_t chunks() const { return divide_up(steps, scan_chunk); }
  MOE_HD int64_t tiles() const { return divide_up(channels, scan_tile); }
};

template <typename A>
struct ScanInputs {
  ScanSizes sizes;
  const A* u;      // [B, L, d]
  const A* delta;  // [B, L, d]
  const A* a;      // [d, N]
  const A* b;      // [B, L, N]
  const A* c;      // [B, L, N]
  const A* skip;   // [d]

  // One step of a channel's states.
  MOE_HD void advance(A (&h)[most_states], const A (&rate)[most_states], int64_t step, int64_t channel) const {
    const A dt = delta[step * sizes.channels + channel];
    const A input = dt * u[step * sizes.channels + channel];
    MOE_UNROLL
    for (int n = 0; n < most_states; ++n) {
      if (n < sizes.states) h[n] = std::exp(dt * rate[n]) * h[n] + input * b[step * sizes.states + n];
    }
  }

  MOE_HD void load_rates(A (&rate)[most_states], int64_t channel) const {
    MOE_UNROLL
    for (int n = 0; n < most_states; ++n) rate[n] = n < sizes.states ? a[channel * sizes.states + n] : A(0);
  }
};

// For each of B * d.
template <typename A>
struct ScanForward {
  ScanInputs<A> in;
  A* y;       // [B, L, d]
  A* states;  // [B, chunks, N, d] before each chunk; or null: not kept

  MOE_HD void operator()(int64_t i) const {
    const ScanSizes& sizes = in.sizes;
    const int64_t image = i / sizes.channels, channel = i % sizes.channels;
    A h[most_states] = {}, rate[most_states];
    in.load_rates(rate, channel);
    for (int64_t t = 0; t < sizes.steps; ++t) {
      if (states != nullptr && t % scan_chunk == 0) keep(h, image * sizes.chunks() + t / scan_chunk, channel);
      const int64_t step = image * sizes.steps + t;
      in.advance(h, rate, step, channel);
      A sum = in.skip[channel] * in.u[step * sizes.channels + channel];
      MOE_UNROLL
      for (int n = 0; n < most_states; ++n) {
        if (n < sizes.states) sum += in.c[step * sizes.states + n] * h[n];
      }
      y[step * sizes.channels + channel] = sum;
    }
  }

 private:
  MOE_HD void keep(const A (&h)[most_states], int64_t chunk, int64_t channel) const {
    MOE_UNROLL
    for (int n = 0; n < most_states; ++n) {
      if (n < in.sizes.states) states[(chunk * in.sizes.states + n) * in.sizes.channels + channel] = h[n];
    }
  }
};

// One block a (image, tile of channels), steps from the last to the first, two phases a step: each channel adds its own
// and leaves its products in shared memory; one thread a state sums them over the tile.
template <typename A>
struct ScanBackward {
  ScanInputs<A> in;
  const A* states;  // [B, chunks, N, d] from forward
  const A* grad_y;  // [B, L, d]
  A* scratch;       // [B, scan_chunk, N, d] states after each step of the chunk at hand
  A* grad_u;        // [B, L, d]
  A* grad_delta;    // [B, L, d]
  A* grad_a;        // [B, N, d]
  A* grad_b;        // [tiles, B, L, N]
  A* grad_c;        // [tiles, B, L, N]
  A* grad_skip;     // [B, d]

  static constexpr int threads = scan_tile;
  struct State {
    A rate[most_states];
    A carry[most_states];  // exp(delta_{t+1} a) * gradient of h_{t+1}
    A grad_a[most_states];
    A grad_skip;
  };
  static_assert(threads >= 2 * most_states, "one thread sums a state's products");

  // [2 N, tile + 1]: the odd stride spreads a column over the banks
  size_t shared_bytes() const { return static_cast<size_t>(2 * in.sizes.states * (scan_tile + 1)) * sizeof(A); }
  MOE_HD int64_t phases() const { return 2 * in.sizes.steps; }

  MOE_HD void phase(int64_t phase, int64_t block, int thread, State& state, unsigned char* shared) const {
    const int64_t image = block / in.sizes.tiles(), tile = block % in.sizes.tiles();
    const int64_t t = in.sizes.steps - 1 - phase / 2, channel = tile * scan_tile + thread;
    A* products = reinterpret_cast<A*>(shared);
    if (phase % 2 == 1) return sum_tile(tile, image * in.sizes.steps + t, thread, products);
    if (channel >= in.sizes.channels) {
      for (int64_t j = 0; j < 2 * in.sizes.states; ++j) products[j * (scan_tile + 1) + thread] = 0;
      return;
    }
    if (phase == 0) start(state, channel);
    if (phase == 0 || t % scan_chunk == scan_chunk - 1) compute_chunk(state, image, t / scan_chunk, channel);
    step_back(state, image, t, channel, products + thread);
    if (t == 0) finish(state, image, channel);
  }

 private:
  MOE_HD void start(State& state, int64_t channel) const {
    in.load_rates(state.rate, channel);
    MOE_UNROLL
    for (int n = 0; n < most_states; ++n) state.carry[n] = state.grad_a[n] = 0;
    state.grad_skip = 0;
  }

  MOE_HD int64_t scratch_index(int64_t image, int64_t t, int n, int64_t channel) const {
    return ((image * scan_chunk + t % scan_chunk) * in.sizes.states + n) * in.sizes.channels + channel;
  }

  MOE_HD A kept(int64_t image, int64_t chunk, int n, int64_t channel) const {
    return states[((image * in.sizes.chunks() + chunk) * in.sizes.states + n) * in.sizes.channels + channel];
  }

  MOE_HD void compute_chunk(const State& state, int64_t image, int64_t chunk, int64_t channel) const {
    A h[most_states] = {};
    MOE_UNROLL
    for (int n = 0; n < most_states; ++n) {
      if (n < in.sizes.states) h[n] = kept(image, chunk, n, channel);
    }
    const int64_t end = smaller((chunk + 1) * scan_chunk, in.sizes.steps);
    for (int64_t t = chunk * scan_chunk; t < end; ++t) {
      in.advance(h, state.rate, image * in.sizes.steps + t, channel);
      MOE_UNROLL
      for (int n = 0; n < most_states; ++n) {
        if (n < in.sizes.states) scratch[scratch_index(image, t, n, channel)] = h[n];
      }
    }
  }

  // products[j * (tile + 1)]: this channel's part of the gradients of b (j < N) and c.
  MOE_HD void step_back(State& state, int64_t image, int64_t t, int64_t channel, A* products) const {
    const int64_t step = image * in.sizes.steps + t, at = step * in.sizes.channels + channel;
    const A grad = grad_y[at], dt = in.delta[at], u = in.u[at];
    A input_sum = 0, rate_sum = 0;
    MOE_UNROLL
    for (int n = 0; n < most_states; ++n) {
      if (n >= in.sizes.states) continue;
      const A before = t % scan_chunk == 0 ? kept(image, t / scan_chunk, n, channel)
                                           : scratch[scratch_index(image, t - 1, n, channel)];
      const A decay = std::exp(dt * state.rate[n]);
      const A grad_h = in.c[step * in.sizes.states + n] * grad + state.carry[n];
      const A grad_exponent = grad_h * before * decay;  // of delta * a
      state.carry[n] = decay * grad_h;
      state.grad_a[n] += dt * grad_exponent;
      rate_sum += state.rate[n] * grad_exponent;
      input_sum += grad_h * in.b[step * in.sizes.states + n];
      products[n * (scan_tile + 1)] = dt * u * grad_h;
      products[(in.sizes.states + n) * (scan_tile + 1)] = grad * scratch[scratch_index(image, t, n, channel)];
    }
    state.grad_skip += grad * u;
    grad_u[at] = in.skip[channel] * grad + dt * input_sum;
    grad_delta[at] = rate_sum + u * input_sum;
  }

  MOE_HD void finish(const State& state, int64_t image, int64_t channel) const {
    MOE_UNROLL
    for (int n = 0; n < most_states; ++n) {
      if (n < in.sizes.states) grad_a[(image * in.sizes.states + n) * in.sizes.channels + channel] = state.grad_a[n];
    }
    grad_skip[image * in.sizes.channels + channel] = state.grad_skip;
  }

  MOE_HD void sum_tile(int64_t tile, int64_t step, int thread, const A* products) const {
    if (thread >= 2 * in.sizes.states) return;
    A sum = 0;
    for (int i = 0; i < scan_tile; ++i) sum += products[thread * (scan_tile + 1) + i];
    A* part = thread < in.sizes.states ? grad_b : grad_c;
    part[(tile * in.sizes.images * in.sizes.steps + step) * in.sizes.states + thread % in.sizes.states] = sum;
  }
};

}  // namespace moe::cuda
