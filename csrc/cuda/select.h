// Which instance of a kernel a plan needs: visit(kernel) is called with it. Serves the launches and the
// emulator alike.
#pragma once
#include "backward_kernel.cuh"
#include "forward_kernel.cuh"
#include "masks_kernel.cuh"

namespace sdfido::cuda {

template <typename T_, typename Stored_, int kChannels_>
struct Kind {
  using T = T_;
  using Stored = Stored_;
  static constexpr int kChannels = kChannels_;
};

// Three channels at once for images with three, else four (of which some may be absent).
template <typename T, typename Stored, typename Visit>
void visit_channels(int64_t channels, Visit visit) {
  channels == 3 ? visit(Kind<T, Stored, 3>{}) : visit(Kind<T, Stored, 4>{});
}

template <typename Visit>
void visit_kind(Format format, int64_t channels, Visit visit) {
  switch (format) {
    case Format::kFloat32:
      return visit_channels<float, float>(channels, visit);
    case Format::kBFloat16:
      return visit_channels<float, BFloat16>(channels, visit);
    case Format::kFloat16:
      return visit_channels<float, Float16>(channels, visit);
    case Format::kFloat64:
      return visit_channels<double, double>(channels, visit);
  }
}

template <typename Visit>
void visit_kernel(const CompositePlan<CompositeForward>& plan, Visit visit) {
  const Shape& s = plan.problem.shape;
  visit_kind(plan.problem.composite_format, s.channels, [&](auto kind) {
    using K = decltype(kind);
    if (s.full_resolution()) {
      visit(forward_full_kernel<typename K::T, typename K::Stored, K::kChannels>);
    } else {
      visit(forward_low_kernel<typename K::T, typename K::Stored, K::kChannels>);
    }
  });
}

template <typename Visit>
void visit_kernel(const CompositePlan<CompositeBackward>& plan, Visit visit) {
  const Shape& s = plan.problem.shape;
  const bool image = plan.problem.grad_image || plan.problem.grad_infill;
  visit_kind(plan.problem.composite_format, s.channels, [&](auto kind) {
    using K = decltype(kind);
    if (s.full_resolution()) {
      image ? visit(backward_full_kernel<typename K::T, typename K::Stored, K::kChannels, true>)
            : visit(backward_full_kernel<typename K::T, typename K::Stored, K::kChannels, false>);
    } else {
      image ? visit(backward_low_kernel<typename K::T, typename K::Stored, K::kChannels, true>)
            : visit(backward_low_kernel<typename K::T, typename K::Stored, K::kChannels, false>);
    }
  });
}

}  // namespace sdfido::cuda
