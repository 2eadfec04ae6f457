#include "launches.h"

#include <cstddef>
#include <type_traits>
#include <vector>

#include "cuda/masks_kernel.cuh"
#include "cuda/select.h"

namespace sdfido::cuda {
namespace {

int64_t enough_blocks = kEnoughBlocks;

// Watched from here on, like the operands.
std::vector<std::byte> workspace(int64_t bytes, const char* name) {
  std::vector<std::byte> memory(static_cast<size_t>(bytes), std::byte{0xFF});
  simt::watch(memory.data(), memory.size(), name, simt::Contents::nothing);
  return memory;
}

template <typename Plan>
auto run_on(const Plan& plan) {
  return [&plan](auto kernel) { SIMT_LAUNCH(kernel, static_cast<unsigned>(plan.blocks()), kThreads, plan); };
}

// Calls visit with the tickets' memory, which must be zero again when it returns.
template <typename Visit>
void with_tickets(int64_t images, Visit visit) {
  std::vector<uint32_t> tickets(static_cast<size_t>(images));
  simt::watch(tickets.data(), 4 * tickets.size(), "tickets");
  visit(tickets.data());
  for (const uint32_t ticket : tickets) {
    if (ticket != 0) throw simt::Error("a ticket is not back at zero");
  }
}

template <typename Problem>
void run_backward(const Problem& p, unsigned blocks) {
  CompositesPlan<Problem> plan(p, enough_blocks);
  if (plan.blocks() == 0) return;
  auto gradients = workspace(plan.gradients_bytes(), "partial gradients");
  plan.partial_gradients = gradients.data();
  visit_backward(plan, run_on(plan));
  if (!plan.needs_combining()) return;
  const simt::Counters first = simt::counters();
  visit_combine(plan, [&](auto kernel) { SIMT_LAUNCH(kernel, blocks, kThreads, plan); });
  simt::add_counters(first);
}

// Calls visit(a T) for the type of the numbers.
template <typename Visit>
void visit_type(bool float64, Visit visit) {
  float64 ? visit(double{}) : visit(float{});
}

}  // namespace

void launch(const CompositesForward& p) {
  CompositesPlan<CompositesForward> plan(p, enough_blocks);
  if (plan.blocks() == 0) return;
  auto sums = workspace(plan.sums_bytes(), "partial sums");
  plan.partial_sums = reinterpret_cast<double*>(sums.data());
  with_tickets(p.shape.images, [&](uint32_t* tickets) { plan.tickets = tickets, visit_forward(plan, run_on(plan)); });
}

void launch(const CompositesBackward& p, unsigned blocks) { run_backward(p, blocks); }

void launch(const BlendForward& p) {
  const CompositesPlan<BlendForward> plan(p, enough_blocks);
  if (plan.blocks() != 0) visit_forward(plan, run_on(plan));
}

void launch(const BlendBackward& p, unsigned blocks) { run_backward(p, blocks); }

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

void set_enough_blocks(int64_t blocks) { enough_blocks = blocks; }

int composite_threads() { return kThreads; }
int mask_threads() { return kMaskThreads; }

}  // namespace sdfido::cuda
