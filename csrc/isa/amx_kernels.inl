// The kernels of an instruction set with tiles: what isa/amx.cpp and its emulation share. Comes after the size of a
// vector and a struct `Tiles`.

#include "../vector.h"
#include "widened_pairs.inl"  // for kernels.inl; products in bfloat16 don't get there
#include "amx_product.inl"
static_assert(panel_vectors * lanes<float> == 4 * 16, "a panel is what four tiles of sums hold");

#define LATCHWORK_TILES
#include "../kernels.inl"
#undef LATCHWORK_TILES

// A block has as many rows as a tile. Without tiles it is worked off in parts, as large as the registers like them.
inline void run_block(const Stage& stage, const Work<float>& work, const Block& block) {
    const int32_t most = table<float>().block;
    const int32_t parts = work.bfloat16 ? 1 : (block.rows + most - 1) / most;
    for (int32_t part = 0, row = 0; part < parts; ++part) {
        const int32_t size = (block.rows - row + parts - part - 1) / (parts - part);
        run_stage<float>(stage, work,
                         {block.row + row, size, block.column, block.columns, block.temp_stride, block.token + row});
        row += size;
    }
}

inline Kernels<float> table_with_tiles() {
    Kernels<float> kernels = table<float>();
    kernels.block = tile_rows;
    kernels.run = &run_block;
    return kernels;
}
