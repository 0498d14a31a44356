// Any machine: 16-byte vectors, which every compiler can make (SSE2, NEON).
#include "common.h"

namespace latchwork {
namespace portable_isa {

inline constexpr int vector_bytes = 16;
inline constexpr int panel_vectors = 2;  // 6 rows times these, and a row of the weight, fit the registers

#include "../vector.h"
#include "widened_pairs.inl"
#include "../kernels.inl"

}  // namespace portable_isa

const Isa& portable() {
    static const Isa isa{"portable", portable_isa::table<float>(), portable_isa::table<double>()};
    return isa;
}

}  // namespace latchwork
