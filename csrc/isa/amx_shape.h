// How the eight tile registers are cut: what LDTILECFG reads.
#pragma once

#include <cstdint>

namespace latchwork {

// Palette 1: at most 16 rows of 64 bytes each. A tile with neither rows nor bytes is not in use.
struct alignas(64) TileShapes {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t bytes[16] = {};  // of a row
    uint8_t rows[16] = {};
};
static_assert(sizeof(TileShapes) == 64);

}  // namespace latchwork
