// Decoding: a program that is not sound is refused by std::invalid_argument, whatever the numbers are.
#include <stdexcept>

#include "lstm.h"

using namespace latchwork;
using namespace sketch;

namespace {

bool decodes(const std::vector<int64_t>& code, const std::vector<double>& numbers) {
    try {
        const Program program(code, numbers);
        return true;
    } catch (const std::invalid_argument& error) {
        CHECK(*error.what() != 0);
        return false;
    }
}

template <class Change>
void refused(const Sketch& valid, Change change) {
    CHECK(decodes(valid.code(), valid.numbers));
    Sketch made = valid;
    change(made);
    CHECK(!decodes(made.code(), made.numbers));
}

void check_one_by_one() {
    const Sketch valid = lstm::sketched(6);
    refused(valid, [](Sketch& s) { s.buffers[0] = 0; });
    refused(valid, [](Sketch& s) { s.buffers[1] = 7; });
    refused(valid, [](Sketch& s) { s.temps = 4; });
    refused(valid, [](Sketch& s) { s.temps = -1; });
    refused(valid, [](Sketch& s) { s.externals[0] = 23; });
    refused(valid, [](Sketch& s) { s.vectors[0] = 23; });
    refused(valid, [](Sketch& s) { s.accumulators[0] = 8; });
    refused(valid, [](Sketch& s) { s.states[1].second = 10; });
    refused(valid, [](Sketch& s) { s.states[0].first = -1; });
    refused(valid, [](Sketch& s) { s.states[0].first = 7; });
    refused(valid, [](Sketch& s) { s.constants[0] = 10; });
    refused(valid, [](Sketch& s) { s.row_sums[0] = -1; });
    refused(valid, [](Sketch& s) { s.numbers.pop_back(); });
    refused(valid, [](Sketch& s) { s.products[0].terms.clear(); });
    refused(valid, [](Sketch& s) { s.products[0].width = 5; });
    refused(valid, [](Sketch& s) { s.products[0].terms[0].buffer = 10; });
    refused(valid, [](Sketch& s) { s.products[0].terms[0].weight = -1; });
    refused(valid, [](Sketch& s) { s.products[0].terms[0].heads = 2; });
    refused(valid, [](Sketch& s) { s.products[0].terms[0].columns = 5; });
    refused(valid, [](Sketch& s) { s.products[0].terms[0].rows = 0; });
    // A product of another width than its stage's.
    refused(valid, [](Sketch& s) { s.products[0].width = s.products[0].terms[0].rows = 5; });
    refused(valid, [](Sketch& s) { s.products.pop_back(); });
    refused(valid, [](Sketch& s) { s.stages[0].width = 7; });
    refused(valid, [](Sketch& s) { s.stages[0].width = 0; });
    refused(valid, [](Sketch& s) { s.stages[0].width = 5; });
    // Arguments of a kind that the operation can't take.
    const auto first = [](Sketch& s) -> Instruction& { return s.stages[1].instructions[1]; };
    CHECK(valid.stages[1].instructions[1].code == Code::k_product);
    refused(valid, [&](Sketch& s) { first(s).a = temp(1); });
    refused(valid, [&](Sketch& s) { first(s).a.offset = 1; });
    refused(valid, [&](Sketch& s) { first(s).b = external(0); });
    refused(valid, [&](Sketch& s) { first(s).c = product(1); });
    refused(valid, [&](Sketch& s) { first(s).c = buffer(0, 1); });
    refused(valid, [&](Sketch& s) { first(s).code = Code::k_copy; });
    refused(valid, [&](Sketch& s) { first(s).dst = number(0); });
    refused(valid, [&](Sketch& s) { first(s).dst = external(1); });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_copy, temp(0), {}, {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_copy, temp(0), external(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_copy, temp(0), accumulator(0), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_copy, row_scalar(0), temp(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_copy, buffer(9, 1), temp(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_add, temp(0), temp(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_where, temp(0), temp(1), temp(1), {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_load, temp(0), buffer(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_store, buffer(1), temp(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_put, temp(1), temp(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_put, buffer(9, 1), temp(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_sum, temp(0), temp(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_accumulate, buffer(1), temp(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_accumulate, accumulator(0, 4), temp(1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_load, temp(0), external(0, 19), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_copy, temp(0), vector(0, 19), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_copy, temp(0), scalar(0, 24), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s) = {Code::k_copy, temp(0), temp(-1), {}, {}}; });
    refused(valid, [&](Sketch& s) { first(s).code = static_cast<Code>(static_cast<int>(Code::k_accumulate) + 1); });
    refused(valid, [&](Sketch& s) { first(s).code = static_cast<Code>(-1); });
    refused(valid, [&](Sketch& s) { first(s).a.space = static_cast<Space>(static_cast<int>(Space::accumulator) + 1); });
}

void check_lengths() {
    const Sketch valid = lstm::sketched(6);
    const std::vector<int64_t> code = valid.code();
    for (size_t length = 0; length < code.size(); ++length)
        CHECK(!decodes({code.begin(), code.begin() + static_cast<long>(length)}, valid.numbers));
    std::vector<int64_t> longer = code;
    longer.push_back(0);
    CHECK(!decodes(longer, valid.numbers));
    CHECK(decodes(Sketch().code(), {}));
}

// Numbers changed at random: refused or not, never a crash. What decodes isn't run.
void check_mutations() {
    const Sketch valid = lstm::sketched(6);
    const std::vector<int64_t> code = valid.code();
    arrays::Random random(17);
    int passed = 0;
    for (int i = 0; i < 20000; ++i) {
        std::vector<int64_t> mutant = code;
        for (int n = random.whole(1, 3); n; --n) {
            const auto at = static_cast<size_t>(random.whole(0, static_cast<int>(mutant.size()) - 1));
            const int64_t wild[] = {0, -1, INT64_MIN, INT64_MAX, INT32_MAX, int64_t{1} << 32, 1 << 20, 1 << 30};
            switch (random.whole(0, 6)) {
                case 0: mutant[at] = wild[random.whole(0, 7)]; break;
                case 1: mutant[at] = static_cast<int64_t>(random.bits()); break;
                case 2: mutant.erase(mutant.begin() + static_cast<long>(at)); break;
                case 3: mutant.insert(mutant.begin() + static_cast<long>(at), random.whole(0, 12)); break;
                case 4: mutant[at] = random.whole(0, 60); break;
                default: mutant[at] += random.whole(-2, 2); break;
            }
        }
        passed += decodes(mutant, valid.numbers);
    }
    CHECK(passed > 500 && passed < 10000);  // some changes are sound: another operation, another weight
}

}  // namespace

int main() {
    check_one_by_one();
    check_lengths();
    check_mutations();
    return 0;
}
