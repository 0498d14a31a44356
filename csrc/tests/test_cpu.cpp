// Which instruction sets there are, and which one a name gives.
#include <stdexcept>
#include <string>

#include "arrays.h"

using namespace latchwork;

namespace {

std::string refusal(const std::string& name) {
    try {
        instruction_set(name);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "";
}

template <class T>
void check_kernels(const Kernels<T>& kernels) {
    CHECK(kernels.run && kernels.mirror);
    CHECK(kernels.block >= 1 && kernels.block <= max_block);
    CHECK(kernels.panel >= 1 && chunk % kernels.panel == 0);
}

}  // namespace

int main() {
    const auto& sets = instruction_sets();
    const char* const names[] = {"portable", "avx2", "avx512", "avx512bf16", "amx"};
    CHECK(sets.size() == 5);
    CHECK(&instruction_sets() == &sets);
    const Isa* best = nullptr;
    for (size_t i = 0; i < sets.size(); ++i) {
        CHECK(sets[i].name == std::string(names[i]));
        if (sets[i].missing.empty()) {
            CHECK(sets[i].isa && sets[i].isa->name == std::string(names[i]));
            CHECK(&instruction_set(names[i]) == sets[i].isa);
            check_kernels(sets[i].isa->single);
            check_kernels(sets[i].isa->twofold);
            best = sets[i].isa;
        } else {
            CHECK(refusal(names[i]) == names[i] + (": " + sets[i].missing));
        }
    }
    CHECK(sets.front().missing.empty());
    CHECK(&instruction_set("") == best);
    for (const char* name : {"nonsense", "AVX2", "avx", " ", "portable "}) {
        const std::string said = refusal(name);
        CHECK(said.find(name) != std::string::npos &&
              said.find("portable, avx2, avx512, avx512bf16, amx") != std::string::npos);
    }
    return 0;
}
