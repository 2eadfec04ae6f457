// Runs the kernels of csrc/cuda on NumPy arrays: float32, float64, float16, and uint16 for bfloat16. Accesses outside
// the arrays and the workspace are errors.
#include <optional>

#include "bindings.h"
#include "cuda/plan.h"
#include "launches.h"

namespace py = pybind11;
using simt::Array;
using simt::Contents;

namespace sdfido::cuda {
namespace {

using OptionalArray = std::optional<py::array>;

Format format_of(const py::array& array) {
  if (array.dtype().kind() == 'u') return Format::kBFloat16;
  return array.itemsize() == 8 ? Format::kFloat64 : array.itemsize() == 4 ? Format::kFloat32 : Format::kFloat16;
}

// What one launch may touch, from here to the end of its scope.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { simt::unwatch_all(); }

  // Of contiguous arrays.
  const void* input(const py::array& array, const char* name) { return pointer(array, name, Contents::input); }
  const void* input(const OptionalArray& array, const char* name) { return array ? input(*array, name) : nullptr; }
  void* output(const py::array& array, const char* name) { return pointer(array, name, Contents::nothing); }
  void* output(const OptionalArray& array, const char* name) { return array ? output(*array, name) : nullptr; }

  StridedInput strided(const py::array& array, const char* name) {
    StridedInput result{array.data(), {}};
    watch_strided(array, name, result.strides);
    return result;
  }
  StridedMasks strided_masks(const py::array& array) {
    StridedMasks result{array.data(), {}};
    watch_strided(array, "masks", result.strides);
    return result;
  }

  Sampling sampling(Array<int64_t>& rng, std::optional<Array<int64_t>>& streams, double temperature, bool antithetic) {
    const auto numbers = [this](Array<int64_t>& array, const char* name) {
      return static_cast<const int64_t*>(input(array, name));
    };
    return {numbers(rng, "rng"), streams ? numbers(*streams, "streams") : nullptr, temperature, antithetic};
  }

 private:
  void* pointer(const py::array& array, const char* name, Contents contents) {
    if (!(array.flags() & py::array::c_style)) throw std::invalid_argument("an array is not contiguous");
    simt::watch(array.data(), static_cast<size_t>(array.nbytes()), name, contents);
    return const_cast<void*>(array.data());
  }

