// run() backwards: states from the last step to the first, gradients of fresh states collected at resets. The program
// is linear, in two stages, with a product that reads what the first of them computed.
#include "scene.h"
#include "sketch.h"

using namespace latchwork;

namespace {

// State g. Each step: t = g + x;  y = t · a;  g' = 0.5 t + M y.  Row sum: t.  Accumulator: y.
Program linear(int width) {
    using namespace sketch;
    Sketch made;
    made.buffers = {width, width, width, width, width};
    made.temps = 2;
    made.externals = {width, width, width};
    made.accumulators = {width};
    made.states = {{0, 1}};
    made.row_sums = {4};
    made.numbers = {0.5};
    made.products = {{width, {dense(2, 0, width, width)}}};
    made.stage(width, {{Code::k_load, temp(0), external(0), {}, {}},
                       {Code::k_add, buffer(3), buffer(0), temp(0), {}},
                       {Code::k_load, temp(1), external(1), {}, {}},
                       {Code::k_mul, buffer(2), buffer(3), temp(1), {}},
                       {Code::k_store, external(2), buffer(2), {}, {}},
                       {Code::k_add, buffer(4), buffer(4), buffer(3), {}},
                       {Code::k_accumulate, accumulator(0), buffer(2), {}, {}}});
    made.stage(width, {{Code::k_product, temp(0), product(0), {}, {}},
                       {Code::k_mul, temp(1), number(0), buffer(3), {}},
                       {Code::k_add, temp(0), temp(0), temp(1), {}},
                       {Code::k_put, buffer(1), temp(0), {}, {}}});
    return made.program();
}

template <class T>
void check_backward(const Isa& isa, int width, const scene::Options& options) {
    const scene::Scene over(options, static_cast<uint64_t>(width) + 7);
    arrays::Random random(2);
    const auto size = static_cast<size_t>(width);
    const int64_t rows = options.rows;
    const std::vector<T> x = arrays::numbers<T>(random, over.tokens * width),
                         a = arrays::numbers<T>(random, over.tokens * width);
    const std::vector<T> last = arrays::numbers<T>(random, rows * width),
                         before = arrays::numbers<T>(random, rows * width);
    const std::vector<T> matrix = arrays::numbers<T>(random, width * width, 1.0 / width);

    std::vector<double> y(x.size()), first(last.size()), fresh(before.begin(), before.end()), sums(last.size()),
        total(size);
    for (int64_t r = 0; r < rows; ++r) {
        const auto at = static_cast<size_t>(r * width);
        std::vector<double> g(last.begin() + r * width, last.begin() + (r + 1) * width), t(size);
        const auto collect = [&](int64_t token) {
            if (!over.reset(token)) return;
            for (size_t j = 0; j < size; ++j) fresh[at + j] += g[j], g[j] = 0;
        };
        for (int64_t s = over.length(r) - 1; s >= 0; --s) {
            const int64_t token = over.token(r, s);
            const auto place = static_cast<size_t>(token * width);
            if (options.reversed) collect(token);
            for (size_t j = 0; j < size; ++j) {
                t[j] = g[j] + x[place + j];
                y[place + j] = t[j] * a[place + j];
                sums[at + j] += t[j];
                total[j] += y[place + j];
            }
            for (size_t j = 0; j < size; ++j) {
                g[j] = 0.5 * t[j];
                for (size_t k = 0; k < size; ++k) g[j] += matrix[j * size + k] * y[place + k];
            }
            if (!options.reversed) collect(token);
        }
        for (size_t j = 0; j < size; ++j) first[at + j] = g[j];
    }

    const Program program = linear(width);
    const double tolerance = sizeof(T) == 8 ? 1e-12 : 1e-5;
    std::vector<T> y_of_one, first_of_one, fresh_of_one;
    for (const auto& manner : scene::manners()) {
        const scene::Under under(manner);
        arrays::Guarded<T> got(over.tokens * width), got_first(rows * width), got_fresh(rows * width),
            got_sums(rows * width), got_total(width);
        std::copy(before.begin(), before.end(), got_fresh.data());
        Call call = over.call();
        call.backward = true;
        call.threads = manner.threads;
        call.externals = {{const_cast<T*>(x.data()), width, false},
                          {const_cast<T*>(a.data()), width, false},
                          {got.data(), width, false}};
        call.states = {last.data()};
        call.final_states = {got_first.data()};
        if (options.resets) call.fresh_gradients = {got_fresh.data()};
        call.row_sums = {got_sums.data()};
        call.accumulators = {got_total.data()};
        call.weights = {matrix.data()};
        run<T>(program, isa, call);
        for (const auto* array : {&got, &got_first, &got_fresh, &got_sums, &got_total}) array->check_zones();
        const auto taken = over.taken();
        for (size_t token = 0; token < taken.size(); ++token) {
            const auto place = static_cast<int64_t>(token) * width;
            if (!taken[token]) CHECK(got.untouched(place, width));
            for (int64_t j = place; taken[token] && j < place + width; ++j)
                CHECK_NEAR(got[j], y[static_cast<size_t>(j)], tolerance);
        }
        for (int64_t i = 0; i < rows * width; ++i) {
            CHECK_NEAR(got_first[i], first[static_cast<size_t>(i)], tolerance);
            CHECK_NEAR(got_fresh[i], fresh[static_cast<size_t>(i)], tolerance);
            CHECK_NEAR(got_sums[i], sums[static_cast<size_t>(i)], tolerance);
        }
        for (int j = 0; j < width; ++j) CHECK_NEAR(got_total[j], total[static_cast<size_t>(j)], tolerance * 10);
        if (y_of_one.empty()) {
            y_of_one = got.values(), first_of_one = got_first.values(), fresh_of_one = got_fresh.values();
        } else {
            CHECK(arrays::same_bits(y_of_one, got.values()));
            CHECK(arrays::same_bits(first_of_one, got_first.values()));
            CHECK(arrays::same_bits(fresh_of_one, got_fresh.values()));
        }
    }
}

}  // namespace

int main() {
    for (const Isa* isa : arrays::usable()) {
        for (const auto& options : scene::all_options()) {
            check_backward<float>(*isa, 19, options);
            check_backward<double>(*isa, 19, options);
        }
        for (const int width : {1, 16, 64, 131}) check_backward<float>(*isa, width, {9, 4, true, true, false, true});
        for (int i = 0; i < 3; ++i) check_backward<float>(*isa, 260, {1, 6, false, false, false, true});
        check_backward<float>(*isa, 40, {900, 2, true, false, true, true});
    }
    return 0;
}
