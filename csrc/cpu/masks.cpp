// Masks alone, and the elementwise operator.
#include "bands.h"
#include "sampler.h"
#include "scratch.h"

namespace sdfido::cpu {
namespace {

// The loops that know no images.
template <typename T>
Loops<T> mask_loops(double temperature) {
  return choose_loops<T>({power_of(temperature), {}, {}, false, 0});
}

template <typename T>
struct MaskBuffers {
  uint32_t* words;
  T *prepared, *sum;
  explicit MaskBuffers(Scratch& scratch)
      : words(scratch.take<uint32_t>(4 * kChunk)), prepared(scratch.take<T>(kChunk)), sum(scratch.take<T>(kChunk)) {}
};

// Calls visit(image, mask, first cell, count) for each chunk of the worker's share.
template <typename Visit>
void for_each_chunk(const Shape& shape, Worker worker, Visit visit) {
  for_each_band(shape, worker, [&](Band band) {
    const int64_t end = band.last * shape.cell_columns;
    for (int64_t first = band.first * shape.cell_columns; first < end; first += kChunk)
      for (int64_t mask = 0; mask < shape.masks; ++mask) visit(band.image, mask, first, std::min(kChunk, end - first));
  });
}

template <typename T>
void forward(const MasksForward& p, Worker worker, void* memory) {
  const auto loops = mask_loops<T>(p.sampling.temperature);
  const Sampler<T> sampler(p.shape, p.sampling, loops);
  Scratch scratch(memory);
  const MaskBuffers<T> buffers(scratch);
  const int64_t cells = p.shape.cells();
  for_each_chunk(p.shape, worker, [&](int64_t image, int64_t mask, int64_t first, int64_t count) {
    const int64_t plane = image * p.shape.masks + mask;
    loops.prepare(static_cast<const T*>(p.logits) + plane * cells + first, buffers.prepared, count);
    sampler.for_each_sample(image, mask, first, count, buffers.words, kChunk,
                            [&](int64_t sample, const uint32_t* words, uint32_t flip) {
                              T* out = static_cast<T*>(p.masks) + (plane * p.shape.samples + sample) * cells + first;
                              loops.masks(words, flip, buffers.prepared, sampler.inverse_temperature(), out, count);
                            });
  });
}

template <typename T>
void backward(const MasksBackward& p, Worker worker, void* memory) {
  const auto loops = mask_loops<T>(p.sampling.temperature);
  const Sampler<T> sampler(p.shape, p.sampling, loops);
  Scratch scratch(memory);
  const MaskBuffers<T> buffers(scratch);
  const int64_t cells = p.shape.cells();
  for_each_chunk(p.shape, worker, [&](int64_t image, int64_t mask, int64_t first, int64_t count) {
    const int64_t plane = image * p.shape.masks + mask;
    loops.prepare(static_cast<const T*>(p.logits) + plane * cells + first, buffers.prepared, count);
    T* sum = static_cast<T*>(p.grad_logits) + plane * cells + first;
    std::fill_n(sum, count, T(0));
    sampler.for_each_sample(
        image, mask, first, count, buffers.words, kChunk, [&](int64_t sample, const uint32_t* words, uint32_t flip) {
          const T* grad = static_cast<const T*>(p.grad_masks) + (plane * p.shape.samples + sample) * cells + first;
          loops.add_slopes(words, flip, buffers.prepared, sampler.inverse_temperature(), grad, sum, count);
        });
    loops.scale(sum, sampler.inverse_temperature(), count);
  });
}

size_t mask_bytes(bool float64) {
  Scratch scratch(nullptr);
  float64 ? void(MaskBuffers<double>(scratch)) : void(MaskBuffers<float>(scratch));
  return scratch.used();
}

// The worker's share of [0, count).
struct Share {
  int64_t first, size;
  Share(int64_t count, Worker worker)
      : first(count * worker.index / worker.count), size(count * (worker.index + 1) / worker.count - first) {}
};

template <typename T>
void concrete(const ConcreteForward& p, Worker worker) {
  const Share share(p.count, worker);
  mask_loops<T>(p.temperature)
      .concrete(static_cast<const T*>(p.logits) + share.first, static_cast<const T*>(p.uniforms) + share.first,
                static_cast<T>(1.0 / p.temperature), static_cast<T*>(p.masks) + share.first, share.size);
}

template <typename T>
void concrete_gradient(const ConcreteBackward& p, Worker worker) {
  const Share share(p.count, worker);
  mask_loops<T>(p.temperature)
      .concrete_gradient(static_cast<const T*>(p.masks) + share.first,
                         static_cast<const T*>(p.grad_masks) + share.first, static_cast<T>(1.0 / p.temperature),
                         static_cast<T*>(p.grad_logits) + share.first, share.size);
}

}  // namespace

size_t scratch_bytes(const MasksForward& problem) { return mask_bytes(problem.float64); }
size_t scratch_bytes(const MasksBackward& problem) { return mask_bytes(problem.float64); }

void masks_forward(const MasksForward& problem, Worker worker, void* scratch) {
  problem.float64 ? forward<double>(problem, worker, scratch) : forward<float>(problem, worker, scratch);
}

void masks_backward(const MasksBackward& problem, Worker worker, void* scratch) {
  problem.float64 ? backward<double>(problem, worker, scratch) : backward<float>(problem, worker, scratch);
}

void concrete_forward(const ConcreteForward& problem, Worker worker) {
  problem.float64 ? concrete<double>(problem, worker) : concrete<float>(problem, worker);
}

void concrete_backward(const ConcreteBackward& problem, Worker worker) {
  problem.float64 ? concrete_gradient<double>(problem, worker) : concrete_gradient<float>(problem, worker);
}

}  // namespace sdfido::cpu
