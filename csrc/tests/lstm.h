// An LSTM and a normalised copy of its output, as a program written by hand, and the same by plain loops in double.
#pragma once

#include "scene.h"
#include "sketch.h"

namespace lstm {

using namespace latchwork;

// States h, c. Externals: 0 the projected values [4 H], 1 h [H], 2 the normalised copy [H]. Constant: a mask on h
// before its product. Vector: a bias [4 H]. Row sum: h over the steps. Accumulator: h over rows and steps, [H + 3],
// from 3 on.
inline sketch::Sketch sketched(int hidden) {
    using namespace sketch;
    enum { h, h_next, c, c_next, mask, masked, row_sum, total, largest, centred };
    Sketch made;
    made.buffers = {hidden, hidden, hidden, hidden, hidden, hidden, hidden, 1, 1, hidden};
    made.temps = 5;
    made.externals = {4 * hidden, hidden, hidden};
    made.vectors = {4 * hidden};
    made.accumulators = {hidden + 3};
    made.states = {{h, h_next}, {c, c_next}};
    made.constants = {mask};
    made.row_sums = {row_sum};
    made.numbers = {1.0 / hidden, 0.25};
    for (int gate = 0; gate < 4; ++gate)
        made.products.push_back({hidden, {dense(masked, 0, hidden, hidden, int64_t{gate} * hidden * hidden)}});
    made.stage(hidden, {{Code::k_mul, buffer(masked), buffer(h), buffer(mask), {}}});
    Stage gates{hidden, {}, {}};
    for (int gate = 0; gate < 4; ++gate) {
        const auto put = [&](Instruction instruction) { gates.instructions.push_back(instruction); };
        const Arg own = temp(gate), bias = vector(0, gate * hidden);
        put({Code::k_load, temp(4), external(0, gate * hidden), {}, {}});
        if (gate == 0) {  // a product alone
            put({Code::k_product, own, product(gate), {}, {}});
            put({Code::k_add, own, own, temp(4), {}});
            put({Code::k_add, own, bias, own, {}});
        } else if (gate == 1) {  // a product that begins with both; the result takes the place of one of them
            put({Code::k_copy, own, temp(4), {}, {}});
            put({Code::k_product, own, product(gate), bias, own});
        } else if (gate == 2) {
            put({Code::k_product, own, product(gate), temp(4), {}});
            put({Code::k_add, own, bias, own, {}});
        } else {  // one that begins with numbers for whole rows
            put({Code::k_product, own, product(gate), number(1), row_scalar(c)});
            put({Code::k_add, own, own, temp(4), {}});
            put({Code::k_add, own, bias, own, {}});
        }
        put({gate == 2 ? Code::k_tanh : Code::k_sigmoid, own, own, {}, {}});
    }
    for (const Instruction& instruction :
         std::initializer_list<Instruction>{{Code::k_mul, temp(0), temp(0), temp(2), {}},
                                            {Code::k_mul, temp(1), temp(1), buffer(c), {}},
                                            {Code::k_add, buffer(c_next), temp(0), temp(1), {}},
                                            {Code::k_tanh, temp(0), buffer(c_next), {}, {}},
                                            {Code::k_mul, buffer(h_next), temp(0), temp(3), {}},
                                            {Code::k_store, external(1), buffer(h_next), {}, {}},
                                            {Code::k_sum, row_scalar(total), buffer(h_next), {}, {}},
                                            {Code::k_add, buffer(row_sum), buffer(row_sum), buffer(h_next), {}},
                                            {Code::k_accumulate, accumulator(0, 3), buffer(h_next), {}, {}}})
        gates.instructions.push_back(instruction);
    made.stages.push_back(gates);
    made.stage(hidden, {{Code::k_mul, temp(0), row_scalar(total), number(0), {}},
                        {Code::k_sub, buffer(centred), buffer(h_next), temp(0), {}},
                        {Code::k_abs, temp(1), buffer(centred), {}, {}},
                        {Code::k_amax, row_scalar(largest), temp(1), {}, {}}});
    made.stage(hidden, {{Code::k_add, temp(0), row_scalar(largest), number(1), {}},
                        {Code::k_div, temp(0), buffer(centred), temp(0), {}},
                        {Code::k_store, external(2), temp(0), {}, {}}});
    return made;
}

template <class T>
struct Inputs {
    Inputs(int hidden, const scene::Scene& over, uint64_t seed) : hidden(hidden) {
        arrays::Random random(seed);
        const int64_t rows = over.options.rows;
        projected = arrays::numbers<T>(random, over.tokens * 4 * hidden, 2.0);
        weight = arrays::numbers<T>(random, int64_t{4} * hidden * hidden, 1 / std::sqrt(hidden));
        bias = arrays::numbers<T>(random, 4 * hidden);
        mask = arrays::numbers<T>(random, rows * hidden);
        for (int i = 0; i < 2; ++i) {
            states.push_back(arrays::numbers<T>(random, rows * hidden));
            fresh.push_back(arrays::numbers<T>(random, rows * hidden));
        }
        // Tokens that no row takes are never read.
        const std::vector<bool> taken = over.taken();
        for (int64_t t = 0; t < over.tokens; ++t)
            if (!taken[static_cast<size_t>(t)])
                std::fill_n(projected.begin() + t * 4 * hidden, 4 * hidden, std::numeric_limits<T>::quiet_NaN());
    }
    int hidden;
    std::vector<T> projected, weight, bias, mask;
    std::vector<std::vector<T>> states, fresh;
};

template <class T>
struct Outputs {
    Outputs(int hidden, int64_t rows, int64_t tokens)
        : h(tokens * hidden),
          normal(tokens * hidden),
          final_h(rows * hidden),
          final_c(rows * hidden),
          row_sum(rows * hidden),
          total(hidden + 3) {}
    arrays::Guarded<T> h, normal, final_h, final_c, row_sum, total;
};

// `row` >= 0: that row alone.
template <class T>
Outputs<T> run(const Program& program, const Isa& isa, const scene::Scene& over, const Inputs<T>& in, bool bfloat16,
               const scene::Manner& manner, int64_t row = -1) {
    const scene::Under under(manner);
    Call call = over.call(row);
    const int64_t H = in.hidden, first = std::max<int64_t>(row, 0) * H;
    Outputs<T> out(in.hidden, call.rows, over.tokens);
    call.threads = manner.threads;
    call.bfloat16 = bfloat16;
    call.externals = {
        {const_cast<T*>(in.projected.data()), 4 * H, false}, {out.h.data(), H, false}, {out.normal.data(), H, false}};
    for (int i = 0; i < 2; ++i) {
        call.states.push_back(in.states[static_cast<size_t>(i)].data() + first);
        if (over.options.resets) call.fresh.push_back(in.fresh[static_cast<size_t>(i)].data() + first);
    }
    call.final_states = {out.final_h.data(), out.final_c.data()};
    call.constants = {in.mask.data() + first};
    call.row_sums = {out.row_sum.data()};
    call.accumulators = {out.total.data()};
    call.weights = {in.weight.data()};
    call.vectors = {in.bias.data()};
    latchwork::run<T>(program, isa, call);
    for (const auto* array : {&out.h, &out.normal, &out.final_h, &out.final_c, &out.row_sum, &out.total})
        array->check_zones();
    return out;
}

struct Reference {
    std::vector<double> h, normal, final_h, final_c, row_sum, total;
};

template <class T>
Reference reference(const scene::Scene& over, const Inputs<T>& in, bool bfloat16) {
    const auto H = static_cast<size_t>(in.hidden);
    const auto rows = static_cast<size_t>(over.options.rows), tokens = static_cast<size_t>(over.tokens);
    const auto operand = [&](double x) { return bfloat16 ? arrays::as_bfloat16(x) : x; };
    Reference out{std::vector<double>(tokens * H), std::vector<double>(tokens * H), std::vector<double>(rows * H),
                  std::vector<double>(rows * H),   std::vector<double>(rows * H),   std::vector<double>(H + 3)};
    const auto logistic = [](double x) { return 1 / (1 + std::exp(-x)); };
    for (size_t r = 0; r < rows; ++r) {
        std::vector<double> h(in.states[0].begin() + static_cast<long>(r * H),
                              in.states[0].begin() + static_cast<long>((r + 1) * H));
        std::vector<double> c(in.states[1].begin() + static_cast<long>(r * H),
                              in.states[1].begin() + static_cast<long>((r + 1) * H));
        const auto refresh = [&](int64_t token) {
            if (!over.reset(token)) return;
            for (size_t j = 0; j < H; ++j) h[j] = in.fresh[0][r * H + j], c[j] = in.fresh[1][r * H + j];
        };
        for (int64_t s = 0; s < over.length(static_cast<int64_t>(r)); ++s) {
            const int64_t token = over.token(static_cast<int64_t>(r), s);
            const size_t t = static_cast<size_t>(token);
            if (!over.options.reversed) refresh(token);
            std::vector<double> gates(4 * H);
            const double c_before = c[0];
            for (size_t g = 0; g < 4 * H; ++g) {
                gates[g] = double{in.projected[t * 4 * H + g]} + in.bias[g];
                for (size_t k = 0; k < H; ++k)
                    gates[g] += operand(in.weight[g * H + k]) * operand(h[k] * in.mask[r * H + k]);
            }
            for (size_t j = 0; j < H; ++j) gates[3 * H + j] += 0.25 + c_before;
            double mean = 0, largest = 0;
            for (size_t j = 0; j < H; ++j) {
                c[j] = logistic(gates[j]) * std::tanh(gates[2 * H + j]) + logistic(gates[H + j]) * c[j];
                h[j] = logistic(gates[3 * H + j]) * std::tanh(c[j]);
                out.h[t * H + j] = h[j];
                out.row_sum[r * H + j] += h[j];
                out.total[3 + j] += h[j];
                mean += h[j] / static_cast<double>(H);
            }
            for (size_t j = 0; j < H; ++j) largest = std::max(largest, std::fabs(h[j] - mean));
            for (size_t j = 0; j < H; ++j) out.normal[t * H + j] = (h[j] - mean) / (largest + 0.25);
            if (over.options.reversed) refresh(token);
        }
        for (size_t j = 0; j < H; ++j) out.final_h[r * H + j] = h[j], out.final_c[r * H + j] = c[j];
    }
    return out;
}

// ---- checks

template <class T>
void check_near(const arrays::Guarded<T>& got, const std::vector<double>& expected, double tolerance) {
    for (size_t i = 0; i < expected.size(); ++i) CHECK_NEAR(got[static_cast<int64_t>(i)], expected[i], tolerance);
}

template <class T>
void check_same(const arrays::Guarded<T>& a, const arrays::Guarded<T>& b) {
    CHECK(arrays::same_bits(a.data(), b.data(), a.size()));
}

template <class T>
void check_tokens(const arrays::Guarded<T>& got, const std::vector<double>& expected, const std::vector<bool>& taken,
                  int64_t width, double tolerance) {
    for (size_t t = 0; t < taken.size(); ++t) {
        const int64_t first = static_cast<int64_t>(t) * width;
        if (!taken[t]) CHECK(got.untouched(first, width));
        for (int64_t j = first; taken[t] && j < first + width; ++j)
            CHECK_NEAR(got[j], expected[static_cast<size_t>(j)], tolerance);
    }
}

template <class T>
void check(const Isa& isa, int hidden, const scene::Options& options, bool bfloat16) {
    const scene::Scene over(options, static_cast<uint64_t>(hidden));
    const Inputs<T> in(hidden, over, 3);
    const Program program = sketched(hidden).program();
    const auto out = run<T>(program, isa, over, in, bfloat16, scene::manners().front());
    const Reference expected = reference(over, in, bfloat16);
    const double tolerance = bfloat16 ? 1e-2 : sizeof(T) == 8 ? 1e-12 : 1e-5;
    const auto taken = over.taken();
    check_tokens(out.h, expected.h, taken, hidden, tolerance);
    check_tokens(out.normal, expected.normal, taken, hidden, 4 * tolerance);
    check_near(out.final_h, expected.final_h, tolerance);
    check_near(out.final_c, expected.final_c, tolerance);
    check_near(out.row_sum, expected.row_sum, tolerance);
    check_near(out.total, expected.total, tolerance * 10);
    for (const auto& manner : scene::manners()) {
        const auto other = run<T>(program, isa, over, in, bfloat16, manner);
        check_same(out.h, other.h);
        check_same(out.normal, other.normal);
        check_same(out.final_h, other.final_h);
        check_same(out.final_c, other.final_c);
        check_same(out.row_sum, other.row_sum);
        check_near(other.total, expected.total, tolerance * 10);
        // For a number of threads, sums over rows have the same bits again and again.
        check_same(other.total, run<T>(program, isa, over, in, bfloat16, manner).total);
    }
    for (int64_t r = 0; r < options.rows; r += 4) {
        const auto alone = run<T>(program, isa, over, in, bfloat16, scene::manners().front(), r);
        for (int64_t s = 0; s < over.length(r); ++s) {
            const int64_t first = over.token(r, s) * hidden;
            CHECK(arrays::same_bits(out.h.data() + first, alone.h.data() + first, hidden));
            CHECK(arrays::same_bits(out.normal.data() + first, alone.normal.data() + first, hidden));
        }
        CHECK(arrays::same_bits(out.final_h.data() + r * hidden, alone.final_h.data(), hidden));
        CHECK(arrays::same_bits(out.row_sum.data() + r * hidden, alone.row_sum.data(), hidden));
    }
}

// A NaN in one row never reaches another.
template <class T>
void check_contagion(const Isa& isa, bool bfloat16) {
    const int hidden = 21;
    const scene::Scene over({19, 4}, 1);
    Inputs<T> in(hidden, over, 3);
    const Program program = sketched(hidden).program();
    const auto out = run<T>(program, isa, over, in, bfloat16, scene::manners().front());
    for (const int64_t ill : {0, 7, 18}) {
        const T kept = in.states[0][static_cast<size_t>(ill * hidden + 2)];
        in.states[0][static_cast<size_t>(ill * hidden + 2)] = std::numeric_limits<T>::quiet_NaN();
        const auto other = run<T>(program, isa, over, in, bfloat16, scene::manners().front());
        for (int64_t r = 0; r < 19; ++r)
            for (int64_t i = r * 4 * hidden; i < (r + 1) * 4 * hidden; ++i)
                CHECK(r == ill ? std::isnan(other.h[i]) : arrays::same_bits(&out.h[i], &other.h[i], 1));
        in.states[0][static_cast<size_t>(ill * hidden + 2)] = kept;
    }
}

}  // namespace lstm