  template <size_t n>
  void watch_strided(const py::array& array, const char* name, int64_t (&strides)[n]) {
    py::ssize_t bytes = array.itemsize();
    for (size_t i = 0; i < n; ++i) {
      const auto d = static_cast<py::ssize_t>(i);
      strides[i] = array.strides(d) / array.itemsize();
      bytes += (array.shape(d) - 1) * array.strides(d);
    }
    if (array.size() != 0) simt::watch(array.data(), static_cast<size_t>(bytes), name, Contents::input);
  }
};

Shape shape_of(const py::array& logits, py::ssize_t samples) {
  return {logits.shape(0), logits.shape(1), samples, logits.shape(2), logits.shape(3), 0, 0, 0};
}
// Of given masks [N, K, S, h, w].
Shape shape_of(const py::array& masks, const py::array& image) {
  return {masks.shape(0), masks.shape(1), masks.shape(2), masks.shape(3),
          masks.shape(4), image.shape(1), image.shape(2), image.shape(3)};
}
Shape shape_of(const py::array& logits, const py::array& image, py::ssize_t samples) {
  Shape shape = shape_of(logits, samples);
  shape.channels = image.shape(1), shape.height = image.shape(2), shape.width = image.shape(3);
  return shape;
}

void composite_forward(const py::array& logits, const py::array& image, const py::array& infill, Array<int64_t> rng,
                       std::optional<Array<int64_t>> streams, double temperature, bool antithetic, bool channels_last,
                       py::array composites, py::array sparsity, py::array smoothness) {
  Memory memory;
  CompositesForward p{};
  p.shape = shape_of(logits, image, composites.shape(2));
  p.sampling = memory.sampling(rng, streams, temperature, antithetic);
  p.image_format = format_of(image), p.composite_format = format_of(composites);
  p.channels_last = channels_last;
  p.logits = memory.input(logits, "logits");
  p.image = memory.strided(image, "image"), p.infill = memory.strided(infill, "infill");
  p.composites = memory.output(composites, "composites");
  p.sparsity = memory.output(sparsity, "sparsity"), p.smoothness = memory.output(smoothness, "smoothness");
  launch(p);
}

void composite_backward(const OptionalArray& grad_composites, const OptionalArray& grad_sparsity,
                        const OptionalArray& grad_smoothness, const py::array& logits, const py::array& image,
                        const py::array& infill, Array<int64_t> rng, std::optional<Array<int64_t>> streams,
                        py::ssize_t samples, double temperature, bool antithetic, bool channels_last,
                        py::array grad_logits, OptionalArray grad_image, OptionalArray grad_infill, unsigned blocks) {
  Memory memory;
  CompositesBackward p{};
  p.shape = shape_of(logits, image, samples);
  p.sampling = memory.sampling(rng, streams, temperature, antithetic);
  p.image_format = format_of(image), p.composite_format = format_of(grad_composites.value_or(image));
  p.channels_last = channels_last;
  p.logits = memory.input(logits, "logits");
  p.image = memory.strided(image, "image"), p.infill = memory.strided(infill, "infill");
  p.grad_composites = memory.input(grad_composites, "grad_composites");
  p.grad_sparsity = memory.input(grad_sparsity, "grad_sparsity"),
  p.grad_smoothness = memory.input(grad_smoothness, "grad_smoothness");
  p.grad_logits = memory.output(grad_logits, "grad_logits");
  p.grad_image = memory.output(grad_image, "grad_image"), p.grad_infill = memory.output(grad_infill, "grad_infill");
  launch(p, blocks);
}

void blend_forward(const py::array& masks, const py::array& image, const py::array& infill, bool channels_last,
                   py::array composites) {
  Memory memory;
  BlendForward p{};
  p.shape = shape_of(masks, image);
  p.image_format = format_of(image), p.composite_format = format_of(composites);
  p.channels_last = channels_last;
  p.masks = memory.strided_masks(masks);
  p.image = memory.strided(image, "image"), p.infill = memory.strided(infill, "infill");
  p.composites = memory.output(composites, "composites");
  launch(p);
}

void blend_backward(const py::array& grad_composites, const py::array& masks, const py::array& image,
                    const py::array& infill, bool channels_last, OptionalArray grad_masks, OptionalArray grad_image,
                    OptionalArray grad_infill, unsigned blocks) {
  Memory memory;
  BlendBackward p{};
  p.shape = shape_of(masks, image);
  p.image_format = format_of(image), p.composite_format = format_of(grad_composites);
  p.channels_last = channels_last;
  p.masks = memory.strided_masks(masks);
  p.image = memory.strided(image, "image"), p.infill = memory.strided(infill, "infill");
  p.grad_composites = memory.input(grad_composites, "grad_composites");
  p.grad_masks = memory.output(grad_masks, "grad_masks");
  p.grad_image = memory.output(grad_image, "grad_image"), p.grad_infill = memory.output(grad_infill, "grad_infill");
  launch(p, blocks);
}

void masks_forward(const py::array& logits, Array<int64_t> rng, std::optional<Array<int64_t>> streams,
                   double temperature, bool antithetic, py::array masks, unsigned blocks) {
  Memory memory;
  MasksForward p{shape_of(logits, masks.shape(2)), memory.sampling(rng, streams, temperature, antithetic),
                 logits.itemsize() == 8, memory.input(logits, "logits"), memory.output(masks, "masks")};
  launch(p, blocks);
}

void masks_backward(const py::array& grad_masks, const py::array& logits, Array<int64_t> rng,
                    std::optional<Array<int64_t>> streams, double temperature, bool antithetic, py::array grad_logits,
                    unsigned blocks) {
  Memory memory;
  MasksBackward p{shape_of(logits, grad_masks.shape(2)),
                  memory.sampling(rng, streams, temperature, antithetic),
                  logits.itemsize() == 8,
                  memory.input(logits, "logits"),
                  memory.input(grad_masks, "grad_masks"),
                  memory.output(grad_logits, "grad_logits")};
  launch(p, blocks);
}

void concrete_forward(const py::array& logits, const py::array& uniforms, double temperature, py::array masks,
                      unsigned blocks) {
  Memory memory;
  ConcreteForward p{logits.size(),
                    temperature,
                    logits.itemsize() == 8,
                    memory.input(logits, "logits"),
                    memory.input(uniforms, "uniforms"),
                    memory.output(masks, "masks")};
  launch(p, blocks);
}

void concrete_backward(const py::array& grad_masks, const py::array& masks, double temperature, py::array grad_logits,
                       unsigned blocks) {
  Memory memory;
  ConcreteBackward p{masks.size(),
                     temperature,
                     masks.itemsize() == 8,
                     memory.input(masks, "masks"),
                     memory.input(grad_masks, "grad_masks"),
                     memory.output(grad_logits, "grad_logits")};
  launch(p, blocks);
}

}  // namespace
}  // namespace sdfido::cuda

PYBIND11_MODULE(emulated_kernels, module) {
  simt::bind_emulator(module);
  module.attr("THREADS") = sdfido::cuda::composite_threads();
  module.attr("ENOUGH_BLOCKS") = sdfido::cuda::kEnoughBlocks;
  module.def("set_enough_blocks", &sdfido::cuda::set_enough_blocks, "Launches of fewer blocks are divided further.");
  module.attr("MASK_THREADS") = sdfido::cuda::mask_threads();
  module.def("composite_forward", &sdfido::cuda::composite_forward);
  module.def("composite_backward", &sdfido::cuda::composite_backward);
  module.def("blend_forward", &sdfido::cuda::blend_forward);
  module.def("blend_backward", &sdfido::cuda::blend_backward);
  module.def("masks_forward", &sdfido::cuda::masks_forward);
  module.def("masks_backward", &sdfido::cuda::masks_backward);
  module.def("concrete_forward", &sdfido::cuda::concrete_forward);
  module.def("concrete_backward", &sdfido::cuda::concrete_backward);
}
