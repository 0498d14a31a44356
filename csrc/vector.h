// Vectors of numbers by the compiler's vector extensions, and the functions that cells use, lane by lane.
//
// Included by each unit of isa/ inside its own namespace, so that the same text becomes different machine code. A lane's
// result depends on that lane alone: a row gives the same bits wherever it stands. The polynomials are least-squares
// fits made for this file; relative error in float32 below 4e-7. Doubles go through <cmath>.

template <class T, int L>
struct Types;
template <int L>
struct Types<float, L> {
    typedef float V __attribute__((vector_size(L * 4)));
    typedef int32_t I __attribute__((vector_size(L * 4)));
    typedef uint32_t U __attribute__((vector_size(L * 4)));
    typedef float Loose __attribute__((vector_size(L * 4), aligned(4), may_alias));
};
template <int L>
struct Types<double, L> {
    typedef double V __attribute__((vector_size(L * 8)));
    typedef int64_t I __attribute__((vector_size(L * 8)));
    typedef double Loose __attribute__((vector_size(L * 8), aligned(8), may_alias));
};

template <class T>
inline constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));
template <class T>
using Vec = typename Types<T, lanes<T>>::V;
template <class T>
using Int = typename Types<T, lanes<T>>::I;
using Bits = typename Types<float, lanes<float>>::U;  // may wrap around, which in Int is undefined

template <class T>
inline Vec<T> load(const T* p) {
    return *reinterpret_cast<const typename Types<T, lanes<T>>::Loose*>(p);
}
template <class T>
inline void store(T* p, Vec<T> v) {
    *reinterpret_cast<typename Types<T, lanes<T>>::Loose*>(p) = v;
}
template <class T>
inline Vec<T> all(T x) {
    return Vec<T>{} + x;
}
template <class T, class U>
inline T cast(U u) {
    static_assert(sizeof(T) == sizeof(U));
    return reinterpret_cast<T>(u);
}

template <class T, class F>
inline Vec<T> each(Vec<T> x, F f) {
    Vec<T> y;
    for (int i = 0; i < lanes<T>; ++i) y[i] = f(x[i]);
    return y;
}

// The sum of the lanes, neighbours by halves: a fixed order.
template <class T>
inline T across(Vec<T> x) {
#ifdef LATCHWORK_WIDE512
    if constexpr (sizeof(T) == 4) return _mm512_reduce_add_ps(cast<__m512>(x));
#endif
    for (int half = lanes<T> / 2; half; half /= 2)
        for (int i = 0; i < half; ++i) x[i] += x[i + half];
    return x[0];
}

template <class T>
inline Vec<T> root(Vec<T> x) {
#ifdef LATCHWORK_WIDE512
    if constexpr (sizeof(T) == 4) return cast<Vec<T>>(_mm512_sqrt_ps(cast<__m512>(x)));
#endif
    return each<T>(x, [](T a) { return std::sqrt(a); });
}

// x between two numbers; a NaN stays one. `wide512` units have instructions for this and the next, which GCC does not find.
template <class T>
inline Vec<T> between(Vec<T> x, T low, T high) {
#ifdef LATCHWORK_WIDE512
    if constexpr (sizeof(T) == 4)
        return cast<Vec<T>>(_mm512_max_ps(_mm512_set1_ps(low), _mm512_min_ps(_mm512_set1_ps(high), cast<__m512>(x))));
#endif
    x = x > high ? all<T>(high) : x;
    return x < low ? all<T>(low) : x;
}

// 1 / x for x with a normal reciprocal; the last bit may be wrong.
inline Vec<float> inverse(Vec<float> x) {
#ifdef LATCHWORK_WIDE512
    const Vec<float> y = cast<Vec<float>>(_mm512_rcp14_ps(cast<__m512>(x)));
    return y + y * (1.0f - x * y);  // Newton's step: 14 bits become 28
#else
    return 1.0f / x;
#endif
}

// 2^n for whole n as a float; exact for -126 <= n <= 127.
inline Vec<float> power_of_two(Int<float> n) { return cast<Vec<float>>((n + 127) << 23); }

// e^x = 2^n e^r, |r| <= log(2) / 2: n as bits and as a number, and e^r. x within ±104.
struct Exponential {
    Int<float> n;
    Vec<float> e;
};

