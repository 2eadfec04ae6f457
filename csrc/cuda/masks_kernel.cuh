// Masks alone, and the elementwise operator: a thread computes four draws of one cell, or one element.
#pragma once
#include "device.cuh"

namespace sdfido::cuda {

struct MasksForwardPlan {
  MasksForward problem;
  Exponent exponent;
};
struct MasksBackwardPlan {
  MasksBackward problem;
  Exponent exponent;
};

inline constexpr int kMaskThreads = 256;

// The thread's number in the grid, in steps of the grid until `count`.
template <typename Visit>
__device__ __forceinline__ void for_each_item(int64_t count, Visit visit) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) visit(i);  // mutant: grid-step
}

// Calls visit(sample, mask) for all samples of one cell, in order.
template <typename T, typename Visit>
__device__ __forceinline__ void for_each_sample(const Shape& s, const Sampling& sampling, const Exponent& exponent,
                                                const void* logits, int64_t item, Visit visit) {
  const int64_t plane = item / s.cells(), cell = item % s.cells();
  const auto mask = static_cast<uint32_t>(plane % s.masks);  // mutant: mask-number
  RandomState random;
  random.load(s, sampling, plane / s.masks);
  const T prepared = prepare(exponent, load_one(static_cast<const T*>(logits) + item));
  const bool pairs = sampling.antithetic;
  for (int64_t first = 0; first < s.samples; first += 4) {
    uint32_t words[4];
    random.words(mask, static_cast<uint32_t>(cell), static_cast<uint32_t>(first / (pairs ? 8 : 4)), words);
    select_words<4>(words, static_cast<int>(first), pairs);
    T masks[4];
    masks_of_words(exponent, words, prepared, masks);
#pragma unroll
    for (int q = 0; q < 4; ++q)
      if (first + q < s.samples) visit((plane * s.samples + first + q) * s.cells() + cell, masks[q]);
  }
}

template <typename T>
__global__ void __launch_bounds__(kMaskThreads) masks_forward_kernel(const __grid_constant__ MasksForwardPlan plan) {
  const MasksForward& p = plan.problem;
  for_each_item(p.shape.images * p.shape.masks * p.shape.cells(), [&](int64_t item) {
    for_each_sample<T>(p.shape, p.sampling, plan.exponent, p.logits, item,
                       [&](int64_t at, T m) { store_one(static_cast<T*>(p.masks) + at, m); });
  });
}

template <typename T>
__global__ void __launch_bounds__(kMaskThreads) masks_backward_kernel(const __grid_constant__ MasksBackwardPlan plan) {
  const MasksBackward& p = plan.problem;
  for_each_item(p.shape.images * p.shape.masks * p.shape.cells(), [&](int64_t item) {
    T sum = T(0);
    for_each_sample<T>(p.shape, p.sampling, plan.exponent, p.logits, item, [&](int64_t at, T m) {
      sum += load_one(static_cast<const T*>(p.grad_masks) + at) * mask_slope(m);
    });
    store_one(static_cast<T*>(p.grad_logits) + item, sum * static_cast<T>(plan.exponent.inverse_temperature));
  });
}

template <typename T>
__global__ void __launch_bounds__(kMaskThreads)
    concrete_forward_kernel(const ConcreteForward p, const Exponent exponent) {
  const T inverse_temperature = static_cast<T>(exponent.inverse_temperature);
  for_each_item(p.count, [&](int64_t i) {
    const T logit = load_one(static_cast<const T*>(p.logits) + i), u = load_one(static_cast<const T*>(p.uniforms) + i);
    store_one(static_cast<T*>(p.masks) + i, mask_of_uniform(logit, u, inverse_temperature, exponent.power));
  });
}

template <typename T>
__global__ void __launch_bounds__(kMaskThreads) concrete_backward_kernel(const ConcreteBackward p) {
  const T inverse_temperature = static_cast<T>(1.0 / p.temperature);
  for_each_item(p.count, [&](int64_t i) {
    const T m = load_one(static_cast<const T*>(p.masks) + i), grad = load_one(static_cast<const T*>(p.grad_masks) + i);
    store_one(static_cast<T*>(p.grad_logits) + i, grad * mask_slope(m) * inverse_temperature);
  });
}

}  // namespace sdfido::cuda
