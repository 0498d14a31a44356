// run(): forwards over every kind of rows, for every instruction set and number type.
#include "lstm.h"

using namespace latchwork;

namespace {

// Externals in bfloat16: read as they are, written to the nearest.
void check_bfloat16_arrays(const Isa& isa) {
    using namespace sketch;
    const int width = 83, offset = 3;
    arrays::Random random(9);
    Sketch made;
    made.temps = 1;
    made.externals = {width + offset, width};
    made.numbers = {0.1, 3.0};
    made.stage(width, {{Code::k_load, temp(0), external(0, offset), {}, {}},
                       {Code::k_mul, temp(0), temp(0), number(0), {}},
                       {Code::k_store, external(1), temp(0), {}, {}}});
    std::vector<uint16_t> in(5 * (width + offset));
    for (auto& one : in) one = static_cast<uint16_t>(random.bits());
    arrays::Guarded<uint16_t> out(5 * width);
    Call call;
    call.rows = 5;
    call.steps = 1;
    call.externals = {{in.data(), width + offset, true}, {out.data(), width, true}};
    run<float>(made.program(), isa, call);
    out.check_zones();
    for (int r = 0; r < 5; ++r)
        for (int j = 0; j < width; ++j) {
            const float exact = arrays::widened(in[static_cast<size_t>(r * (width + offset) + offset + j)]) * 0.1f;
            const float got = arrays::widened(out[r * width + j]);
            CHECK(std::isnan(exact) ? std::isnan(got) : out[r * width + j] == rounded(exact));
        }
    // One number for all columns.
    made.stages.front().instructions.back().a = number(1);
    run<float>(made.program(), isa, call);
    for (int i = 0; i < 5 * width; ++i) CHECK(arrays::widened(out[i]) == 3.0f);
}

void check_refusals() {
    const int hidden = 4;
    const scene::Scene over({2, 3, true, false, false, true}, 1);
    const lstm::Inputs<float> in(hidden, over, 3);
    const Program program = lstm::sketched(hidden).program();
    lstm::Outputs<float> out(hidden, 2, over.tokens);
    const auto valid = [&] {
        Call call = over.call();
        call.externals = {{const_cast<float*>(in.projected.data()), 16, false},
                          {out.h.data(), 4, false},
                          {out.normal.data(), 4, false}};
        call.states = call.fresh = {in.states[0].data(), in.states[1].data()};
        call.final_states = {out.final_h.data(), out.final_c.data()};
        call.constants = {in.mask.data()};
        call.row_sums = {out.row_sum.data()};
        call.accumulators = {out.total.data()};
        call.weights = {in.weight.data()};
        call.vectors = {in.bias.data()};
        return call;
    };
    run<float>(program, portable(), valid());
    const auto refused = [&](auto change) {
        Call call = valid();
        change(call);
        CHECK_THROWS(std::invalid_argument, run<float>(program, portable(), call));
    };
    refused([](Call& c) { c.rows = -1; });
    refused([](Call& c) { c.steps = -1; });
    refused([](Call& c) { c.externals.pop_back(); });
    refused([](Call& c) { c.externals[1].width = 5; });
    refused([](Call& c) { c.states.clear(); });
    refused([](Call& c) { c.final_states.pop_back(); });
    refused([](Call& c) { c.fresh.clear(); });
    refused([](Call& c) { c.backward = true; });
    refused([](Call& c) { c.constants.clear(); });
    refused([](Call& c) { c.row_sums.clear(); });
    refused([](Call& c) { c.accumulators.clear(); });
    refused([](Call& c) { c.weights.clear(); });
    refused([](Call& c) { c.vectors.clear(); });
    const int64_t negative[2] = {3, -1}, long_row[2] = {4, 3};
    refused([&](Call& c) { c.lengths = negative; });
    refused([&](Call& c) { c.lengths = long_row; });
    Call narrow = valid();
    narrow.externals.front().bfloat16 = true;
    CHECK_THROWS(std::invalid_argument, run<double>(program, portable(), narrow));
}

}  // namespace

int main() {
    for (const Isa* isa : arrays::usable()) {
        for (const auto& options : scene::all_options()) {
            lstm::check<float>(*isa, 21, options, false);
            lstm::check<float>(*isa, 21, options, true);
            lstm::check<double>(*isa, 21, options, false);
        }
        for (const int hidden : {1, 16, 65, 130}) {
            const scene::Options ragged{9, 4, true, true, false, true};
            lstm::check<float>(*isa, hidden, ragged, false);
            lstm::check<float>(*isa, hidden, ragged, true);
            lstm::check<double>(*isa, hidden, ragged, false);
        }
        // Fewer rows than threads, and products large enough for these to share the columns.
        for (int i = 0; i < 3; ++i) {
            lstm::check<float>(*isa, 200, {1, 6}, false);
            lstm::check<double>(*isa, 200, {1, 3, false, false, true, true}, false);
        }
        // More rows than a task takes at once.
        lstm::check<float>(*isa, 40, {900, 2, false}, false);
        lstm::check<float>(*isa, 40, {900, 2, true, true}, true);
        lstm::check_contagion<float>(*isa, false);
        lstm::check_contagion<float>(*isa, true);
        lstm::check_contagion<double>(*isa, false);
        check_bfloat16_arrays(*isa);
    }
    check_refusals();
    return 0;
}