inline Exponential exponential(Vec<float> x) {
    const Vec<float> magic = all<float>(12582912.0f);  // 1.5 · 2^23: what is added to it is rounded to a whole number
    const Vec<float> shifted = x * 1.44269504f + magic;
    const Vec<float> n = shifted - magic;
    const Vec<float> r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    Vec<float> q = all<float>(0.00139517172f);
    q = q * r + 0.00836959841f;
    q = q * r + 0.0416661873f;
    q = q * r + 0.166665129f;
    q = q * r + 0.50000001f;
    return {cast<Int<float>>(shifted) - cast<Int<float>>(magic), (q * r) * r + (r + 1.0f)};
}

template <class T>
inline Vec<T> exp_(Vec<T> x) {
    if constexpr (sizeof(T) == 8) {
        return each<T>(x, [](T a) { return std::exp(a); });
    } else {
        const Exponential part = exponential(between<T>(x, -104.0f, 89.0f));
        // In two halves: the result may be infinite or denormal where one power of two would not be a number.
        const Int<T> half = part.n >> 1;
        return (part.e * power_of_two(half)) * power_of_two(part.n - half);
    }
}

template <class T>
inline Vec<T> log_(Vec<T> x) {
    if constexpr (sizeof(T) == 8) {
        return each<T>(x, [](T a) { return std::log(a); });
    } else {
        const Vec<T> tiny = all<T>(1.17549435e-38f);
        const Vec<T> scaled = x < tiny ? x * 8388608.0f : x;
        const Vec<T> offset = x < tiny ? all<T>(-23.0f) : all<T>(0.0f);
        const Bits bits = cast<Bits>(scaled);
        // The exponent that leaves a mantissa in [sqrt(1/2), sqrt(2)).
        const Int<T> above = cast<Int<T>>(bits - 0x3f3504f3u) >> 23;
        const Vec<T> f = cast<Vec<T>>(bits - cast<Bits>(above << 23)) - 1.0f;
        const Vec<T> n = __builtin_convertvector(above, Vec<T>) + offset;
        Vec<T> q = all<T>(-0.0785954578f);
        q = q * f + 0.128816224f;
        q = q * f - 0.131287677f;
        q = q * f + 0.141811961f;
        q = q * f - 0.166245531f;
        q = q * f + 0.200022861f;
        q = q * f - 0.250008104f;
        q = q * f + 0.333333167f;
        Vec<T> y = (q * f - 0.5f) * (f * f) + f;
        y = n * 1.42860677e-6f + y + n * 0.693145752f;
        const Vec<T> infinity = all<T>(std::numeric_limits<T>::infinity());
        y = x == 0.0f ? -infinity : y;
        y = x == infinity ? infinity : y;
        return x < 0.0f ? all<T>(std::numeric_limits<T>::quiet_NaN()) : (x == x ? y : x);
    }
}

template <class T>
inline Vec<T> log1p_(Vec<T> x) {
    if constexpr (sizeof(T) == 8) {
        return each<T>(x, [](T a) { return std::log1p(a); });
    } else {
        // What 1 + x loses in rounding is put back: log(1 + x) = log(u) + (x - (u - 1)) / u.
        const Vec<T> u = x + 1.0f;
        const Vec<T> y = log_<T>(u) + (x - (u - 1.0f)) / u;
        const Vec<T> infinity = all<T>(std::numeric_limits<T>::infinity());
        return (u == 1.0f) ? x : ((x == infinity) | (u == 0.0f) ? log_<T>(u) : y);
    }
}

template <class T>
inline Vec<T> tanh_(Vec<T> x) {
    if constexpr (sizeof(T) == 8) {
        return each<T>(x, [](T a) { return std::tanh(a); });
    } else {
        x = between<T>(x, -8.0f, 8.0f);
        const Vec<T> u = x * x;
        Vec<T> p = all<T>(1.52306843e-08f);
        p = p * u + 2.18948496e-05f;
        p = p * u + 0.00357160928f;
        p = p * u + 0.134445074f;
        p = p * u + 0.999999994f;
        Vec<T> q = all<T>(8.52255424e-07f);
        q = q * u + 0.000341131052f;
        q = q * u + 0.0261644856f;
        q = q * u + 0.467778347f;
        q = q * u + 1.0f;
        return (x * p) * inverse(q);
    }
}

template <class T>
inline Vec<T> sigmoid_(Vec<T> x) {
    if constexpr (sizeof(T) == 8) {
        return all<T>(1) / (exp_<T>(-x) + T(1));
    } else {
        // Within ±87 neither the power of two nor the quotient leaves the normal numbers.
        const Exponential part = exponential(between<T>(-x, -87.0f, 87.0f));
        return inverse(part.e * power_of_two(part.n) + 1.0f);  // a NaN stays one, whatever n is
    }
}

