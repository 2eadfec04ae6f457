// Runs the kernels of csrc/cuda on NumPy arrays: float32, float64, float16, and uint16 for bfloat16. Accesses
// outside the arrays and the workspace are errors.
#include <optional>

#include "bindings.h"
#include "cuda/select.h"

namespace py = pybind11;
using simt::Array;

namespace sdfido::cuda {
namespace {

using OptionalArray = std::optional<py::array>;

Format format_of(const py::array& array) {
  if (array.dtype().kind() == 'u') return Format::kBFloat16;
  return array.itemsize() == 8   ? Format::kFloat64
         : array.itemsize() == 4 ? Format::kFloat32
                                 : Format::kFloat16;
}

// What one launch may touch, from here to the end of its scope.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { simt::unwatch_all(); }

  // Of a contiguous array.
  void* pointer(const py::array& array) {
    if (!(array.flags() & py::array::c_style)) throw std::invalid_argument("an array is not contiguous");
    simt::watch(array.data(), static_cast<size_t>(array.nbytes()));
    return const_cast<void*>(array.data());
  }
  void* pointer(const OptionalArray& array) { return array ? pointer(*array) : nullptr; }

  StridedInput strided(const py::array& array) {
    StridedInput result{array.data(), {}};
    py::ssize_t bytes = array.itemsize();
    for (int d = 0; d < 4; ++d) {
      result.strides[d] = array.strides(d) / array.itemsize();
      bytes += (array.shape(d) - 1) * array.strides(d);
    }
    if (array.size() != 0) simt::watch(array.data(), static_cast<size_t>(bytes));
    return result;
  }

  void watch(std::vector<std::byte>& bytes) { simt::watch(bytes.data(), bytes.size()); }

