// The machine code of isa/amx.cpp. On a processor without AMX each of its instructions is refused by a signal; a
// handler reads the instruction that was refused, does what it says, and goes on behind it. So what the compiler and
// the assembler made is run, operands and all; the processor's own idea of these instructions is not.
#include "amx.h"
#include "amx_emulated.h"
#include "lstm.h"
#include "products.h"

#if defined(LATCHWORK_HAVE_AMX) && defined(__linux__) && defined(__x86_64__)
#include <csignal>
#include <ucontext.h>

namespace {

using namespace latchwork;

int64_t general(const ucontext_t& context, int number) {
    constexpr int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                               REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return context.uc_mcontext.gregs[order[number]];
}

// The memory operand behind an opcode: where it is (without an index), the index, and where the instruction ends.
struct Place {
    int64_t base = 0, index = 0;
    const uint8_t* end = nullptr;
};

Place decoded(const ucontext_t& context, const uint8_t* modrm, int more_base, int more_index) {
    Place place;
    const int mode = *modrm >> 6, low = *modrm & 7;
    const uint8_t* at = modrm + 1;
    int32_t far = 0;
    if (low == 4) {
        const int scale = *at >> 6, index = (*at >> 3 & 7) | more_index, base = *at & 7;
        ++at;
        if (index != 4) place.index = general(context, index) << scale;
        if (base == 5 && mode == 0) {
            std::memcpy(&far, at, 4);
            place.base = far;
            at += 4;
        } else {
            place.base = general(context, base | more_base);
        }
    } else if (low == 5 && mode == 0) {  // from where the instruction ends
        std::memcpy(&far, at, 4);
        at += 4;
        place.base = reinterpret_cast<int64_t>(at) + far;
    } else {
        place.base = general(context, low | more_base);
    }
    if (mode == 1) place.base += static_cast<int8_t>(*at++);
    if (mode == 2) {
        std::memcpy(&far, at, 4);
        place.base += far;
        at += 4;
    }
    place.end = at;
    return place;
}

// VEX.128, map 0F38, W0: the prefix says which of the instructions with one opcode it is.
void carry_out(int, siginfo_t*, void* pointer) {
    auto& context = *static_cast<ucontext_t*>(pointer);
    const auto* code = reinterpret_cast<const uint8_t*>(context.uc_mcontext.gregs[REG_RIP]);
    CHECK(code[0] == 0xc4 && (code[1] & 0x1f) == 2 && (code[2] & 0x84) == 0);  // otherwise not one of ours
    const int prefix = code[2] & 3, third = ~code[2] >> 3 & 15, opcode = code[3];
    CHECK(code[1] & 0x80);  // tiles have no higher numbers
    const int more_index = code[1] & 0x40 ? 0 : 8, more_base = code[1] & 0x20 ? 0 : 8;
    const uint8_t* modrm = code + 4;
    const int tile = *modrm >> 3 & 7;
    const bool memory = *modrm >> 6 != 3;
    const uint8_t* end = modrm + 1;
    if (opcode == 0x49 && prefix == 0 && memory && tile == 0) {
        const Place place = decoded(context, modrm, more_base, more_index);
        tiles::configure(reinterpret_cast<const void*>(place.base + place.index));
        end = place.end;
    } else if (opcode == 0x49 && prefix == 0 && *modrm == 0xc0) {
        tiles::release();
    } else if (opcode == 0x4b && memory && (*modrm & 7) == 4 && (prefix == 3 || prefix == 2)) {
        const Place place = decoded(context, modrm, more_base, more_index);
        if (prefix == 3)
            tiles::load(tile, reinterpret_cast<const void*>(place.base), place.index);
        else
            tiles::store(tile, reinterpret_cast<void*>(place.base), place.index);
        end = place.end;
    } else if (opcode == 0x5c && prefix == 2 && !memory) {
        tiles::dot(tile, *modrm & 7, third);
    } else {
        CHECK(!"an instruction that is not known here");
    }
    context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(end);
}

const Found& found(const std::string& name) {
    for (const auto& one : instruction_sets())
        if (one.name == name) return one;
    CHECK(!"no such instruction set");
    std::abort();
}

}  // namespace

int main() {
    if (!found("avx512bf16").missing.empty()) {
        std::printf("not run: no AVX-512 with bfloat16 here\n");
        return 0;
    }
    const bool own = found("amx").missing.empty();
    if (!own) {
        struct sigaction action{};
        action.sa_sigaction = &carry_out;
        action.sa_flags = SA_SIGINFO;
        CHECK(sigaction(SIGILL, &action, nullptr) == 0);
    }
    Memory::poison(true);
    products::check_all<float>(amx(), true);
    const auto& counts = tiles::counts;
    const int64_t dots = counts.dot;
    CHECK(own || (dots > 0 && counts.configure > counts.release && counts.release > 0));
    CHECK(!tiles::registers().configured);
    products::check_all<float>(amx(), false);
    products::check_all<double>(amx(), false);
    lstm::check<float>(amx(), 40, {23, 3, true, true, false, true}, false);
    CHECK(counts.dot == dots);
    lstm::check<float>(amx(), 40, {23, 3, true, true, false, true}, true);
    const int64_t total = counts.configure + counts.load + counts.store + counts.dot + counts.release;
    std::printf(own ? "by this processor's own tiles\n" : "%lld tile instructions carried out by hand\n",
                static_cast<long long>(total));
    return 0;
}
#else
int main() { return 0; }
#endif
