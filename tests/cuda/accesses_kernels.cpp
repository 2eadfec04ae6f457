// Some kernels whose accesses are looked at. Built with -fsanitize=thread.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "accesses.h"

namespace accesses {

// In place of the emulator's.
template <typename T>
void store(T* pointer, std::type_identity_t<T> value, simt::Where where = simt::Where::current()) {
  note_store(pointer, sizeof(T), where.line());
  __stcg(pointer, value, where);
}

}  // namespace accesses

#define __stcg accesses::store
#include "cuda/composites_backward_kernel.cuh"
#include "cuda/composites_forward_kernel.cuh"

namespace sdfido::cuda {
namespace {

// What the rulers must say is known: words `stride` apart, and three pieces of four numbers for each thread, one by one.
template <typename Piece>
void known(int stride, Piece* out) {
  alignas(128) __shared__ float words[32 * 32];
  words[threadIdx.x] = 0;
  __syncthreads();
  volatile float word = words[threadIdx.x * stride % (32 * 32)];
  (void)word;
  for (int piece = 0; piece < 3; ++piece) __stcg(out + 3 * threadIdx.x + piece, Piece{});
}

// A part of 224 x 224 pixels: four rows of tiles.
constexpr int64_t kHeight = 56, kWidth = 224, kPixels = kHeight * kWidth, kImageChannels = 3;

// As aligned as what torch allocates, as far as it matters.
struct alignas(128) Line {
  float values[32];
};
using Numbers = std::vector<Line>;

Numbers numbers(int64_t count) {
  Numbers lines(static_cast<size_t>(count + 31) / 32);
  for (size_t i = 0; i < 32 * lines.size(); ++i) lines[i / 32].values[i % 32] = static_cast<float>(i * 37 % 101) / 101;
  return lines;
}

// One image, one mask, one sample, `side` cells for 224 pixels.
template <typename Problem>
void run(const char* name, int64_t side, Format stored, bool channels_last, bool image_gradient,
         void (*kernel)(CompositesPlan<Problem>)) {
  const int64_t rows = side * kHeight / kWidth, cell_count = rows * side;
  Numbers image = numbers(kImageChannels * kPixels), composites = image, gradient = image;
  Numbers logits = numbers(cell_count), cells = logits, sums = numbers(2);
  std::vector<int64_t> rng{1, 2};
  std::vector<uint32_t> tickets{0};
  Problem p{};
  p.shape = {1, 1, 1, rows, side, kImageChannels, kHeight, kWidth};
  p.sampling = {rng.data(), nullptr, 0.1, false};
  p.image_format = Format::kFloat32, p.composite_format = stored, p.channels_last = channels_last;
  p.logits = logits.data();
  p.image = p.infill = {image.data(), {kImageChannels * kPixels, kPixels, kWidth, 1}};
  if constexpr (std::is_same_v<Problem, CompositesForward>) {
    p.composites = composites.data(), p.sparsity = sums.data(), p.smoothness = sums.data()->values + 1;
  } else {
    p.grad_composites = composites.data(), p.grad_logits = cells.data();
    if (image_gradient) p.grad_image = gradient.data();
  }
  CompositesPlan<Problem> plan(p, 0);
  std::vector<double> partial_sums(static_cast<size_t>(plan.sums_bytes() / 8));
  Numbers partial_gradients = numbers(plan.gradients_bytes() / 4);
  plan.partial_sums = partial_sums.data(), plan.partial_gradients = partial_gradients.data();
  plan.tickets = tickets.data();
  SIMT_LAUNCH(kernel, static_cast<unsigned>(plan.blocks()), kThreads, plan);
  accesses::report(name, side);
}

void run_all() {
  Numbers out = numbers(32 * 3 * 4);
  SIMT_LAUNCH(known<float4>, 1, 32, 2, reinterpret_cast<float4*>(out.data()));
  accesses::report("known", 2);
  SIMT_LAUNCH(known<uint2>, 1, 32, 33, reinterpret_cast<uint2*>(out.data()));
  accesses::report("known", 33);
  using F = CompositesForward;
  using B = CompositesBackward;
  constexpr Format f32 = Format::kFloat32, bf16 = Format::kBFloat16;
  run<F>("forward", kWidth, f32, false, false, forward_full_kernel<F, float, float>);
  run<F>("forward-last", kWidth, f32, true, false, forward_full_kernel<F, float, float>);
  run<F>("forward-last", 28, f32, true, false, forward_low_kernel<F, float, float>);
  run<F>("forward-last-bfloat16", kWidth, bf16, true, false, forward_full_kernel<F, float, BFloat16>);
  for (const int64_t side : {28, 56, 112, 160, 200})
    run<B>("backward", side, f32, false, false, backward_low_kernel<B, float, float, false>);
  run<B>("backward-image", 28, f32, false, true, backward_low_kernel<B, float, float, true>);
  run<B>("backward-image", kWidth, f32, false, true, backward_full_kernel<B, float, float, true>);
}

}  // namespace
}  // namespace sdfido::cuda

int main() {
  simt::set_order(0);
  sdfido::cuda::run_all();
  std::fflush(stdout);
  std::_Exit(0);  // what is left runs hooks whose memory is gone
}
