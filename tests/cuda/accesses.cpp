// What -fsanitize=thread calls before each plain load, in place of its own run-time library: here loads from shared memory
// are put together by warps.
#include "accesses.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace accesses {
namespace {

using simt::machine;

constexpr unsigned kWord = 4, kBanks = 32, kSector = 32;

// Lanes whose first four numbers are the same take one instruction together.
struct Access {
  uintptr_t place;        // in the code
  unsigned calls, times;  // of the place's function, and since then of the place, by this thread
  unsigned warp;
  uintptr_t address;
  size_t bytes;

  auto step() const { return std::tie(place, calls, times, warp); }
};

struct Sum {
  uint64_t instructions = 0, least = 0, taken = 0;
};

struct Count {
  unsigned calls = 0, times = 0;
};

using Lanes = std::vector<Access>;

// A wavefront has one word of each bank; loads of 8 and 16 bytes come in halves and quarters of a warp.
Sum wavefronts(const Lanes& lanes) {
  Sum sum{1, 0, 0};
  const size_t bytes = lanes[0].bytes, at_once = bytes <= kWord ? 32 : 32 * kWord / bytes;
  for (size_t first = 0; first < lanes.size(); first += at_once, ++sum.least) {
    std::array<std::set<uintptr_t>, kBanks> words;
    for (size_t i = first; i < std::min(first + at_once, lanes.size()); ++i) {
      const uintptr_t end = lanes[i].address + bytes;
      for (uintptr_t word = lanes[i].address / kWord; word * kWord < end; ++word) words[word % kBanks].insert(word);
    }
    sum.taken +=
        std::max_element(words.begin(), words.end(), [](auto& a, auto& b) { return a.size() < b.size(); })->size();
  }
  return sum;
}

Sum sectors(const Lanes& lanes) {
  std::set<uintptr_t> found;
  for (const Access& lane : lanes)
    for (uintptr_t at = lane.address / kSector; at * kSector < lane.address + lane.bytes; ++at) found.insert(at);
  return {1, (lanes.size() * lanes[0].bytes + kSector - 1) / kSector, found.size()};
}

// Of one kind, in the block that runs.
class Block {
 public:
  explicit Block(Sum (*of)(const Lanes&)) : of_(of) {}

  void add(unsigned thread, uintptr_t place, unsigned calls, const void* pointer, size_t bytes) {
    Count& count = counts_[place * 1024 + thread];
    if (count.calls != calls) count = {calls, 0};
    accesses_.push_back({place, calls, count.times++, thread / 32, reinterpret_cast<uintptr_t>(pointer), bytes});
  }

  void finish() {
    std::stable_sort(accesses_.begin(), accesses_.end(), [](auto& a, auto& b) { return a.step() < b.step(); });
    for (auto begin = accesses_.begin(); begin != accesses_.end();) {
      const auto end = std::find_if(begin, accesses_.end(), [begin](auto& a) { return a.step() != begin->step(); });
      const Sum more = of_(Lanes(begin, end));
      Sum& sum = sums_[begin->place];
      sum.instructions += more.instructions, sum.least += more.least, sum.taken += more.taken;
      begin = end;
    }
    accesses_.clear(), counts_.clear();
  }

  // By place in the code.
  std::map<uintptr_t, Sum> take() { return std::exchange(sums_, {}); }

 private:
  Sum (*of_)(const Lanes&);
  Lanes accesses_;
  std::unordered_map<uintptr_t, Count> counts_;  // by place and thread
  std::map<uintptr_t, Sum> sums_;
};

Block loads(wavefronts), stores(sectors);
std::set<uintptr_t> functions;                  // places at whose begin they are
std::unordered_map<uintptr_t, unsigned> calls;  // by function and thread
const uint64_t no_block = ~uint64_t{0};
uint64_t block = no_block;

void finish_block() { loads.finish(), stores.finish(), calls.clear(), block = machine.counters.blocks; }

bool is_shared(const void* pointer) {
  const auto begin = reinterpret_cast<uintptr_t>(machine.shared);
  return begin != 0 && machine.current != nullptr && reinterpret_cast<uintptr_t>(pointer) - begin < machine.shared_size;
}

void enter(const void* place) {
  if (machine.current == nullptr) return;
  const auto function = reinterpret_cast<uintptr_t>(place);
  functions.insert(function);
  ++calls[function * 1024 + machine.current->rank];
}

void note_load(const void* pointer, size_t bytes, const void* code) {
  if (!is_shared(pointer)) return;
  if (block != machine.counters.blocks) finish_block();
  const auto place = reinterpret_cast<uintptr_t>(code);
  const unsigned thread = machine.current->rank;
  const auto after = functions.upper_bound(place);
  loads.add(thread, place, after == functions.begin() ? 0 : calls[*std::prev(after) * 1024 + thread], pointer, bytes);
}

}  // namespace

void note_store(const void* pointer, size_t bytes, unsigned line) {
  if (block != machine.counters.blocks) finish_block();
  stores.add(machine.current->rank, line, 0, pointer, bytes);
}

void report(const char* name, long side) {
  finish_block(), block = no_block;
  for (auto [kind, found] : {std::pair("load", &loads), std::pair("store", &stores)}) {
    for (const auto& [place, sum] : found->take())
      std::printf("%s %ld %s %zu %zu %zu %zu\n", name, side, kind, place, sum.instructions, sum.least, sum.taken);
  }
}

}  // namespace accesses

#define ON_LOAD(p, bytes) accesses::note_load(p, bytes, __builtin_return_address(0))
#define ON_STORE(p, bytes)
#define ON_CALL() accesses::enter(__builtin_return_address(0))
#include <simt/instrumented.inl>
