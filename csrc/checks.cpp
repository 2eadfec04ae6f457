#include "checks.h"

namespace sdfido {
namespace {

// Sizes whose product stays far from overflow.
void check_product(const char* what, std::initializer_list<int64_t> sizes) {
  int64_t product = 1;
  bool fits = true;
  for (int64_t size : sizes) fits = fits && !__builtin_mul_overflow(product, size, &product);
  STD_TORCH_CHECK(fits && product < (int64_t{1} << 48), "sdfido: ", what, " must have fewer than 2^48 elements");
}

// float32 or float64. True for float64.
bool check_full_precision(const Tensor& tensor, const char* name) {
  const Format format = format_of(tensor, name);
  STD_TORCH_CHECK(format == Format::kFloat32 || format == Format::kFloat64, "sdfido: ", name,
                  " must be float32 or float64");
  return format == Format::kFloat64;
}

// Sizes that masks of cells may have.
Shape mask_shape(int64_t images, int64_t masks, int64_t samples, int64_t rows, int64_t columns) {
  STD_TORCH_CHECK(rows * columns < (int64_t{1} << 31), "sdfido: a mask must have fewer than 2^31 cells");
  check_product("the samples of all masks", {masks, samples, rows, columns});
  check_product("the masks", {images, masks, samples, rows, columns});
  return {images, masks, samples, rows, columns, 0, rows, columns};
}

}  // namespace

Format format_of(const Tensor& tensor, const char* name) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return Format::kFloat32;
    case ScalarType::BFloat16:
      return Format::kBFloat16;
    case ScalarType::Half:
      return Format::kFloat16;
    case ScalarType::Double:
      return Format::kFloat64;
    default:
      STD_TORCH_CHECK(false, "sdfido: ", name, " must be float32, bfloat16, float16 or float64");
  }
}

bool same_device(const Tensor& a, const Tensor& b) { return a.device() == b.device(); }

bool has_sizes(const Tensor& tensor, std::initializer_list<int64_t> sizes) {
  if (tensor.dim() != static_cast<int64_t>(sizes.size())) return false;
  int64_t d = 0;
  for (int64_t size : sizes)
    if (tensor.size(d++) != size) return false;
  return true;
}

void check_temperature(double temperature) {
  STD_TORCH_CHECK(temperature > 1e-30 && temperature < 1e30,
                  "sdfido: temperature must be above 1e-30 and below 1e30, got ", temperature);
}

bool check_logits(const Tensor& logits) {
  STD_TORCH_CHECK(logits.dim() == 4, "sdfido: logits must be [N, K, h, w], got ", logits.dim(), " dimensions");
  STD_TORCH_CHECK(logits.size(1) > 0 && logits.size(2) > 0 && logits.size(3) > 0,
                  "sdfido: logits must have at least one mask and one cell");
  return check_full_precision(logits, "logits");
}

Shape check_samples(const Tensor& logits, int64_t num_samples) {
  STD_TORCH_CHECK(num_samples >= 1, "sdfido: num_samples must be at least 1, got ", num_samples);
  return mask_shape(logits.size(0), logits.size(1), num_samples, logits.size(2), logits.size(3));
}

Sampling check_sampling(const Tensor& logits, const Tensor& rng, const OptionalTensor& streams, double temperature,
                        bool antithetic) {
  check_temperature(temperature);
  STD_TORCH_CHECK(rng.scalar_type() == ScalarType::Long && rng.dim() == 1 && rng.size(0) == 2 && rng.is_contiguous() &&
                      same_device(rng, logits),
                  "sdfido: rng must be a contiguous int64 [2] tensor on the device of logits");
  if (streams) {
    STD_TORCH_CHECK(streams->scalar_type() == ScalarType::Long && streams->dim() == 1 &&
                        streams->size(0) == logits.size(0) && streams->is_contiguous() && same_device(*streams, logits),
                    "sdfido: streams must be a contiguous int64 [N] tensor on the device of logits");
  }
  return {rng.const_data_ptr<int64_t>(), streams ? streams->const_data_ptr<int64_t>() : nullptr, temperature,
          antithetic};
}

