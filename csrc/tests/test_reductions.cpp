// Sums and maxima over the columns: NaN, infinities and every width, by whole rows and by one number for all columns.
#include <limits>

#include "scene.h"
#include "sketch.h"

using namespace latchwork;

namespace {

// Externals: x [width], then for sum and maximum of x, and of a number, [1] each.
template <class T>
void check_reductions(const Isa& isa, int width, int64_t rows) {
    using namespace sketch;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    Sketch made;
    made.buffers = {1, 1, 1, 1};
    made.temps = 1;
    made.externals = {width, 1, 1, 1, 1};
    made.numbers = {0.5};
    made.stage(width, {{Code::k_load, temp(0), external(0), {}, {}},
                       {Code::k_sum, row_scalar(0), temp(0), {}, {}},
                       {Code::k_amax, row_scalar(1), temp(0), {}, {}},
                       {Code::k_sum, row_scalar(2), number(0), {}, {}},
                       {Code::k_amax, row_scalar(3), number(0), {}, {}}});
    made.stage(1, {{Code::k_store, external(1), buffer(0), {}, {}},
                   {Code::k_store, external(2), buffer(1), {}, {}},
                   {Code::k_store, external(3), buffer(2), {}, {}},
                   {Code::k_store, external(4), buffer(3), {}, {}}});
    arrays::Random random(static_cast<uint64_t>(width));
    std::vector<T> x = arrays::numbers<T>(random, rows * width, 100.0);
    // Row by row one special number, in another place each time; then a row of nothing else.
    const double special[] = {NAN, infinity, -infinity, -0.0};
    for (int64_t r = 1; r + 1 < rows; ++r)
        x[static_cast<size_t>(r * width + random.whole(0, width - 1))] = static_cast<T>(special[r % 4]);
    std::fill(x.end() - width, x.end(), static_cast<T>(-infinity));
    arrays::Guarded<T> out[4] = {arrays::Guarded<T>(rows), arrays::Guarded<T>(rows), arrays::Guarded<T>(rows),
                                 arrays::Guarded<T>(rows)};
    Call call;
    call.rows = rows;
    call.steps = 1;
    call.externals = {{x.data(), width, false}};
    for (auto& one : out) call.externals.push_back({one.data(), 1, false});
    run<T>(made.program(), isa, call);
    for (const auto& one : out) one.check_zones();
    for (int64_t r = 0; r < rows; ++r) {
        double sum = 0, size = 0, largest = -infinity;
        for (int64_t j = r * width; j < (r + 1) * width; ++j) {
            const double value = x[static_cast<size_t>(j)];
            sum += value;
            size += std::fabs(value);
            largest = largest != largest || value != value ? NAN : std::max(largest, value);
        }
        const double got = out[0][r], top = out[1][r];
        if (std::isfinite(sum))
            CHECK(std::fabs(got - sum) <= (sizeof(T) == 8 ? 1e-15 : 1e-6) * size);
        else
            CHECK(std::isnan(sum) ? std::isnan(got) : got == sum);
        CHECK(std::isnan(largest) ? std::isnan(top) : top == largest);
        CHECK_NEAR(out[2][r], 0.5 * width, 1e-6);
        CHECK(out[3][r] == T(0.5));
    }
}

}  // namespace

int main() {
    for (const Isa* isa : arrays::usable())
        for (const int width : {1, 3, 16, 63, 64, 65, 127, 200, 333})
            for (const int64_t rows : {2, 6, 23, 61}) {
                check_reductions<float>(*isa, width, rows);
                check_reductions<double>(*isa, width, rows);
            }
    return 0;
}
