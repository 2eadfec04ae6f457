// Philox4x32-10, a counter-based random function (Salmon et al., "Parallel random numbers", SC 2011).
#pragma once
#include "host_device.h"

namespace sdfido {

struct PhiloxKey {
  uint32_t low, high;
};

// One round:  (c0, c1, c2, c3) -> (hi(B*c2) ^ c1 ^ key.low,  lo(B*c2),  hi(A*c0) ^ c3 ^ key.high,  lo(A*c0))
SDFIDO_INLINE void philox_round(uint32_t& c0, uint32_t& c1, uint32_t& c2, uint32_t& c3, PhiloxKey key) {
  const uint64_t product0 = uint64_t{0xD2511F53u} * c0;
  const uint64_t product1 = uint64_t{0xCD9E8D57u} * c2;
  c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key.low;
  c1 = static_cast<uint32_t>(product1);
  c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key.high;
  c3 = static_cast<uint32_t>(product0);
}

// Replaces the counter by its four random words.
SDFIDO_INLINE void philox4x32_10(uint32_t& c0, uint32_t& c1, uint32_t& c2, uint32_t& c3, PhiloxKey key) {
#pragma GCC unroll 10
  for (uint32_t round = 0; round < 10; ++round) {
    philox_round(c0, c1, c2, c3, {key.low + round * 0x9E3779B9u, key.high + round * 0xBB67AE85u});
  }
}

}  // namespace sdfido
