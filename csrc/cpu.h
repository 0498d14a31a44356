// Which instruction sets this processor and this build have, and which one is taken.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace latchwork {

// An instruction set that was looked for; `missing` says why it can't be used, and is empty where it can.
struct Found {
    const Isa* isa;
    const char* name;
    std::string missing;
};

// In rising order of preference; the last one without `missing` is the best.
const std::vector<Found>& instruction_sets();

// The set of that name; "" takes the best, "avx512" the best of that family's float32. Throws std::invalid_argument with
// the reason where it can't be had.
const Isa& instruction_set(const std::string& name);

}  // namespace latchwork
