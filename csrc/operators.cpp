// Every operator's schema. Backends are in cpu/ and cuda/, fake kernels and autograd in sdfido/ops.
#include <Python.h>

#include <string>

#include "checks.h"

STABLE_TORCH_LIBRARY(sdfido, m) {
  m.def(
      "sample_masks(Tensor logits, Tensor rng, Tensor? streams, int num_samples, float temperature, bool antithetic)"
      " -> Tensor");
  m.def(
      "sample_masks_backward(Tensor grad, Tensor logits, Tensor rng, Tensor? streams, int num_samples,"
      " float temperature, bool antithetic) -> Tensor");
  m.def(
      "sample_composites(Tensor logits, Tensor image, Tensor infill, Tensor rng, Tensor? streams, int num_samples,"
      " float temperature, bool antithetic, ScalarType dtype, bool channels_last)"
      " -> (Tensor composites, Tensor sparsity, Tensor smoothness)");
  m.def(
      "sample_composites_backward(Tensor? grad_composites, Tensor? grad_sparsity, Tensor? grad_smoothness,"
      " Tensor logits, Tensor image, Tensor infill, Tensor rng, Tensor? streams, int num_samples, float temperature,"
      " bool antithetic, bool image_gradient, bool infill_gradient)"
      " -> (Tensor grad_logits, Tensor grad_image, Tensor grad_infill)");
  m.def("blend(Tensor masks, Tensor image, Tensor infill, ScalarType dtype, bool channels_last) -> Tensor");
  m.def(
      "blend_backward(Tensor grad, Tensor masks, Tensor image, Tensor infill, bool masks_gradient,"
      " bool image_gradient, bool infill_gradient) -> (Tensor grad_masks, Tensor grad_image, Tensor grad_infill)");
  m.def("simplified_concrete(Tensor logits, Tensor u, float temperature) -> Tensor");
  m.def("simplified_concrete_backward(Tensor grad, Tensor masks, float temperature) -> Tensor");
  m.def("cpu_isa() -> str");
  m.def("cuda_archs() -> str");
  m.def("cuda_toolkit() -> str");
}

#ifndef SDFIDO_CUDA_ARCHS
#define SDFIDO_CUDA_ARCHS ""  // setup.py names them where it builds the CUDA backend
#endif

#ifndef SDFIDO_CUDA_TOOLKIT
#define SDFIDO_CUDA_TOOLKIT ""
#endif

static std::string cuda_archs() { return SDFIDO_CUDA_ARCHS; }
static std::string cuda_toolkit() { return SDFIDO_CUDA_TOOLKIT; }

STABLE_TORCH_LIBRARY_IMPL(sdfido, CompositeExplicitAutograd, m) {
  m.impl("cuda_archs", TORCH_BOX(&cuda_archs));
  m.impl("cuda_toolkit", TORCH_BOX(&cuda_toolkit));
}

// `import sdfido._C` loads this library; loading it registers the operators.
PyMODINIT_FUNC PyInit__C() {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}
