// Arrays, numbers and instruction sets for the unit tests.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "check.h"
#include "cpu.h"
#include "isa/common.h"

namespace arrays {

// The same numbers in every run and on every machine.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
    uint64_t bits() {
        state_ += 0x9e3779b97f4a7c15u;
        uint64_t x = state_;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        return x ^ (x >> 31);
    }
    // Uniform in [low, high).
    double in(double low, double high) { return low + (high - low) * (static_cast<double>(bits() >> 11) * 0x1p-53); }
    // One of low … high.
    int whole(int low, int high) { return low + static_cast<int>(bits() % static_cast<uint64_t>(high - low + 1)); }

  private:
    uint64_t state_;
};

// Numbers in [-1, 1). The vector has no room to spare: what is read past its end shows under the address sanitizer.
template <class T>
std::vector<T> numbers(Random& random, int64_t count, double scale = 1.0) {
    std::vector<T> list(static_cast<size_t>(count));
    for (auto& one : list) one = static_cast<T>(random.in(-scale, scale));
    return list;
}

inline float widened(uint16_t half) { return std::bit_cast<float>(static_cast<uint32_t>(half) << 16); }
inline double as_bfloat16(double x) { return widened(latchwork::rounded(static_cast<float>(x))); }

template <class T>
bool same_bits(const T* a, const T* b, int64_t count) {
    return count == 0 || std::memcmp(a, b, static_cast<size_t>(count) * sizeof(T)) == 0;
}
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && same_bits(a.data(), b.data(), static_cast<int64_t>(a.size()));
}

// An array that is written, between two zones that must stay as they are. It begins with a pattern of its own.
template <class T>
class Guarded {
  public:
    explicit Guarded(int64_t count)
        : bytes_((2 * zone + static_cast<size_t>(count)) * sizeof(T), pattern), count_(count) {}
    T* data() { return reinterpret_cast<T*>(bytes_.data()) + zone; }
    const T* data() const { return reinterpret_cast<const T*>(bytes_.data()) + zone; }
    T& operator[](int64_t i) { return data()[i]; }
    const T& operator[](int64_t i) const { return data()[i]; }
    int64_t size() const { return count_; }
    std::vector<T> values() const { return {data(), data() + count_}; }

    bool untouched(int64_t first, int64_t count) const {
        const auto* from = reinterpret_cast<const unsigned char*>(data() + first);
        for (size_t i = 0; i < static_cast<size_t>(count) * sizeof(T); ++i)
            if (from[i] != pattern) return false;
        return true;
    }
    void check_zones() const {
        CHECK(untouched(-static_cast<int64_t>(zone), zone));
        CHECK(untouched(count_, zone));
    }

  private:
    static constexpr unsigned char pattern = 0xa5;
    static constexpr size_t zone = 96;
    std::vector<unsigned char> bytes_;  // from operator new: aligned for every number
    int64_t count_;
};

inline std::vector<const latchwork::Isa*> usable() {
    std::vector<const latchwork::Isa*> list;
    for (const auto& found : latchwork::instruction_sets())
        if (found.missing.empty()) list.push_back(found.isa);
    return list;
}

}  // namespace arrays