template <class T>
inline Vec<T> truth(Int<T> mask) {
    return mask ? all<T>(1) : all<T>(0);
}

// bfloat16: the upper half of a float32. Nearest, ties to even; a NaN stays one.
typedef uint16_t Halves __attribute__((vector_size(lanes<float> * 2)));
typedef uint16_t LooseHalves __attribute__((vector_size(lanes<float> * 2), aligned(2), may_alias));

inline void store_bfloat16(uint16_t* p, Vec<float> x) {
    const Bits bits = cast<Bits>(x);
    const Bits nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const Bits kept = x == x ? nearest : (bits >> 16) | 0x40u;
    *reinterpret_cast<LooseHalves*>(p) = __builtin_convertvector(kept, Halves);
}

inline Vec<float> load_bfloat16(const uint16_t* p) {
    const Halves narrow = *reinterpret_cast<const LooseHalves*>(p);
    return cast<Vec<float>>(__builtin_convertvector(narrow, Int<float>) << 16);
}

// What an operation does to a vector, so that the loop over rows and columns is written once.
template <class T, Code code>
inline Vec<T> unary(Vec<T> a) {
    if constexpr (code == Code::k_copy) return a;
    if constexpr (code == Code::k_neg) return -a;
    if constexpr (code == Code::k_abs) return a < T(0) ? -a : a + T(0);  // + 0: of -0 it makes 0
    if constexpr (code == Code::k_sqrt) return root<T>(a);
    if constexpr (code == Code::k_rsqrt) return T(1) / root<T>(a);
    if constexpr (code == Code::k_reciprocal) return T(1) / a;
    if constexpr (code == Code::k_exp) return exp_<T>(a);
    if constexpr (code == Code::k_expm1) return each<T>(a, [](T x) { return std::expm1(x); });
    if constexpr (code == Code::k_log) return log_<T>(a);
    if constexpr (code == Code::k_log1p) return log1p_<T>(a);
    if constexpr (code == Code::k_sigmoid) return sigmoid_<T>(a);
    if constexpr (code == Code::k_tanh) return tanh_<T>(a);
    if constexpr (code == Code::k_relu) return a <= T(0) ? all<T>(0) : a;  // a NaN stays
    if constexpr (code == Code::k_erf) return each<T>(a, [](T x) { return std::erf(x); });
    if constexpr (code == Code::k_sin) return each<T>(a, [](T x) { return std::sin(x); });
    if constexpr (code == Code::k_cos) return each<T>(a, [](T x) { return std::cos(x); });
    if constexpr (code == Code::k_sign) return a > T(0) ? all<T>(1) : (a < T(0) ? all<T>(-1) : a);
    if constexpr (code == Code::k_floor) return each<T>(a, [](T x) { return std::floor(x); });
    if constexpr (code == Code::k_not) return truth<T>(a == T(0));
}

template <class T, Code code>
inline Vec<T> binary(Vec<T> a, Vec<T> b) {
    if constexpr (code == Code::k_add) return a + b;
    if constexpr (code == Code::k_sub) return a - b;
    if constexpr (code == Code::k_mul) return a * b;
    if constexpr (code == Code::k_div) return a / b;
    // Either NaN is the answer, as in torch.
    if constexpr (code == Code::k_maximum) return a != a ? a : (a > b ? a : b);
    if constexpr (code == Code::k_minimum) return a != a ? a : (a < b ? a : b);
    if constexpr (code == Code::k_lt) return truth<T>(a < b);
    if constexpr (code == Code::k_le) return truth<T>(a <= b);
    if constexpr (code == Code::k_gt) return truth<T>(a > b);
    if constexpr (code == Code::k_ge) return truth<T>(a >= b);
    if constexpr (code == Code::k_eq) return truth<T>(a == b);
    if constexpr (code == Code::k_ne) return truth<T>(a != b);
    if constexpr (code == Code::k_and) return truth<T>((a != T(0)) & (b != T(0)));
    if constexpr (code == Code::k_or) return truth<T>((a != T(0)) | (b != T(0)));
    if constexpr (code == Code::k_pow) {
        Vec<T> y;
        for (int i = 0; i < lanes<T>; ++i) y[i] = std::pow(a[i], b[i]);
        return y;
    }
}
