// x86-64 with AVX2 and FMA.
#include "common.h"

namespace latchwork {
namespace avx2_isa {

inline constexpr int vector_bytes = 32;
inline constexpr int panel_vectors = 2;  // 6 rows times these, and a row of the weight, fit the registers

#include "../vector.h"
#include "widened_pairs.inl"
#include "../kernels.inl"

}  // namespace avx2_isa

const Isa& avx2() {
    static const Isa isa{"avx2", avx2_isa::table<float>(), avx2_isa::table<double>()};
    return isa;
}

}  // namespace latchwork
