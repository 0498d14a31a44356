#include "amx.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define LATCHWORK_CPUID
#include <cpuid.h>
#endif
#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace latchwork {
namespace {

#if defined(__linux__) && defined(__x86_64__)
// The registers are 8 KiB, which Linux 5.16 and newer save only for processes that asked.
int ask_linux() {
    constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request, tile_data) == 0 ? 0 : errno;
}
#endif

}  // namespace

TileFacts tile_facts() {
    TileFacts facts;
#ifdef LATCHWORK_CPUID
    unsigned a = 0, b = 0, c = 0, d = 0;
    const bool can_save = __get_cpuid_count(1, 0, &a, &b, &c, &d) && (c >> 27 & 1u);
    if (can_save) {
        unsigned low = 0, high = 0;
        asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        facts.enabled = (low >> 17 & 3u) == 3u;  // both the shapes and the data
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        facts.bfloat16 = d >> 22 & 1u;
        facts.tiles = d >> 24 & 1u;
    }
    if (facts.tiles && __get_cpuid_count(0x1d, 1, &a, &b, &c, &d)) {
        facts.registers = static_cast<int>(b >> 16);
        facts.row_bytes = static_cast<int>(b & 0xffffu);
        facts.rows = static_cast<int>(c & 0xffffu);
    }
#endif
#if defined(__linux__) && defined(__x86_64__)
    facts.ask = &ask_linux;
#endif
    return facts;
}

std::string tiles_missing(const TileFacts& facts) {
    if (!facts.tiles) return "this processor has no amx-tile";
    if (!facts.bfloat16) return "this processor has no amx-bf16";
    if (facts.registers < 8 || facts.rows < 16 || facts.row_bytes < 64)
        return "this processor's tiles are smaller than 8 of 16 rows of 64 bytes";
    if (!facts.enabled) return "the system does not save tiles";
    if (!facts.ask) return "how to ask this system for tiles is not known";
    if (const int error = facts.ask(); error) return "the system refused tiles (error " + std::to_string(error) + ")";
    return "";
}

}  // namespace latchwork
