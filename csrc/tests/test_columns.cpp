// Programs whose columns are independent: a few rows are divided by columns over the threads.
#include "scene.h"
#include "sketch.h"

using namespace latchwork;

namespace {

// State c. Each step: c' = f · c + x · b · k.  Vector b, constant k. Row sum and accumulator: c'.
sketch::Sketch sketched(int width) {
    using namespace sketch;
    Sketch made;
    made.buffers = {width, width, width, width};
    made.temps = 2;
    made.externals = {width, width, width};
    made.vectors = {width};
    made.accumulators = {width};
    made.states = {{0, 1}};
    made.constants = {2};
    made.row_sums = {3};
    made.stage(width, {{Code::k_load, temp(0), external(0), {}, {}},
                       {Code::k_mul, temp(0), temp(0), buffer(0), {}},
                       {Code::k_load, temp(1), external(1), {}, {}},
                       {Code::k_mul, temp(1), temp(1), vector(0), {}},
                       {Code::k_mul, temp(1), temp(1), buffer(2), {}},
                       {Code::k_add, buffer(1), temp(0), temp(1), {}},
                       {Code::k_store, external(2), buffer(1), {}, {}},
                       {Code::k_add, buffer(3), buffer(3), buffer(1), {}},
                       {Code::k_accumulate, accumulator(0), buffer(1), {}, {}}});
    return made;
}

template <class T>
void check_columns(const Isa& isa, int width, const scene::Options& options, bool backward) {
    const Program program = sketched(width).program();
    CHECK(program.columnwise);
    const scene::Scene over(options, 3);
    arrays::Random random(4);
    const int64_t rows = options.rows;
    const std::vector<T> f = arrays::numbers<T>(random, over.tokens * width),
                         x = arrays::numbers<T>(random, over.tokens * width);
    const std::vector<T> bias = arrays::numbers<T>(random, width), constant = arrays::numbers<T>(random, rows * width);
    const std::vector<T> initial = arrays::numbers<T>(random, rows * width),
                         fresh = arrays::numbers<T>(random, rows * width);
    std::vector<std::vector<T>> first;
    for (const int threads : {1, 2, 3, 4, 7, 16}) {
        const scene::Under under({threads, threads > 2, threads == 7 ? &scene::whole_team : nullptr});
        arrays::Guarded<T> y(over.tokens * width), final(rows * width), sums(rows * width), total(width),
            fresh_gradients(rows * width);
        std::copy(fresh.begin(), fresh.end(), fresh_gradients.data());
        Call call = over.call();
        call.backward = backward;
        call.threads = threads;
        call.externals = {{const_cast<T*>(f.data()), width, false},
                          {const_cast<T*>(x.data()), width, false},
                          {y.data(), width, false}};
        call.states = {initial.data()};
        call.final_states = {final.data()};
        if (options.resets) call.fresh = {fresh.data()}, call.fresh_gradients = {fresh_gradients.data()};
        call.constants = {constant.data()};
        call.row_sums = {sums.data()};
        call.accumulators = {total.data()};
        call.vectors = {bias.data()};
        run<T>(program, isa, call);
        for (const auto* array : {&y, &final, &sums, &total, &fresh_gradients}) array->check_zones();
        const std::vector<std::vector<T>> all{y.values(), final.values(), sums.values(), fresh_gradients.values()};
        if (first.empty()) {
            first = all;
            if (backward || options.resets) continue;
            std::vector<double> totals(static_cast<size_t>(width));
            for (int64_t r = 0; r < rows; ++r)
                for (int64_t j = 0; j < width; ++j) {
                    double c = initial[static_cast<size_t>(r * width + j)];
                    for (int64_t s = 0; s < over.length(r); ++s) {
                        const auto at = static_cast<size_t>(over.token(r, s) * width + j);
                        c = f[at] * c +
                            double{x[at]} * bias[static_cast<size_t>(j)] * constant[static_cast<size_t>(r * width + j)];
                        CHECK_NEAR(y[static_cast<int64_t>(at)], c, 1e-6);
                        totals[static_cast<size_t>(j)] += c;
                    }
                    CHECK_NEAR(final[r * width + j], c, 1e-6);
                }
            for (int j = 0; j < width; ++j) CHECK_NEAR(total[j], totals[static_cast<size_t>(j)], 1e-5);
        }
        for (size_t i = 0; i < all.size(); ++i) CHECK(arrays::same_bits(all[i], first[i]));
    }
}

}  // namespace

int main() {
    // What a reduction or a product reads is not independent of the other columns.
    sketch::Sketch whole = sketched(70);
    whole.buffers.push_back(1);
    whole.stages.front().instructions.push_back({Code::k_sum, sketch::row_scalar(4), sketch::buffer(1), {}, {}});
    CHECK(!whole.program().columnwise);
    for (const Isa* isa : arrays::usable())
        for (const int width : {1, 64, 65, 130, 300})
            for (const bool backward : {false, true}) {
                for (const int64_t rows : {0, 1, 2, 5}) check_columns<float>(*isa, width, {rows, 4}, backward);
                check_columns<double>(*isa, width, {2, 5, true, true, true, true}, backward);
                check_columns<float>(*isa, width, {6, 5, true, true, false, true}, backward);
            }
    return 0;
}
