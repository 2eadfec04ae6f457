// Which instance of a kernel a plan needs: visit(kernel) is called with it. Serves the launches and the emulator alike.
#pragma once
#include "composites_backward_kernel.cuh"
#include "composites_forward_kernel.cuh"

namespace sdfido::cuda {

template <typename T_, typename Stored_>
struct Kind {
  using T = T_;
  using Stored = Stored_;
};

template <typename Visit>
void visit_kind(Format format, Visit visit) {
  switch (format) {
    case Format::kFloat32:
      return visit(Kind<float, float>{});
    case Format::kBFloat16:
      return visit(Kind<float, BFloat16>{});
    case Format::kFloat16:
      return visit(Kind<float, Float16>{});
    case Format::kFloat64:
      return visit(Kind<double, double>{});
  }
}

// Of CompositesForward or BlendForward.
template <typename Problem, typename Visit>
void visit_forward(const CompositesPlan<Problem>& plan, Visit visit) {
  visit_kind(plan.problem.composite_format, [&](auto kind) {
    using K = decltype(kind);
    plan.problem.shape.full_resolution() ? visit(forward_full_kernel<Problem, typename K::T, typename K::Stored>)
                                         : visit(forward_low_kernel<Problem, typename K::T, typename K::Stored>);
  });
}

// Of CompositesBackward or BlendBackward.
template <typename Problem, typename Visit>
void visit_backward(const CompositesPlan<Problem>& plan, Visit visit) {
  const bool image = plan.problem.grad_image || plan.problem.grad_infill;
  visit_kind(plan.problem.composite_format, [&](auto kind) {
    using K = decltype(kind);
    if (plan.problem.shape.full_resolution()) {
      image ? visit(backward_full_kernel<Problem, typename K::T, typename K::Stored, true>)
            : visit(backward_full_kernel<Problem, typename K::T, typename K::Stored, false>);
    } else {
      image ? visit(backward_low_kernel<Problem, typename K::T, typename K::Stored, true>)
            : visit(backward_low_kernel<Problem, typename K::T, typename K::Stored, false>);
    }
  });
}

// The second launch of a backward pass that needs one.
template <typename Problem, typename Visit>
void visit_combine(const CompositesPlan<Problem>& plan, Visit visit) {
  plan.problem.composite_format == Format::kFloat64 ? visit(combine_kernel<Problem, double>)
                                                    : visit(combine_kernel<Problem, float>);
}

}  // namespace sdfido::cuda
