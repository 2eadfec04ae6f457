// Runs the kernels of checks_kernels.cuh. Free of Python, as the compiler reports its plain accesses to the checks.
#include "selftest_checks.h"

#include <map>

#include "checks_kernels.cuh"

namespace {

const std::map<std::string, void (*)(float*, unsigned*)> kernels{
    {"last_block", last_block<Fault::none>},
    {"no_release", last_block<Fault::no_release>},
    {"late_release", last_block<Fault::late_release>},
    {"block_release", last_block<Fault::block_release>},
    {"no_acquire", last_block<Fault::no_acquire>},
    {"early_acquire", last_block<Fault::early_acquire>},
    {"block_ticket", last_block<Fault::block_ticket>},
    {"no_barrier", last_block<Fault::no_barrier>},
    {"read_only", last_block<Fault::read_only>},
    {"chain", chain},
    {"exchange", exchange<true>},
    {"exchange_by_shuffle", exchange<false>},
    {"half_of_a_warp", half_of_a_warp},
    {"written_in_turn", overwritten<true>},
    {"overwritten", overwritten<false>},
    {"neighbours", neighbours},
    {"half_written", half_written},
    {"left_over", left_over},
    {"unwritten_global", unwritten_global},
    {"same_place", same_place},
    {"across_blocks", across_blocks},
    {"writes_input", writes_input},
};

}  // namespace

void run_checked(const std::string& kernel, unsigned blocks, unsigned threads, float* memory, unsigned* ticket) {
  SIMT_LAUNCH(kernels.at(kernel), blocks, threads, memory, ticket);
}
