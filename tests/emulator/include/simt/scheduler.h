// Runs a block: its threads are fibers that meet at barriers and in warp functions. A meeting that would be undefined
// on a GPU ends the launch with an Error that names the line.
#pragma once
#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "checks.h"

namespace simt {

// --- Waiting: what runs on the fiber of a thread

inline uint64_t wait(State state, const char* function, unsigned mask, uint64_t value, const Where& where) {
  Thread& self = *machine.current;
  self.function = function;
  self.where = where;
  self.mask = mask;
  self.value = value;
  self.state = state;
  self.fiber->suspend();
  return self.result;
}

// Returns the number of threads that bring true.
inline uint64_t meet_block(const char* function, bool value, const Where& where) {
  return wait(State::at_barrier, function, 0, value, where);
}

// Returns the value of lane `source`, or without one the lanes whose value is not 0.
inline uint64_t meet_warp(const char* function, unsigned mask, uint64_t value, int source, const Where& where) {
  Thread& self = *machine.current;
  const size_t lanes = std::min<size_t>(warpSize, machine.threads.size() - (self.rank - self.lane()));
  const auto refuse = [&](const auto&... what) {
    fail(where, function, " by ", describe(self), ": the mask ", what...);
  };
  if (!(mask >> self.lane() & 1)) refuse("leaves out the calling lane");
  if (uint64_t{mask} >> lanes) refuse("names absent lanes: the warp has ", lanes);
  if (source >= 0 && !(mask >> source & 1)) refuse("leaves out lane ", source, ", which is read");
  self.source = source;
  return wait(State::in_warp, function, mask, value, where);
}

// --- Scheduling

inline void run_thread() {
  try {
    machine.kernel();
  } catch (...) {
    machine.error = std::current_exception();
  }
  machine.current->state = State::exited;
}

inline void resume(Thread& thread) {
  machine.current = &thread;
  threadIdx = thread.index;
  if (!thread.fiber) {
    if (machine.idle_fibers.empty()) machine.idle_fibers.push_back(std::make_unique<Fiber>());
    thread.fiber = std::move(machine.idle_fibers.back());
    machine.idle_fibers.pop_back();
    thread.fiber->start(run_thread);
  }
  thread.fiber->resume();
  // The next thread to start gets this stack, while it is in the cache.
  if (thread.state == State::exited) machine.idle_fibers.push_back(std::move(thread.fiber));
  if (machine.error) std::rethrow_exception(std::exchange(machine.error, nullptr));
}

inline bool wait_together(const Thread& a, const Thread& b) {
  return a.state == b.state && a.mask == b.mask && a.where.line() == b.where.line() &&
         a.where.column() == b.where.column() && std::strcmp(a.where.file_name(), b.where.file_name()) == 0 &&
         std::strcmp(a.function, b.function) == 0;
}

[[noreturn]] inline void fail_apart(const Thread& waiting, const Thread& other) {
  fail(waiting.where, waiting.function, ": thread ", describe(waiting.index), " waits for ", describe(other));
}

// Whether all lanes that a waiting lane names are there; fails if one of them cannot come any more.
inline bool is_complete(const Thread& waiting, const Thread* warp) {
  bool complete = true;
  for (unsigned lanes = waiting.mask; lanes != 0; lanes &= lanes - 1) {
    const Thread& other = warp[std::countr_zero(lanes)];
    if (wait_together(waiting, other)) continue;
    const bool is_free = other.state == State::in_warp && !(other.mask >> waiting.lane() & 1);
    if (other.state != State::ready && !is_free) fail_apart(waiting, other);
    complete = false;
  }
  return complete;
}

inline bool release_lanes(Thread* warp, unsigned size) {
  bool released = false;
  for (unsigned i = 0; i < size; ++i) {
    if (warp[i].state != State::in_warp || !is_complete(warp[i], warp)) continue;
    uint64_t ballot = 0;
    for (unsigned j = 0; j < size; ++j) ballot |= uint64_t{warp[j].value != 0} << j;
    ballot &= warp[i].mask;
    for (unsigned lanes = warp[i].mask; lanes != 0; lanes &= lanes - 1) {
      Thread& lane = warp[std::countr_zero(lanes)];
      lane.result = lane.source >= 0 ? warp[lane.source].value : ballot;
      lane.state = State::ready;
    }
    if (checks.on && std::strcmp(warp[i].function, "__syncwarp") == 0) history.meet_warp(warp->rank, warp[i].mask);
    released = true;
  }
  return released;
}

// Runs a warp: one step in random orders, so that others overtake it anywhere; else as far as it gets.
inline bool run_warp(unsigned first) {
  Thread* warp = &machine.threads[first];
  const unsigned size = std::min<unsigned>(warpSize, static_cast<unsigned>(machine.threads.size()) - first);
  bool progress = false;
  for (bool again = true; again;) {
    again = false;
    shuffle_turns(machine.lanes);
    for (unsigned lane : machine.lanes) {
      if (lane >= size || warp[lane].state != State::ready) continue;
      resume(warp[lane]);
      again = true;
    }
    again |= release_lanes(warp, size);
    progress |= again;
    if (machine.order > 1) break;
  }
  return progress;
}

// When no thread can go on: opens the barrier that all have reached. Returns false if all have exited.
inline bool release_block() {
  std::vector<Thread>& threads = machine.threads;
  const auto is_waiting = [](const Thread& thread) { return thread.state != State::exited; };
  const auto first = std::find_if(threads.begin(), threads.end(), is_waiting);
  if (first == threads.end()) return false;
  if (first->state == State::in_warp) fail(first->where, "deadlock of ", describe(*first));
  for (const Thread& other : threads) {
    if (!wait_together(*first, other)) fail_apart(*first, other);
  }
  if (checks.on) history.meet_block(first->where);
  const auto is_true = [](const Thread& thread) { return thread.value != 0; };
  const auto count = std::count_if(threads.begin(), threads.end(), is_true);
  for (Thread& thread : threads) {
    thread.result = static_cast<uint64_t>(count);
    thread.state = State::ready;
  }
  return true;
}

inline void run_block() {
  std::memset(machine.shared, 0xFF, machine.shared_size);  // NaN in every floating-point format
  for (Thread& thread : machine.threads) thread.state = State::ready;
  do {
    for (bool progress = true; progress;) {
      progress = false;
      shuffle_turns(machine.warps);
      for (unsigned warp : machine.warps) progress |= run_warp(warp * warpSize);
    }
  } while (release_block());
}

}  // namespace simt
