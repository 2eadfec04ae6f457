// Small kernels by name, for tests of the emulator's checks.
#pragma once
#include <string>

void run_checked(const std::string& kernel, unsigned blocks, unsigned threads, float* memory, unsigned* ticket);
