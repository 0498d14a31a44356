// Tiles (AMX): the kernels, and whether processor and system let us use them.
#pragma once

#include <cstdint>
#include <string>

#include "kernels.h"

namespace latchwork {

#ifdef LATCHWORK_HAVE_AMX
const Isa& amx();
#endif

// What was found out about tiles, one thing after the other.
struct TileFacts {
    bool tiles = false, bfloat16 = false;  // the processor has the instructions
    int registers = 0, rows = 0, row_bytes = 0;
    bool enabled = false;    // the system keeps the registers when it switches threads
    int (*ask)() = nullptr;  // asks the system for this process; 0, or the number of an error. none: not this system
};

// Looks at the processor; asks for nothing yet.
TileFacts tile_facts();

// Why tiles can't be used, or "". Asks the system, where everything before that holds: what it grants stays granted to
// all threads of the process.
std::string tiles_missing(const TileFacts& facts);

}  // namespace latchwork
