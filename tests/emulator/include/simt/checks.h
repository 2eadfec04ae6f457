// Looks at accesses one by one, where switched on: races, and reads of what nobody has written. Sees what CUDA's
// functions load and store in any build; plain accesses, such as those to shared memory, in instrumented ones (hooks.cpp).
#pragma once
#include "history.h"

namespace simt {

enum class Contents { input, values, nothing };  // not to be written; there before a launch; to be written first

// Who was at a byte.
struct Byte {
  Access write{};
  std::vector<Access> reads{};  // since then, the last of each thread
};

struct Buffer {
  uintptr_t begin;
  size_t bytes;
  std::string name;
  Contents contents;
  std::vector<Byte> seen{};
};

inline std::vector<Buffer> buffers;

inline Buffer* find_buffer(uintptr_t address) {
  for (Buffer& buffer : buffers) {
    if (address - buffer.begin < buffer.bytes) return &buffer;
  }
  return nullptr;
}

struct Checks {
  bool on = false;
  bool instrumented = false;    // whether plain accesses are seen, too
  bool partly_written = false;  // whether reading what nobody has written is allowed in shared memory
  std::vector<Byte> shared{};
};
inline Checks checks;

// An access by the thread whose turn it is.
class Look {
 public:
  Look(bool writes, size_t bytes, Kind kind, const char* function, const Site& site)
      : writes_(writes),
        reads_(!writes || kind >= Kind::block_atomic),
        bytes_(bytes),
        function_(function),
        rank_(machine.current->rank),
        now_(history.now(rank_, kind, site)) {}

  void at_shared(size_t begin) {
    if (checks.shared.empty()) checks.shared.resize(machine.shared_size);
    for (size_t i = begin; i < std::min(begin + bytes_, machine.shared_size); ++i) {
      Byte& byte = checks.shared[i];
      // What came before the last barrier, or from another block, is past.
      if (!byte.reads.empty() && byte.reads.back().interval < history.interval) byte.reads.clear();
      const bool is_written = byte.write.interval >= history.block;
      if (!is_written) byte.write = {};
      at(byte, is_written || checks.partly_written, i, "shared memory");
    }
  }

  void at_global(Buffer& buffer, size_t begin) {
    if (buffer.contents == Contents::input) {
      if (writes_) refuse(begin, buffer.name, ": it is an input");
      return;
    }
    if (buffer.seen.empty()) buffer.seen.resize(buffer.bytes);
    for (size_t i = begin; i < std::min(begin + bytes_, buffer.bytes); ++i) {
      Byte& byte = buffer.seen[i];
      if (!byte.reads.empty() && byte.reads.back().interval < history.launch) byte.reads.clear();
      at(byte, buffer.contents == Contents::values || byte.write.interval != 0, i, buffer.name);
    }
  }

 private:
  void at(Byte& byte, bool is_written, size_t offset, const std::string& memory) {
    if (reads_ && !is_written) refuse(offset, memory, ": nobody has written it");
    compare(byte.write, offset, memory);
    if (writes_) {
      for (const Access& read : byte.reads) compare(read, offset, memory);
      byte.reads.clear();
      byte.write = now_;
      return;
    }
    const auto is_mine = [this](const Access& read) { return read.thread == rank_ && read.block == now_.block; };
    const auto mine = std::find_if(byte.reads.rbegin(), byte.reads.rend(), is_mine);
    if (mine == byte.reads.rend()) {
      byte.reads.push_back(now_);
    } else if (mine->kind != Kind::read_only) {
      *mine = now_;
    }
  }

  // With an earlier access; one of the two is a write.
  void compare(const Access& other, size_t offset, const std::string& memory) const {
    if (other.interval == 0 || other.interval < history.launch) return;
    if (other.kind == Kind::read_only || now_.kind == Kind::read_only)
      refuse(offset, memory, ": __ldg must not read what the launch writes, here or by ", describe_other(other));
    const Kind weaker = std::min(other.kind, now_.kind);
    if (weaker == Kind::atomic || (weaker == Kind::block_atomic && other.block == now_.block)) return;
    if (history.is_past(other, rank_)) return;
    if (other.block == now_.block) {
      const std::string since = history.barrier.line() == 0 ? "" : text(", since ", describe(history.barrier));
      refuse(offset, memory, ": a race with ", describe_other(other), " in interval ", history.interval - history.block,
             " between barriers", since);
    }
    refuse(offset, memory, ": a race with ", describe_other(other), ": it takes a fence, then an atomic after that, ",
           "and an atomic, then a fence before this");
  }

  template <typename... Parts>
  [[noreturn]] void refuse(size_t offset, const std::string& memory, const Parts&... parts) const {
    throw Error(text(describe(now_.site), ": ", function_, " of ", bytes_, " bytes by ", describe(*machine.current),
                     " at byte ", offset, " of ", memory, parts..., " [block ", describe(blockIdx), " of ",
                     describe_kernel(), "]"));
  }

  std::string describe_other(const Access& other) const {
    const auto index = [](uint64_t rank, const dim3& size) {
      return uint3{static_cast<unsigned>(rank % size.x), static_cast<unsigned>(rank / size.x % size.y),
                   static_cast<unsigned>(rank / size.x / size.y)};
    };
    const std::string block = text(" of block ", describe(index(other.block, gridDim)));
    return text("thread ", describe(index(other.thread, blockDim)), other.block == now_.block ? "" : block, " at ",
                describe(other.site));
  }

  bool writes_, reads_;
  size_t bytes_;
  const char* function_;
  unsigned rank_;
  Access now_;
};

inline bool is_shared(uintptr_t address) {
  return address - reinterpret_cast<uintptr_t>(machine.shared) < machine.shared_size;
}

inline void see(const void* pointer, bool writes, size_t bytes, Kind kind, const char* function, const Site& site) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const bool shared = is_shared(address);
  Buffer* const buffer = shared ? nullptr : find_buffer(address);
  if (!shared && buffer == nullptr) return;
  Look look(writes, bytes, kind, function, site);
  if (shared) {
    look.at_shared(address - reinterpret_cast<uintptr_t>(machine.shared));
  } else {
    look.at_global(*buffer, address - buffer->begin);
    if (kind == Kind::atomic) history.pass_on(machine.current->rank, address);
  }
}

}  // namespace simt
