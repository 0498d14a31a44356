// Every operation of vector.h, through programs of one instruction, against <cmath> in double.
#include <cstdio>
#include <functional>
#include <limits>
#include <string>

#include "arrays.h"
#include "engine.h"
#include "sketch.h"

using namespace latchwork;
using namespace sketch;

namespace {

constexpr int width = 61;  // not a multiple of any vector: the last columns are done one by one where they are stored
constexpr double infinity = std::numeric_limits<double>::infinity();

struct Unary {
    const char* name;
    Code code;
    double (*exact)(double);
};

double relu(double x) { return x <= 0 ? 0.0 : x; }
double sign(double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x; }
double logistic(double x) { return 1 / (1 + std::exp(-x)); }

#define BY_CMATH(name) {#name, Code::k_##name, [](double x) -> double { return std::name(x); }}
const Unary unaries[] = {
    {"copy", Code::k_copy, [](double x) { return x; }},
    {"neg", Code::k_neg, [](double x) { return -x; }},
    {"abs", Code::k_abs, [](double x) { return std::fabs(x); }},
    BY_CMATH(sqrt),
    {"rsqrt", Code::k_rsqrt, [](double x) { return 1 / std::sqrt(x); }},
    {"reciprocal", Code::k_reciprocal, [](double x) { return 1 / x; }},
    BY_CMATH(exp),
    BY_CMATH(expm1),
    BY_CMATH(log),
    BY_CMATH(log1p),
    {"sigmoid", Code::k_sigmoid, &logistic},
    BY_CMATH(tanh),
    {"relu", Code::k_relu, &relu},
    BY_CMATH(erf),
    BY_CMATH(sin),
    BY_CMATH(cos),
    {"sign", Code::k_sign, &sign},
    BY_CMATH(floor),
    {"not", Code::k_not, [](double x) { return x == 0 ? 1.0 : 0.0; }},
};

double truth(bool x) { return x ? 1.0 : 0.0; }

struct Binary {
    const char* name;
    Code code;
    double (*exact)(double, double);
};
const Binary binaries[] = {
    {"add", Code::k_add, [](double a, double b) { return a + b; }},
    {"sub", Code::k_sub, [](double a, double b) { return a - b; }},
    {"mul", Code::k_mul, [](double a, double b) { return a * b; }},
    {"div", Code::k_div, [](double a, double b) { return a / b; }},
    // A NaN on either side is the answer: unlike std::fmax.
    {"maximum", Code::k_maximum, [](double a, double b) { return a != a || b != b ? a + b
                                                                 : a > b          ? a
                                                                                  : b; }},
    {"minimum", Code::k_minimum, [](double a, double b) { return a != a || b != b ? a + b
                                                                 : a < b          ? a
                                                                                  : b; }},
    {"lt", Code::k_lt, [](double a, double b) { return truth(a < b); }},
    {"le", Code::k_le, [](double a, double b) { return truth(a <= b); }},
    {"gt", Code::k_gt, [](double a, double b) { return truth(a > b); }},
    {"ge", Code::k_ge, [](double a, double b) { return truth(a >= b); }},
    {"eq", Code::k_eq, [](double a, double b) { return truth(a == b); }},
    {"ne", Code::k_ne, [](double a, double b) { return truth(a != b); }},
    {"and", Code::k_and, [](double a, double b) { return truth(a != 0 && b != 0); }},
    {"or", Code::k_or, [](double a, double b) { return truth(a != 0 || b != 0); }},
    {"pow", Code::k_pow, [](double a, double b) -> double { return std::pow(a, b); }},
};

// Every exponent and both signs, ordinary numbers close together, and what is special.
template <class T>
std::vector<T> inputs() {
    using Limits = std::numeric_limits<T>;
    std::vector<T> list{T(0),
                        -T(0),
                        T(1),
                        -T(1),
                        Limits::infinity(),
                        -Limits::infinity(),
                        Limits::quiet_NaN(),
                        -Limits::quiet_NaN(),
                        Limits::max(),
                        Limits::lowest(),
                        Limits::min(),
                        -Limits::min(),
                        Limits::denorm_min(),
                        -Limits::denorm_min(),
                        Limits::epsilon(),
                        T(88.5),
                        T(88.72284),
                        T(-87.3),
                        T(-88),
                        T(-103.5),
                        T(-150),
                        T(8),
                        T(-8),
                        T(9.1),
                        T(-0.99999994),
                        T(-1.0000001)};
    arrays::Random random(11);
    for (int i = 0; i < 60000; ++i) {
        if constexpr (sizeof(T) == 4)
            list.push_back(std::bit_cast<float>(static_cast<uint32_t>(random.bits())));
        else
            list.push_back(std::bit_cast<double>(random.bits()));
    }
    for (int i = 0; i < 20000; ++i) list.push_back(static_cast<T>(-100 + i * 0.01));
    for (int i = 0; i < 20000; ++i) list.push_back(static_cast<T>(-1 + i * 1e-4));
    list.resize((list.size() + width - 1) / width * width, T(0.5));
    return list;
}

template <class T>
std::vector<T> through(const Isa& isa, Code code, const std::vector<const std::vector<T>*>& arrays) {
    Sketch made;
    made.temps = 3;
    made.externals.assign(arrays.size() + 1, width);
    Stage stage{width, {}, {}};
    Instruction instruction{code, temp(0), {}, {}, {}};
    Arg* const args[] = {&instruction.a, &instruction.b, &instruction.c};
    for (size_t i = 0; i < arrays.size(); ++i) {
        const int index = static_cast<int>(i);
        stage.instructions.push_back({Code::k_load, temp(index), external(index), {}, {}});
        *args[i] = temp(index);
    }
    stage.instructions.push_back(instruction);
    stage.instructions.push_back({Code::k_store, external(static_cast<int>(arrays.size())), temp(0), {}, {}});
    made.stages.push_back(stage);
    std::vector<T> out(arrays.front()->size());
    Call call;
    call.rows = static_cast<int64_t>(out.size()) / width;
    call.steps = 1;
    for (const auto* array : arrays) call.externals.push_back({const_cast<T*>(array->data()), width, false});
    call.externals.push_back({out.data(), width, false});
    const Program program = made.program();
    run<T>(program, isa, call);
    return out;
}

// Within a relative error, or two of the least normal number off where the answer is about as small as that. An answer
// too large for the type is infinite; where it is within the error of that, either will do.
template <class T>
bool agrees(T got, double expected, double error) {
    using Limits = std::numeric_limits<T>;
    if (std::isnan(expected)) return std::isnan(got);
    const double largest = Limits::max();
    if (std::fabs(expected) > largest) {
        const bool signs = std::signbit(expected) == std::signbit(got);
        return signs && (std::isinf(got) || (!std::isinf(expected) && std::fabs(got) >= largest * (1 - error)));
    }
    if (std::isinf(got)) return std::fabs(expected) >= largest * (1 - error);
    return std::fabs(got - expected) <= error * std::fabs(expected) + (error > 0 ? 2 * double{Limits::min()} : 0.0);
}

template <class T>
void check_functions(const Isa& isa, double bound) {
    const std::vector<T> x = inputs<T>();
    for (const auto& [name, code, exact] : unaries) {
        const bool plain = code == Code::k_copy || code == Code::k_neg || code == Code::k_abs || code == Code::k_relu ||
                           code == Code::k_sign || code == Code::k_floor || code == Code::k_not;
        const std::vector<T> y = through<T>(isa, code, {&x});
        for (size_t i = 0; i < x.size(); ++i) {
            if (agrees<T>(y[i], exact(x[i]), plain ? 0.0 : bound)) continue;
            std::fprintf(stderr, "%s: %s(%.9g) = %.9g, expected %.9g\n", isa.name, name, double{x[i]}, double{y[i]},
                         exact(x[i]));
            CHECK(!"a function of vector.h is off");
        }
    }
    // Every special number against each, then each number against another.
    std::vector<T> a, b;
    for (int i = 0; i < 26; ++i)
        for (int j = 0; j < 26; ++j) a.push_back(x[static_cast<size_t>(i)]), b.push_back(x[static_cast<size_t>(j)]);
    for (size_t i = 0; i < x.size(); ++i) a.push_back(x[i]), b.push_back(x[x.size() - 1 - i]);
    for (size_t i = 0; i < x.size(); ++i) a.push_back(x[i]), b.push_back(x[(i * 7) % x.size()]);
    a.resize(a.size() / width * width);
    b.resize(a.size());
    for (const auto& [name, code, exact] : binaries) {
        const std::vector<T> y = through<T>(isa, code, {&a, &b});
        for (size_t i = 0; i < a.size(); ++i) {
            const bool rounds = code == Code::k_add || code == Code::k_sub || code == Code::k_mul ||
                                code == Code::k_div || code == Code::k_pow;
            if (agrees<T>(y[i], exact(a[i], b[i]), rounds ? bound : 0.0)) continue;
            std::fprintf(stderr, "%s: %s(%.9g, %.9g) = %.9g, expected %.9g\n", isa.name, name, double{a[i]},
                         double{b[i]}, double{y[i]}, exact(a[i], b[i]));
            CHECK(!"an operation of vector.h is off");
        }
    }
    const std::vector<T> chosen = through<T>(isa, Code::k_where, {&a, &b, &a});
    for (size_t i = 0; i < a.size(); ++i) CHECK(arrays::same_bits(&chosen[i], a[i] != 0 ? &b[i] : &a[i], 1));
}

}  // namespace

int main() {
    for (const Isa* isa : arrays::usable()) {
        check_functions<float>(*isa, 4e-7);
        check_functions<double>(*isa, 1e-15);
    }
    return 0;
}
