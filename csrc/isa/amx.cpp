// x86-64 with AVX-512, its bfloat16, and AMX: products in bfloat16 by tiles of 16 rows and 16 columns.
//
// No machine with AMX was at hand. The logic is tested with the instructions emulated, and this file's machine code by
// a handler that carries out each of them where the processor refuses it (csrc/tests/test_amx*.cpp). They have never
// run on a processor that has them, and nothing is known of their speed.
#define LATCHWORK_WIDE512
#include "common.h"

#include <immintrin.h>

#include <utility>

#include "../amx.h"
#include "amx_shape.h"

namespace latchwork {
namespace amx_isa {

inline constexpr int vector_bytes = 64;
inline constexpr int panel_vectors = 4;

// Not by the intrinsics: GCC's are such statements too, without the word that memory is read.
struct Tiles {
    static void configure(const TileShapes& shapes) { asm volatile("ldtilecfg %0" ::"m"(shapes) : "memory"); }
    template <int tile>
    static void load(const void* from, int64_t stride) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(tile) : "memory");
    }
    template <int tile>
    static void store(void* to, int64_t stride) {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(tile) : "memory");
    }
    // sum += a · b, over the pairs of a row of `a` and the rows of `b`.
    template <int sum, int a, int b>
    static void dot() {
        asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sum), "i"(a), "i"(b));
    }
    static void release() { asm volatile("tilerelease" ::: "memory"); }
};

#include "amx_kernels.inl"

}  // namespace amx_isa

const Isa& amx() {
    static const Isa isa{"amx", amx_isa::table_with_tiles(), amx_isa::table<double>()};
    return isa;
}

}  // namespace latchwork
