// Small kernels that test the emulator itself: right ones, then one for each fault that it must find. The lines that
// its messages must name end in "fault:" and the kernel's name.
#pragma once
#include <cuda_runtime.h>

constexpr unsigned kAllLanes = 0xFFFFFFFFu;

// --- Right

template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(kAllLanes, value, offset);
  return value;
}

// The sum over the block, in thread 0.
template <int kThreads, typename T>
__device__ __forceinline__ T block_sum(T value) {
  __shared__ T partials[kThreads / 32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  value = warp_sum(value);
  if (lane == 0) partials[warp] = value;
  __syncthreads();
  value = lane < kThreads / 32 ? partials[lane] : T(0);
  if (warp == 0) value = warp_sum(value);
  __syncthreads();
  return value;
}

// out[i] = sum of block i's kThreads values.
template <int kThreads, typename T>
__global__ void __launch_bounds__(kThreads) block_sums(const T* __restrict__ in, T* __restrict__ out) {
  const T sum = block_sum<kThreads>(__ldg(in + blockIdx.x * kThreads + threadIdx.x));
  if (threadIdx.x == 0) __stcg(out + blockIdx.x, sum);
}

// Sum of n values by any number of blocks: the last one to finish adds up the partial sums in their order.
struct Sum {
  const float* in;
  float* partials;  // one per block
  unsigned* finished;
  float* out;
  int n;
};

template <int kThreads>
__global__ void last_block_sum(Sum sum) {
  __shared__ bool is_last;
  float value = 0;
  const int stride = static_cast<int>(gridDim.x) * kThreads;
  for (int i = blockIdx.x * kThreads + threadIdx.x; i < sum.n; i += stride) value += __ldg(sum.in + i);
  value = block_sum<kThreads>(value);
  if (threadIdx.x == 0) {
    __stcg(sum.partials + blockIdx.x, value);
    __threadfence();
    is_last = atomicInc(sum.finished, gridDim.x - 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (!is_last) return;
  value = 0;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += kThreads) value += __ldcg(sum.partials + i);
  value = block_sum<kThreads>(value);
  if (threadIdx.x == 0) __stcg(sum.out, value);
}

// Running sums over segments of `width` lanes, of one warp.
__global__ void segmented_scan(const int* in, int* out, int width) {
  int value = __ldg(in + threadIdx.x);
  for (int offset = 1; offset < width; offset *= 2) {
    const int before = __shfl_up_sync(kAllLanes, value, offset, width);
    if (static_cast<int>(threadIdx.x) % width >= offset) value += before;
  }
  __stcs(out + threadIdx.x, value);
}

// What each kind of shuffle returns to each lane of one warp: out[kind][lane].
__global__ void shuffles(int amount, int width, int* out) {
  const int lane = threadIdx.x;
  out[lane] = __shfl_sync(kAllLanes, lane, amount, width);
  out[32 + lane] = __shfl_up_sync(kAllLanes, lane, amount, width);
  out[64 + lane] = __shfl_down_sync(kAllLanes, lane, amount, width);
  out[96 + lane] = __shfl_xor_sync(kAllLanes, lane, amount, width);
}

// out[kind][thread] of votes on whether in[thread] is not 0, within lanes of equal parity and within the block.
__global__ void votes(const int* in, unsigned* out) {
  const unsigned i = threadIdx.x, n = blockDim.x;
  const unsigned parity = i % 2 == 0 ? 0x55555555u : 0xAAAAAAAAu;
  const int value = __ldcs(in + i);
  out[i] = __ballot_sync(parity, value);
  out[n + i] = __any_sync(parity, value);
  out[2 * n + i] = __all_sync(parity, value);
  out[3 * n + i] = __syncthreads_count(value);
  out[4 * n + i] = __syncthreads_or(value);
  out[5 * n + i] = __syncthreads_and(value);
}

// Transposes a matrix by tiles in shared memory. Blocks of (32, 8) threads.
template <typename T>
__global__ void transpose(const T* __restrict__ in, T* __restrict__ out, int height, int width) {
  __shared__ T tile[32][33];
  const int x0 = 32 * blockIdx.x, y0 = 32 * blockIdx.y;
  for (int y = threadIdx.y, x = x0 + threadIdx.x; y < 32; y += 8) {
    if (y0 + y < height && x < width) tile[y][threadIdx.x] = __ldg(in + (y0 + y) * width + x);
  }
  __syncthreads();
  for (int x = threadIdx.y, y = y0 + threadIdx.x; x < 32; x += 8) {
    if (x0 + x < width && y < height) __stcs(out + (x0 + x) * height + y, tile[threadIdx.x][x]);
  }
}

// Copies four values per thread, and the last n % 4 one by one.
__global__ void copy(const float* in, float* out, int n) {
  const int i = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (i + 4 <= n) {
    __stcs(reinterpret_cast<float4*>(out + i), __ldcs(reinterpret_cast<const float4*>(in + i)));
  } else {
    for (int j = i; j < n; ++j) __stwb(out + j, __ldcg(in + j));
  }
}

// totals = (sum, largest, number below `limit`, sum as float), by atomics.
__global__ void tally(const int* in, int limit, int* totals, float* sum) {
  __shared__ unsigned below;
  if (threadIdx.x == 0) below = 0;
  __syncthreads();
  const int value = __ldg(in + threadIdx.x);
  atomicAdd(totals, value);
  atomicMax(totals + 1, value);
  if (value < limit) atomicAdd(&below, 1);
  atomicAdd(sum, 0.5f);
  __syncthreads();
  if (threadIdx.x == 0) atomicCAS(totals + 2, 0, static_cast<int>(below));
}

// out[thread and block, x fastest] = the indices and sizes that it sees.
__global__ void indices(unsigned* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const uint3 values[2] = {threadIdx, blockIdx};
  for (int i = 0; i < 2; ++i) {
    unsigned* row = out + 6 * (block * blockDim.x * blockDim.y * blockDim.z + thread) + 3 * i;
    row[0] = values[i].x;
    row[1] = values[i].y;
    row[2] = values[i].z;
  }
}

// --- Faulty

__global__ void different_barriers(float* out) {
  if (threadIdx.x < 40) {
    __syncthreads();  // fault: different_barriers
  } else {
    out[0] = 1;
    __syncthreads();  // other: different_barriers
  }
}

__global__ void barrier_after_exit(float* out) {
  if (threadIdx.x == 33) return;
  __syncthreads();  // fault: barrier_after_exit
  out[threadIdx.x] = 1;
}

__global__ void barrier_against_shuffle(float* out) {
  if (threadIdx.x == 0) {
    __syncthreads();  // other: barrier_against_shuffle
  } else {
    out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.0f, 1);  // fault: barrier_against_shuffle
  }
}

__global__ void shuffle_after_exit(float* out) {
  if (threadIdx.x >= 20) return;
  out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.0f, 1);  // fault: shuffle_after_exit
}

