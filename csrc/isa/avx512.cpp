// x86-64 with AVX-512 (F, BW, DQ, VL).
#define LATCHWORK_WIDE512
#include "common.h"

#include <immintrin.h>

namespace latchwork {
namespace avx512_isa {

inline constexpr int vector_bytes = 64;
inline constexpr int panel_vectors = 4;  // 6 rows times these, and a row of the weight, fit the registers

#include "../vector.h"
#include "widened_pairs.inl"
#include "../kernels.inl"

}  // namespace avx512_isa

const Isa& avx512() {
    static const Isa isa{"avx512", avx512_isa::table<float>(), avx512_isa::table<double>()};
    return isa;
}

}  // namespace latchwork