Shape check_masks(const Tensor& masks) {
  STD_TORCH_CHECK(masks.dim() == 5, "sdfido: masks must be [N, K, S, h, w], got ", masks.dim(), " dimensions");
  STD_TORCH_CHECK(masks.size(1) > 0 && masks.size(2) > 0 && masks.size(3) > 0 && masks.size(4) > 0,
                  "sdfido: masks must have at least one mask, one sample and one cell");
  check_full_precision(masks, "masks");
  return mask_shape(masks.size(0), masks.size(1), masks.size(2), masks.size(3), masks.size(4));
}

void check_images(const Tensor& masks, const char* name, const Tensor& image, const Tensor& infill, Shape& shape) {
  STD_TORCH_CHECK(image.dim() == 4 && infill.dim() == 4, "sdfido: image and infill must be [N, C, H, W], got ",
                  image.dim(), " and ", infill.dim(), " dimensions");
  for (int64_t d = 0; d < 4; ++d) {
    STD_TORCH_CHECK(infill.size(d) == image.size(d), "sdfido: infill must have the sizes of image; dimension ", d,
                    " is ", infill.size(d), ", not ", image.size(d));
  }
  STD_TORCH_CHECK(image.scalar_type() == infill.scalar_type(), "sdfido: infill must have the dtype of image");
  STD_TORCH_CHECK((format_of(image, "image") == Format::kFloat64) == (format_of(masks, name) == Format::kFloat64),
                  "sdfido: ", name, ", image and infill must all be float64, or none of them");
  STD_TORCH_CHECK(same_device(masks, image) && same_device(masks, infill), "sdfido: ", name,
                  ", image and infill must be on one device");
  shape.channels = image.size(1), shape.height = image.size(2), shape.width = image.size(3);
  STD_TORCH_CHECK(image.size(0) == shape.images, "sdfido: image must have the batch size of ", name, ", ", shape.images,
                  ", got ", image.size(0));
  STD_TORCH_CHECK(shape.channels > 0, "sdfido: image must have at least one channel");
  STD_TORCH_CHECK(shape.cell_rows <= shape.height && shape.cell_columns <= shape.width, "sdfido: masks of ",
                  shape.cell_rows, "x", shape.cell_columns, " cells are larger than the image of ", shape.height, "x",
                  shape.width, " pixels");
  check_product("the composites",
                {shape.images, shape.masks, shape.samples, shape.channels, shape.height, shape.width});
  check_product("an image's composites", {shape.masks, shape.samples, shape.channels, shape.height, shape.width});
  STD_TORCH_CHECK(shape.pixels() < (int64_t{1} << 31), "sdfido: an image must have fewer than 2^31 pixels");
  // float32 has no positions between pixels beyond.
  constexpr int64_t kAxis = int64_t{1} << 23;
  STD_TORCH_CHECK(shape.full_resolution() || (shape.height <= kAxis && shape.width <= kAxis),
                  "sdfido: masks can be upsampled to at most 2^23 pixels along an axis, got an image of ", shape.height,
                  "x", shape.width, "; cut it into parts, or give masks of its size");
}

void check_composites_dtype(const char* what, Format composites, Format images) {
  STD_TORCH_CHECK((composites == Format::kFloat64) == (images == Format::kFloat64), "sdfido: ", what,
                  " must be float64 exactly if the inputs are");
}

bool check_pair(const Tensor& a, const Tensor& b, const char* what) {
  bool fits = a.dim() == b.dim() && a.scalar_type() == b.scalar_type() && same_device(a, b);
  for (int64_t d = 0; fits && d < a.dim(); ++d) fits = a.size(d) == b.size(d);
  STD_TORCH_CHECK(fits, "sdfido: ", what, " must have the same sizes, device and dtype");
  return check_full_precision(a, what);
}

}  // namespace sdfido