__global__ void absent_lanes(float* out) {
  out[threadIdx.x] = __shfl_down_sync(kAllLanes, 1.0f, 1);  // fault: absent_lanes
}

__global__ void outside_own_mask(float* out) {
  out[threadIdx.x] = __shfl_sync(0x0000FFFFu, 1.0f, 0);  // fault: outside_own_mask
}

__global__ void reads_outside_mask(float* out) {
  if (threadIdx.x >= 16) return;
  out[threadIdx.x] = __shfl_down_sync(0x0000FFFFu, 1.0f, 8);  // fault: reads_outside_mask
}

__global__ void different_shuffles(float* out) {
  if (threadIdx.x % 2 == 0) {
    out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.0f, 2);  // fault: different_shuffles
  } else {
    out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 2.0f, 2);  // other: different_shuffles
  }
}

__global__ void width_of_three(float* out) {
  out[threadIdx.x] = __shfl_down_sync(kAllLanes, 1.0f, 1, 3);  // fault: width_of_three
}

__global__ void circle_of_warps(float* out) {
  constexpr unsigned kMasks[3] = {0b011u, 0b110u, 0b101u};  // lane 0 waits for 1, 1 for 2, 2 for 0
  const unsigned lane = threadIdx.x;
  __syncwarp(kMasks[lane]);  // fault: circle_of_warps
  out[lane] = 1;
}

// Wrong only in some orders: a thread reads what its neighbour writes.
__global__ void missing_barrier(float* out) {
  __shared__ float values[64];
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = values[63 - threadIdx.x];
}

// Thread 0 may overwrite the value before all have read it.
__global__ void missing_second_barrier(float* out) {
  __shared__ float value;
  for (int i = 0; i < 3; ++i) {
    if (threadIdx.x == 0) value = static_cast<float>(i);
    __syncthreads();
    out[i * blockDim.x + threadIdx.x] = value;
  }
}

__global__ void missing_syncwarp(float* out) {
  __shared__ float values[32];
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = values[31 - threadIdx.x];
}

// NaN where nothing was written.
template <typename T>
__global__ void uninitialised_shared(T* out) {
  __shared__ T values[64];
  if (threadIdx.x % 2 == 0) values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

// The first block leaves a value that the others must not find.
__global__ void left_by_other_block(int* first, float* out) {
  __shared__ float value;
  if (atomicAdd(first, 1) == 0) value = 7;
  out[blockIdx.x] = value;
}

__global__ void reads_too_far(float* out) {
  __stcs(out + threadIdx.x, __ldg(out + threadIdx.x + 1));  // fault: reads_too_far
}

__global__ void writes_too_far(float* out) {
  __stcs(out + threadIdx.x + 1, 1.0f);  // fault: writes_too_far
}

__global__ void adds_too_far(float* out) {
  atomicAdd(out + threadIdx.x + 1, 1.0f);  // fault: adds_too_far
}

__global__ void misaligned(float* out) {
  __stcg(reinterpret_cast<float4*>(out + 1), make_float4(1, 2, 3, 4));  // fault: misaligned
}

__device__ float sum_down_from(int depth) {
  volatile float values[256];
  values[depth % 256] = static_cast<float>(depth);
  return depth == 0 ? 0 : sum_down_from(depth - 1) + values[depth % 256];
}

__global__ void overflows_stack(float* out) { out[threadIdx.x] = sum_down_from(10000); }

// For the sanitizers: the emulator itself does not see plain accesses.
__global__ void overflows_heap(float* out, int n) {
  out[threadIdx.x + static_cast<unsigned>(n) - blockDim.x + 1] = 1;  // fault: overflows_heap
}

__global__ void overflows_shared(float* out) {
  __shared__ float values[64];
  values[threadIdx.x + 1] = 1;  // fault: overflows_shared
  out[threadIdx.x] = values[threadIdx.x];
}
