// Small kernels that test the emulator's checks: right ones, and for each kind of fault one that is wrong in one line,
// which ends in "fault:" and the kernel's name; "other:" is the access that it collides with. In many orders of threads
// and blocks their results are right.
#pragma once
#include <cuda_runtime.h>

enum class Fault {
  none,
  no_release,     // no fence before the ticket
  late_release,   // a fence after it
  block_release,  // a fence for the block alone
  no_acquire,     // no fence after the ticket
  early_acquire,  // a fence before it alone
  block_ticket,   // a ticket that is atomic within the block alone
  no_barrier,     // before the ticket: thread 0's fence does not stand for others
  read_only,      // sums are read as if nobody wrote them
};

// memory = partial sums of each block's two halves, then the sum of all by the last block.
template <Fault fault>
__global__ void last_block(float* memory, unsigned* ticket) {
  __shared__ bool last;
  const unsigned blocks = gridDim.x, number = 2 * blockIdx.x + threadIdx.x;
  if (threadIdx.x < 2) __stcg(memory + number, static_cast<float>(number));  // other: last_block
  if (fault != Fault::no_barrier) __syncthreads();
  if (threadIdx.x == 0) {
    if (fault == Fault::block_release) __threadfence_block();
    if (fault != Fault::no_release && fault != Fault::late_release && fault != Fault::block_release) __threadfence();
    const unsigned before =
        fault == Fault::block_ticket ? atomicInc_block(ticket, blocks - 1) : atomicInc(ticket, blocks - 1);
    if (fault == Fault::late_release) __threadfence();
    last = before == blocks - 1;
    if (last && fault != Fault::no_acquire && fault != Fault::early_acquire) __threadfence();
  }
  __syncthreads();
  if (!last || threadIdx.x != 1) return;
  float sum = 0;
  for (unsigned i = 0; i < 2 * blocks; ++i) {
    if (fault == Fault::read_only) sum += __ldg(memory + i);
    if (fault != Fault::read_only) sum += __ldcg(memory + i);  // fault: last_block
  }
  __stcg(memory + 2 * blocks, sum);
}

// The third block learns of what the first wrote from the second, which did not look at it: blocks as they come.
__global__ void chain(float* memory, unsigned* tickets) {
  if (threadIdx.x != 0) return;
  const unsigned turn = atomicInc(tickets, gridDim.x - 1);  // passes nothing on, as no fence came before
  if (turn == 0) __stcg(memory, 1.0f);
  if (turn == 0) __threadfence();
  if (turn <= 1) atomicInc(tickets + 1, 1);
  if (turn >= 1) __threadfence();
  if (turn >= 1) atomicInc(tickets + 2, 1);
  __threadfence();
  if (turn == 2) __stcg(memory + 1, __ldcg(memory));
}

// Lanes exchange values through shared memory: ordered by __syncwarp, or by a shuffle, which orders nothing.
template <bool right>
__global__ void exchange(float* memory, unsigned*) {
  __shared__ float values[32];
  values[threadIdx.x] = static_cast<float>(threadIdx.x);  // other: exchange
  right ? __syncwarp() : static_cast<void>(__shfl_sync(0xFFFFFFFFu, 0, 0));
  memory[threadIdx.x] = values[31 - threadIdx.x];  // fault: exchange
}

// Half of the lanes meet: they know of each other, the rest does not.
__global__ void half_of_a_warp(float* memory, unsigned*) {
  __shared__ float value;
  if (threadIdx.x == 0) value = 1;  // other: half_of_a_warp
  if (threadIdx.x < 16) __syncwarp(0x0000FFFFu);
  if (threadIdx.x == 5 || threadIdx.x == 20) memory[threadIdx.x] = value;  // fault: half_of_a_warp
}

// A value is written anew before all warps have read it.
template <bool right>
__global__ void overwritten(float* memory, unsigned*) {
  __shared__ float value;
  for (unsigned i = 0; i < 3; ++i) {
    if (threadIdx.x == 0) value = static_cast<float>(i);  // fault: overwritten
    __syncthreads();                                      // since: overwritten
    memory[i * blockDim.x + threadIdx.x] = value;         // other: overwritten
    if (right) __syncthreads();
  }
}

// The neighbour's byte is another one: no race.
__global__ void neighbours(float* memory, unsigned*) {
  __shared__ unsigned char bytes[64];
  bytes[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
  __syncthreads();
  memory[threadIdx.x] = bytes[63 - threadIdx.x];
}

__global__ void half_written(float* memory, unsigned*) {
  __shared__ float values[64];
  if (threadIdx.x % 2 == 0) values[threadIdx.x] = 1;
  __syncthreads();
  memory[threadIdx.x] = values[threadIdx.x ^ 1];  // fault: half_written
}

// What another block left in shared memory counts for nothing.
__global__ void left_over(float* memory, unsigned* ticket) {
  __shared__ float value;
  if (atomicAdd(ticket, 1u) == 0) value = 7;
  if (threadIdx.x == 0) memory[blockIdx.x] = value;  // fault: left_over
}

__global__ void unwritten_global(float* memory, unsigned*) {
  __stcg(memory + threadIdx.x, __ldcg(memory + 64 + threadIdx.x));  // fault: unwritten_global
}

// All threads store the same value.
__global__ void same_place(float* memory, unsigned*) {
  memory[3] = 1;  // fault: same_place
}

// Blocks write where others read, without a word.
__global__ void across_blocks(float* memory, unsigned*) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  __stcg(memory + i, 1.0f);                                                             // other: across_blocks
  __stcg(memory + 512 + i, i % blockDim.x == 0 && i > 0 ? __ldcg(memory + i - 1) : 0);  // fault: across_blocks
}

__global__ void writes_input(float*, unsigned* ticket) {
  __stcg(ticket, 1u);  // fault: writes_input
}