  Sampling sampling(Array<int64_t>& rng, std::optional<Array<int64_t>>& streams, double temperature,
                    bool antithetic) {
    return {static_cast<int64_t*>(pointer(rng)), streams ? static_cast<int64_t*>(pointer(*streams)) : nullptr,
            temperature, antithetic};
  }
};

Shape shape_of(const py::array& logits, py::ssize_t samples) {
  return {logits.shape(0), logits.shape(1), samples, logits.shape(2), logits.shape(3), 0, 0, 0};
}
Shape shape_of(const py::array& logits, const py::array& image, py::ssize_t samples) {
  Shape shape = shape_of(logits, samples);
  shape.channels = image.shape(1), shape.height = image.shape(2), shape.width = image.shape(3);
  return shape;
}

// Workspace starts full of NaN, tickets at zero, to which they must return.
template <typename Plan>
void run(Plan plan, Memory& memory) {
  if (plan.blocks() == 0) return;
  const auto element = static_cast<int64_t>(
      plan.problem.composite_format == Format::kFloat64 ? sizeof(double) : sizeof(float));
  std::vector<std::byte> sums(plan.sums_count() * sizeof(double), std::byte{0xFF});
  std::vector<std::byte> gradients(plan.gradients_count() * element, std::byte{0xFF});
  std::vector<std::byte> tickets(plan.problem.shape.images * sizeof(uint32_t));
  if constexpr (std::is_same_v<decltype(plan.problem), CompositeForward>) {
    memory.watch(sums);
    plan.partial_sums = reinterpret_cast<double*>(sums.data());
  } else {
    memory.watch(gradients);
    plan.partial_gradients = gradients.data();
  }
  memory.watch(tickets);
  plan.tickets = reinterpret_cast<uint32_t*>(tickets.data());
  visit_kernel(
      plan, [&](auto kernel) { SIMT_LAUNCH(kernel, static_cast<unsigned>(plan.blocks()), kThreads, plan); });
  for (const std::byte byte : tickets) {
    if (byte != std::byte{0}) throw simt::Error("a ticket is not back at zero");
  }
}

void composite_forward(const py::array& logits, const py::array& image, const py::array& infill,
                       Array<int64_t> rng, std::optional<Array<int64_t>> streams, double temperature,
                       bool antithetic, bool channels_last, py::array composites, py::array sparsity,
                       py::array smoothness) {
  Memory memory;
  CompositeForward p{};
  p.shape = shape_of(logits, image, composites.shape(2));
  p.sampling = memory.sampling(rng, streams, temperature, antithetic);
  p.image_format = format_of(image), p.composite_format = format_of(composites);
  p.channels_last = channels_last;
  p.logits = memory.pointer(logits);
  p.image = memory.strided(image), p.infill = memory.strided(infill);
  p.composites = memory.pointer(composites);
  p.sparsity = memory.pointer(sparsity), p.smoothness = memory.pointer(smoothness);
  run(CompositePlan<CompositeForward>(p, p.composites), memory);
}

void composite_backward(const OptionalArray& grad_composites, const OptionalArray& grad_sparsity,
                        const OptionalArray& grad_smoothness, const py::array& logits, const py::array& image,
                        const py::array& infill, Array<int64_t> rng, std::optional<Array<int64_t>> streams,
                        py::ssize_t samples, double temperature, bool antithetic, bool channels_last,
                        py::array grad_logits, OptionalArray grad_image, OptionalArray grad_infill) {
  Memory memory;
  CompositeBackward p{};
  p.shape = shape_of(logits, image, samples);
  p.sampling = memory.sampling(rng, streams, temperature, antithetic);
  p.image_format = format_of(image), p.composite_format = format_of(grad_composites.value_or(image));
  p.channels_last = channels_last;
  p.logits = memory.pointer(logits);
  p.image = memory.strided(image), p.infill = memory.strided(infill);
  p.grad_composites = memory.pointer(grad_composites);
  p.grad_sparsity = memory.pointer(grad_sparsity), p.grad_smoothness = memory.pointer(grad_smoothness);
  p.grad_logits = memory.pointer(grad_logits);
  p.grad_image = memory.pointer(grad_image), p.grad_infill = memory.pointer(grad_infill);
  run(CompositePlan<CompositeBackward>(p, p.grad_composites), memory);
}

// Calls visit(a T) for the type of the numbers.
template <typename Visit>
void visit_type(bool float64, Visit visit) {
  float64 ? visit(double{}) : visit(float{});
}

void masks_forward(const py::array& logits, Array<int64_t> rng, std::optional<Array<int64_t>> streams,
                   double temperature, bool antithetic, py::array masks, unsigned blocks) {
  Memory memory;
  MaskForward p{shape_of(logits, masks.shape(2)), memory.sampling(rng, streams, temperature, antithetic),
                logits.itemsize() == 8, memory.pointer(logits), memory.pointer(masks)};
  visit_type(p.float64, [&]<typename T>(T) {
    SIMT_LAUNCH(masks_forward_kernel<T>, blocks, kMaskThreads, MaskForwardPlan{p, Exponent(temperature)});
  });
}

void masks_backward(const py::array& grad_masks, const py::array& logits, Array<int64_t> rng,
                    std::optional<Array<int64_t>> streams, double temperature, bool antithetic,
                    py::array grad_logits, unsigned blocks) {
  Memory memory;
  MaskBackward p{shape_of(logits, grad_masks.shape(2)),
                 memory.sampling(rng, streams, temperature, antithetic),
                 logits.itemsize() == 8,
                 memory.pointer(logits),
                 memory.pointer(grad_masks),
                 memory.pointer(grad_logits)};
  visit_type(p.float64, [&]<typename T>(T) {
    SIMT_LAUNCH(masks_backward_kernel<T>, blocks, kMaskThreads, MaskBackwardPlan{p, Exponent(temperature)});
  });
}

void concrete_forward(const py::array& logits, const py::array& uniforms, double temperature, py::array masks,
                      unsigned blocks) {
  Memory memory;
  ConcreteForward p{logits.size(),
                    temperature,
                    logits.itemsize() == 8,
                    memory.pointer(logits),
                    memory.pointer(uniforms),
                    memory.pointer(masks)};
  visit_type(p.float64, [&]<typename T>(T) {
    SIMT_LAUNCH(concrete_forward_kernel<T>, blocks, kMaskThreads, p, Exponent(temperature));
  });
}

void concrete_backward(const py::array& grad_masks, const py::array& masks, double temperature,
                       py::array grad_logits, unsigned blocks) {
  Memory memory;
  ConcreteBackward p{masks.size(),
                     temperature,
                     masks.itemsize() == 8,
                     memory.pointer(masks),
                     memory.pointer(grad_masks),
                     memory.pointer(grad_logits)};
  visit_type(p.float64,
             [&]<typename T>(T) { SIMT_LAUNCH(concrete_backward_kernel<T>, blocks, kMaskThreads, p); });
}

}  // namespace
}  // namespace sdfido::cuda

PYBIND11_MODULE(emulated_kernels, module) {
  simt::bind_emulator(module);
  module.attr("THREADS") = sdfido::cuda::kThreads;
  module.attr("MASK_THREADS") = sdfido::cuda::kMaskThreads;
  module.def("composite_forward", &sdfido::cuda::composite_forward);
  module.def("composite_backward", &sdfido::cuda::composite_backward);
  module.def("masks_forward", &sdfido::cuda::masks_forward);
  module.def("masks_backward", &sdfido::cuda::masks_backward);
  module.def("concrete_forward", &sdfido::cuda::concrete_forward);
  module.def("concrete_backward", &sdfido::cuda::concrete_backward);
}
