// Products by tiles, with the instructions emulated: the kernels of isa/amx.cpp, compiled from the same source for any
// processor. And what is made of what a processor and a system say about tiles.
#include <utility>

#include "amx.h"
#include "amx_emulated.h"
#include "isa/amx_shape.h"
#include "isa/common.h"
#include "lstm.h"
#include "products.h"

namespace latchwork {
namespace amx_emulated {
namespace {

// Vectors for any processor. So many of them in a panel are right for tiles alone, so only those are tested here.
inline constexpr int vector_bytes = 16;
inline constexpr int panel_vectors = 16;

struct Tiles {
    static void configure(const TileShapes& shapes) { ::tiles::configure(&shapes); }
    template <int tile>
    static void load(const void* from, int64_t stride) {
        ::tiles::load(tile, from, stride);
    }
    template <int tile>
    static void store(void* to, int64_t stride) {
        ::tiles::store(tile, to, stride);
    }
    template <int sum, int a, int b>
    static void dot() {
        ::tiles::dot(sum, a, b);
    }
    static void release() { ::tiles::release(); }
};

#include "isa/amx_kernels.inl"

}  // namespace
}  // namespace amx_emulated
}  // namespace latchwork

using namespace latchwork;

namespace {

const Isa& emulated() {
    static const Isa isa{"amx, emulated", amx_emulated::table_with_tiles(), amx_emulated::table<double>()};
    return isa;
}

void check_facts() {
    static int asked = 0;
    TileFacts facts;
    facts.tiles = facts.bfloat16 = facts.enabled = true;
    facts.registers = 8, facts.rows = 16, facts.row_bytes = 64;
    facts.ask = [] { return ++asked, 0; };
    CHECK(tiles_missing(facts).empty() && asked == 1);
    const auto missing = [&facts](auto change) {
        TileFacts other = facts;
        change(other);
        CHECK(!tiles_missing(other).empty());
    };
    missing([](TileFacts& f) { f.tiles = false; });
    missing([](TileFacts& f) { f.bfloat16 = false; });
    missing([](TileFacts& f) { f.registers = 4; });
    missing([](TileFacts& f) { f.rows = 8; });
    missing([](TileFacts& f) { f.row_bytes = 32; });
    missing([](TileFacts& f) { f.enabled = false; });
    missing([](TileFacts& f) { f.ask = nullptr; });
    CHECK(asked == 1);  // nothing is asked for in vain
    missing([](TileFacts& f) { f.ask = [] { return 22; }; });
    // What this machine says is one or the other, and the same each time.
    CHECK(tiles_missing(tile_facts()) == tiles_missing(tile_facts()));
}

}  // namespace

int main() {
    check_facts();
    Memory::poison(true);
    products::check_all<float>(emulated(), true);
    const auto& counts = tiles::counts;
    CHECK(counts.dot > 0 && counts.configure > counts.release && counts.release > 0);
    CHECK(!tiles::registers().configured);
    for (const int hidden : {1, 21, 40, 65})
        lstm::check<float>(emulated(), hidden, {23, 4, true, true, false, true}, true);
    lstm::check<float>(emulated(), 70, {40, 2}, true);
    lstm::check_contagion<float>(emulated(), true);
    return 0;
}
