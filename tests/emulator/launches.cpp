#include "launches.h"

#include <cstddef>
#include <type_traits>
#include <vector>

#include "cuda/select.h"

namespace sdfido::cuda {
namespace {

// Watched from here on, like the operands.
std::vector<std::byte> workspace(int64_t bytes, std::byte value) {
  std::vector<std::byte> memory(static_cast<size_t>(bytes), value);
  simt::watch(memory.data(), memory.size());
  return memory;
}

template <typename Plan>
void run(Plan plan) {
  if (plan.blocks() == 0) return;
  constexpr bool kForward = std::is_same_v<decltype(plan.problem), CompositesForward>;
  const int64_t element = plan.problem.composite_format == Format::kFloat64 ? 8 : 4;
  auto results = workspace(kForward ? plan.sums_count() * 8 : plan.gradients_count() * element, std::byte{0xFF});
  auto tickets = workspace(plan.problem.shape.images * 4, std::byte{0});
  if (kForward) {
    plan.partial_sums = reinterpret_cast<double*>(results.data());
  } else {
    plan.partial_gradients = results.data();
  }
  plan.tickets = reinterpret_cast<uint32_t*>(tickets.data());
  visit_kernel(plan, [&](auto kernel) { SIMT_LAUNCH(kernel, static_cast<unsigned>(plan.blocks()), kThreads, plan); });
  for (const std::byte byte : tickets) {
    if (byte != std::byte{0}) throw simt::Error("a ticket is not back at zero");
  }
}

// Calls visit(a T) for the type of the numbers.
template <typename Visit>
void visit_type(bool float64, Visit visit) {
  float64 ? visit(double{}) : visit(float{});
}

}  // namespace

void launch(const CompositesForward& p) { run(CompositesPlan<CompositesForward>(p, p.composites)); }
void launch(const CompositesBackward& p) { run(CompositesPlan<CompositesBackward>(p, p.grad_composites)); }

void launch(const MasksForward& p, unsigned blocks) {
  const MasksForwardPlan plan{p, Exponent(p.sampling.temperature)};
  visit_type(p.float64, [&]<typename T>(T) { SIMT_LAUNCH(masks_forward_kernel<T>, blocks, kMaskThreads, plan); });
}

void launch(const MasksBackward& p, unsigned blocks) {
  const MasksBackwardPlan plan{p, Exponent(p.sampling.temperature)};
  visit_type(p.float64, [&]<typename T>(T) { SIMT_LAUNCH(masks_backward_kernel<T>, blocks, kMaskThreads, plan); });
}

void launch(const ConcreteForward& p, unsigned blocks) {
  const Exponent exponent(p.temperature);
  visit_type(p.float64,
             [&]<typename T>(T) { SIMT_LAUNCH(concrete_forward_kernel<T>, blocks, kMaskThreads, p, exponent); });
}

void launch(const ConcreteBackward& p, unsigned blocks) {
  visit_type(p.float64, [&]<typename T>(T) { SIMT_LAUNCH(concrete_backward_kernel<T>, blocks, kMaskThreads, p); });
}

int composite_threads() { return kThreads; }
int mask_threads() { return kMaskThreads; }

}  // namespace sdfido::cuda
