// x86-64 with AVX-512 and its bfloat16 dot product.
#define LATCHWORK_WIDE512
#include "common.h"
#include <immintrin.h>

namespace latchwork {
namespace avx512bf16_isa {

inline constexpr int vector_bytes = 64;
inline constexpr int panel_vectors = 4;  // 6 rows times these, and a row of the weight, fit the registers

#include "../vector.h"
// Both products of a pair in one instruction, summed in float32.
inline Vec<float> dot_pairs(Vec<float> sum, int32_t pair, Int<float> column) {
    return cast<Vec<float>>(_mm512_dpbf16_ps(cast<__m512>(sum), cast<__m512bh>(_mm512_set1_epi32(pair)), cast<__m512bh>(column)));
}
#include "../kernels.inl"

}  // namespace avx512bf16_isa

const Isa& avx512bf16() {
    static const Isa isa{"avx512bf16", avx512bf16_isa::table<float>(), avx512bf16_isa::table<double>()};
    return isa;
}

}  // namespace latchwork
