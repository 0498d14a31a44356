// Checks for the unit tests of csrc. They hold in every build type, say where and what, and end the program: the first
// failure is the one to read. A test is a program: main() calls functions, and returns 0 where every check held.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace check {

[[noreturn]] inline void fail(const char* file, int line, const char* what) {
    std::fprintf(stderr, "%s:%d: %s\n", file, line, what);
    std::exit(1);
}

inline void near(double got, double expected, double tolerance, const char* file, int line, const char* what) {
    const double error = std::fabs(got - expected);
    if (error <= tolerance * (1.0 + std::fabs(expected))) return;  // false for NaN
    std::fprintf(stderr, "%s: got %.9g, expected %.9g within %.3g\n", what, got, expected, tolerance);
    fail(file, line, what);
}

}  // namespace check

#define CHECK(condition) \
    do { \
        if (!(condition)) ::check::fail(__FILE__, __LINE__, #condition); \
    } while (0)

#define CHECK_NEAR(got, expected, tolerance) ::check::near(got, expected, tolerance, __FILE__, __LINE__, #got)

// The statement must throw an exception of that type.
#define CHECK_THROWS(type, statement) \
    do { \
        bool thrown = false; \
        try { \
            statement; \
        } catch (const type&) { \
            thrown = true; \
        } \
        if (!thrown) ::check::fail(__FILE__, __LINE__, #statement " did not throw " #type); \
    } while (0)
