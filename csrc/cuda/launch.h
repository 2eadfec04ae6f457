// The host's side of a launch: device, stream, the kernels' own memory, limits, errors.
#pragma once
#include <cuda_runtime.h>
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"  // in torch's own headers
#include <torch/csrc/stable/accelerator.h>
#pragma GCC diagnostic pop

#include <algorithm>

#include "../calls.h"
#include "plan.h"

// This one is in libtorch_cuda. Weak: under a CPU-only torch it is null, and no CUDA tensor comes here.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index,
                                                                                   void** ret_stream);

namespace sdfido::cuda {

inline void check(cudaError_t status, const char* what) {
  STD_TORCH_CHECK(status == cudaSuccess, "sdfido: ", what, " failed: ", cudaGetErrorString(status));
}

// Makes a tensor's device the current one, and gives torch's current stream there.
class Stream {
 public:
  explicit Stream(const Tensor& tensor) : guard_(tensor.get_device_index()) {
    STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream, "sdfido: this torch has no CUDA");
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }

  operator cudaStream_t() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_;
};

// From torch's allocator, which gives it to nobody else before the stream is done with it: `bytes` of uninitialised
// memory, and after them one ticket of zero for each image.
class Workspace {
 public:
  Workspace(const Tensor& like, cudaStream_t stream, int64_t bytes, int64_t images) : tickets_at_((bytes + 7) / 8 * 8) {
    const int64_t ticket_bytes = images * static_cast<int64_t>(sizeof(uint32_t));
    memory_ = torch::stable::new_empty(like, {tickets_at_ + ticket_bytes}, ScalarType::Byte);
    if (images > 0)
      check(cudaMemsetAsync(tickets(), 0, static_cast<size_t>(ticket_bytes), stream), "clearing the workspace");
  }

  void* data() { return memory_.mutable_data_ptr(); }
  uint32_t* tickets() { return reinterpret_cast<uint32_t*>(static_cast<char*>(data()) + tickets_at_); }

 private:
  int64_t tickets_at_;
  Tensor memory_;
};

// Kernels count masks, samples and channels in int, with room for the last step past the end.
inline void check_counts(const Shape& s) {
  constexpr int64_t kLimit = int64_t{1} << 30;
  STD_TORCH_CHECK(s.masks < kLimit && s.samples < kLimit && s.channels < kLimit,
                  "sdfido: on CUDA masks, samples and channels must each be fewer than 2^30, got ", s.masks, ", ",
                  s.samples, " and ", s.channels, "; use several calls");
  STD_TORCH_CHECK(s.height < kLimit && s.width < kLimit, "sdfido: on CUDA an image must have fewer than 2^30 rows and ",
                  "columns, got ", s.height, "x", s.width);
}

template <typename Problem>
unsigned grid_of(const CompositesPlan<Problem>& plan) {
  const Shape& s = plan.problem.shape;
  check_counts(s);
  STD_TORCH_CHECK(plan.blocks() < int64_t{1} << 31, "sdfido: a batch of ", s.images, " images of ", s.height, "x",
                  s.width, " pixels is too large for one CUDA launch, at most ",
                  ((int64_t{1} << 31) - 1) / plan.tiles.count(), " of them; split it and pass streams");
  return static_cast<unsigned>(plan.blocks());
}

// For kernels that stride over the grid.
inline unsigned grid_of(int64_t items, int threads) {
  return static_cast<unsigned>(std::min<int64_t>((items + threads - 1) / threads, int64_t{1} << 19));
}

}  // namespace sdfido::cuda
