#include "cpu.h"

#include <stdexcept>

#include "amx.h"

namespace latchwork {
namespace {

#if defined(__x86_64__)
#define LATCHWORK_HAS(feature) (__builtin_cpu_supports(feature) ? "" : "this processor has no " feature)
#else
#define LATCHWORK_HAS(feature) "not an x86-64 processor"
#endif

[[maybe_unused]] std::string first(std::initializer_list<const char*> reasons) {
    for (const char* reason : reasons)
        if (*reason) return reason;
    return "";
}

std::vector<Found> look() {
    std::vector<Found> found{{&portable(), "portable", ""}};
    [[maybe_unused]] const char* left_out = "not in this build";
#ifdef LATCHWORK_HAVE_AVX2
    found.push_back({&avx2(), "avx2", first({LATCHWORK_HAS("avx2"), LATCHWORK_HAS("fma"), LATCHWORK_HAS("f16c")})});
#else
    found.push_back({nullptr, "avx2", left_out});
#endif
#ifdef LATCHWORK_HAVE_AVX512
    const std::string wide = first({LATCHWORK_HAS("avx512f"), LATCHWORK_HAS("avx512bw"), LATCHWORK_HAS("avx512dq"),
                                    LATCHWORK_HAS("avx512vl"), LATCHWORK_HAS("fma")});
    found.push_back({&avx512(), "avx512", wide});
#else
    found.push_back({nullptr, "avx512", left_out});
#endif
#if defined(LATCHWORK_HAVE_AVX512) && defined(LATCHWORK_HAVE_AVX512BF16)
    found.push_back({&avx512bf16(), "avx512bf16", wide.empty() ? LATCHWORK_HAS("avx512bf16") : wide});
#else
    found.push_back({nullptr, "avx512bf16", left_out});
#endif
#if defined(LATCHWORK_HAVE_AVX512) && defined(LATCHWORK_HAVE_AMX)
    found.push_back({&amx(), "amx", wide.empty() ? first({LATCHWORK_HAS("avx512bf16")}) : wide});
    if (found.back().missing.empty()) found.back().missing = tiles_missing(tile_facts());
#else
    found.push_back({nullptr, "amx", left_out});
#endif
    return found;
}

}  // namespace

const std::vector<Found>& instruction_sets() {
    static const std::vector<Found> found = look();
    return found;
}

const Isa& instruction_set(const std::string& name) {
    const Isa* best = nullptr;
    std::string names;
    for (const auto& found : instruction_sets()) {
        names += (names.empty() ? "" : ", ") + std::string(found.name);
        if (name == found.name) {
            if (!found.missing.empty()) throw std::invalid_argument(name + ": " + found.missing);
            return *found.isa;
        }
        if (found.missing.empty()) best = found.isa;
    }
    if (!name.empty()) throw std::invalid_argument("instruction set \"" + name + "\", expected one of " + names);
    return *best;
}

}  // namespace latchwork
