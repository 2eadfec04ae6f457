// Where in a kernel something happened, in words. Only errors ask: names come from the module's own debug information.
#pragma once
#include <dlfcn.h>

#include <cstdio>

#include "machine.h"

namespace simt {

// A line, or where no function of CUDA's was called, an address in the code.
struct Site {
  const void* code = nullptr;
  Where where{};
};

// The function at an address of this module, and the line of the innermost one inlined there; empty if not known.
struct Symbol {
  std::string function, line;
};

inline Symbol find_symbol(const void* code) {
  Dl_info library{};
  if (code == nullptr || dladdr(code, &library) == 0) return {};
  const auto offset = reinterpret_cast<uintptr_t>(code) - reinterpret_cast<uintptr_t>(library.dli_fbase);
  std::ostringstream command;
  command << "addr2line -Cfi -e '" << library.dli_fname << "' 0x" << std::hex << offset << " 2>/dev/null";
  FILE* const pipe = popen(command.str().c_str(), "r");
  if (pipe == nullptr) return {};
  // Two lines for each function, the innermost first: its name, then file:line.
  Symbol result;
  bool is_name = true;
  std::string line;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    if (is_name) result.function = line;
    if (!is_name && result.line.empty()) result.line = line.substr(line.rfind('/') + 1);
    is_name = !is_name;
    line.clear();
  }
  pclose(pipe);
  result.line = result.line.substr(0, result.line.find(' '));  // no "(discriminator 3)"
  return result;
}

inline std::string describe(const Site& site) {
  if (site.code == nullptr) return describe(site.where);
  // An address of return belongs to the call before it.
  const Symbol symbol = find_symbol(static_cast<const char*>(site.code) - 1);
  return symbol.line.empty() || symbol.line[0] == '?' ? text("address ", site.code) : symbol.line;
}

// Its name without parameters.
inline std::string describe_kernel() {
  const std::string name = find_symbol(machine.kernel_address).function;
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    depth += (name[i] == '<') - (name[i] == '>');
    if (name[i] != '(' || depth != 0 || name.compare(i, 21, "(anonymous namespace)") == 0) continue;
    return name.substr(0, i);
  }
  return name.empty() ? "kernel" : name;
}

}  // namespace simt
