// What a thread may rely on to have happened before: the order that barriers, __syncwarp, fences and atomics make.
//
// Blocks run one after another here, and threads in turns, so that every write is seen at once. Clocks tell which of
// them CUDA's memory model promises. Barriers order everything within a block. Between blocks a fence and then an
// atomic pass on what happened before the fence, and an atomic and then a fence bring what others passed on; an atomic
// passes on what it found as well. Fences order what a barrier or __syncwarp ordered before them, too. Shuffles, votes,
// and loads and stores order nothing. A compare-and-swap counts as a write even where it fails.
#pragma once
#include <bit>
#include <map>
#include <unordered_map>
#include <utility>

#include "site.h"

namespace simt {

enum class Kind : uint8_t { plain, read_only, block_atomic, atomic };

// Intervals between barriers are numbered through all blocks and launches.
struct Access {
  uint32_t interval = 0;  // 0: there was none
  uint32_t clock = 0;     // of its thread
  uint64_t block = 0;
  unsigned thread = 0;
  Kind kind = Kind::plain;
  Site site{};
};

// Of a block: all before an interval, and of some threads what they did up to a clock.
struct Past {
  uint32_t interval = 0;
  std::map<unsigned, uint32_t> clocks{};
};

struct Knowledge {
  std::map<uint64_t, Past> blocks{};

  void add(uint64_t block, const Past& past) {
    Past& own = blocks[block];
    own.interval = std::max(own.interval, past.interval);
    for (const auto& [thread, clock] : past.clocks) own.clocks[thread] = std::max(own.clocks[thread], clock);
  }
  void add(const Knowledge& other) {
    for (const auto& [block, past] : other.blocks) add(block, past);
  }
  bool has(const Access& access) const {
    const auto past = blocks.find(access.block);
    if (past == blocks.end()) return false;
    if (access.interval < past->second.interval) return true;
    const auto clock = past->second.clocks.find(access.thread);
    return clock != past->second.clocks.end() && access.clock <= clock->second;
  }
};

struct ThreadHistory {
  uint32_t clock = 1;
  std::array<uint32_t, warpSize> lanes{};  // what it knows of the clocks of its warp
  Knowledge known{};                       // of other blocks, since the last barrier
  Knowledge fenced{};                      // at its last fence: what its atomics pass on
  Knowledge found{};                       // by its atomics: known after its next fence
};

struct History {
  uint32_t interval = 0;           // the present one
  uint32_t launch = 0, block = 0;  // their first intervals
  uint64_t block_number = 0;
  Where barrier{};    // where the interval began
  Knowledge known{};  // of other blocks, by all threads, at the last barrier
  std::vector<ThreadHistory> threads{};
  std::unordered_map<uintptr_t, Knowledge> passed_on{};  // by atomics on an address

  void begin_launch() {
    launch = interval + 1;
    passed_on.clear();
  }

  void begin_block(uint64_t number, size_t size) {
    block_number = number;
    block = ++interval;
    barrier = {};
    known = {};
    threads.assign(size, {});
  }

  void meet_block(const Where& where) {
    ++interval;
    barrier = where;
    for (ThreadHistory& thread : threads) known.add(std::exchange(thread.known, {}));
  }

  // __syncwarp of the lanes in `mask`, of the warp that begins with thread `first`.
  void meet_warp(unsigned first, unsigned mask) {
    ThreadHistory together;
    for_each_lane(first, mask, [&](ThreadHistory& thread, unsigned lane) {
      thread.lanes[lane] = thread.clock++;
      for (unsigned i = 0; i < warpSize; ++i) together.lanes[i] = std::max(together.lanes[i], thread.lanes[i]);
      together.known.add(thread.known);
    });
    for_each_lane(first, mask, [&](ThreadHistory& thread, unsigned) {
      thread.lanes = together.lanes;
      thread.known = together.known;
    });
  }

  void fence(unsigned rank) {
    ThreadHistory& self = threads[rank];
    self.known.add(std::exchange(self.found, {}));
    self.lanes[rank % warpSize] = self.clock++;
    Past past{interval, {}};
    for (unsigned i = 0; i < warpSize; ++i) {
      if (self.lanes[i] != 0) past.clocks[rank - rank % warpSize + i] = self.lanes[i];
    }
    self.fenced = self.known;
    self.fenced.add(known);
    self.fenced.add(block_number, past);
  }

  void pass_on(unsigned rank, uintptr_t address) {
    ThreadHistory& self = threads[rank];
    Knowledge& place = passed_on[address];
    self.found.add(place);
    place.add(self.fenced);
  }

  Access now(unsigned rank, Kind kind, const Site& site) const {
    return {interval, threads[rank].clock, block_number, rank, kind, site};
  }

  // Whether an access is over for a thread.
  bool is_past(const Access& access, unsigned rank) const {
    if (access.interval < launch) return true;
    if (access.interval < block) return known.has(access) || threads[rank].known.has(access);
    if (access.interval < interval || access.thread == rank) return true;
    if (access.thread / warpSize != rank / warpSize) return false;
    return access.clock <= threads[rank].lanes[access.thread % warpSize];
  }

 private:
  template <typename Visit>
  void for_each_lane(unsigned first, unsigned mask, Visit visit) {
    for (unsigned lanes = mask; lanes != 0; lanes &= lanes - 1) {
      const auto lane = static_cast<unsigned>(std::countr_zero(lanes));
      visit(threads[first + lane], lane);
    }
  }
};
inline History history;

}  // namespace simt
