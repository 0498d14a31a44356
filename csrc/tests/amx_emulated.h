// The five tile instructions that isa/amx.cpp uses, written out after Intel's description of them (Software Developer's
// Manual, volume 2: LDTILECFG, TILELOADD, TILESTORED, TILERELEASE, TDPBF16PS): what they compute, and what they refuse.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "arrays.h"
#include "isa/amx_shape.h"

namespace tiles {

struct Registers {
    latchwork::TileShapes shapes;
    bool configured = false;
    alignas(64) unsigned char data[8][16][64];
};

inline Registers& registers() {
    thread_local Registers own;
    return own;
}

// How many instructions of a kind were carried out, by all threads.
struct Counts {
    std::atomic<int64_t> configure, load, store, dot, release;
};
inline Counts counts{};

inline void configure(const void* from) {
    Registers& own = registers();
    std::memcpy(&own.shapes, from, sizeof own.shapes);
    const auto& shapes = own.shapes;
    CHECK(shapes.palette == 1 && shapes.start_row == 0);
    for (const auto reserved : shapes.reserved) CHECK(reserved == 0);
    for (int i = 0; i < 16; ++i) {
        CHECK(shapes.rows[i] <= 16 && shapes.bytes[i] <= 64);
        CHECK((shapes.rows[i] == 0) == (shapes.bytes[i] == 0));
        CHECK(i < 8 || shapes.rows[i] == 0);
    }
    std::memset(own.data, 0, sizeof own.data);
    own.configured = true;
    ++counts.configure;
}

inline Registers& used(int tile) {
    Registers& own = registers();
    CHECK(own.configured && tile >= 0 && tile < 8 && own.shapes.rows[tile] != 0);
    return own;
}

inline void load(int tile, const void* from, int64_t stride) {
    Registers& own = used(tile);
    std::memset(own.data[tile], 0, sizeof own.data[tile]);
    for (int r = 0; r < own.shapes.rows[tile]; ++r)
        std::memcpy(own.data[tile][r], static_cast<const char*>(from) + r * stride, own.shapes.bytes[tile]);
    ++counts.load;
}

inline void store(int tile, void* to, int64_t stride) {
    Registers& own = used(tile);
    for (int r = 0; r < own.shapes.rows[tile]; ++r)
        std::memcpy(static_cast<char*>(to) + r * stride, own.data[tile][r], own.shapes.bytes[tile]);
    ++counts.store;
}

// Denormal numbers count as 0, as operands and as results; every step is rounded to the nearest.
inline float flushed(float x) { return std::fabs(x) < 1.17549435e-38f ? std::copysign(0.0f, x) : x; }

inline float half(const unsigned char* pair, int which) {
    uint16_t bits;
    std::memcpy(&bits, pair + 2 * which, 2);
    return flushed(arrays::widened(bits));
}

// Of a row of `a` and a column of `b`: first and second of all pairs apart, then their sum, then the sum before.
inline void dot(int sum, int a, int b) {
    Registers& own = used(sum);
    const auto& shapes = own.shapes;
    CHECK(sum != a && sum != b && a != b);
    CHECK(used(a).shapes.rows[a] == shapes.rows[sum]);
    CHECK(used(b).shapes.bytes[b] == shapes.bytes[sum]);
    CHECK(shapes.bytes[a] == shapes.rows[b] * 4 && shapes.bytes[a] % 4 == 0 && shapes.bytes[b] % 4 == 0);
    for (int m = 0; m < shapes.rows[sum]; ++m)
        for (int n = 0; n < shapes.bytes[sum] / 4; ++n) {
            float apart[2] = {0, 0};
            for (int k = 0; k < shapes.rows[b]; ++k)
                for (int i = 0; i < 2; ++i)
                    apart[i] =
                        flushed(std::fma(half(own.data[a][m] + 4 * k, i), half(own.data[b][k] + 4 * n, i), apart[i]));
            float total;
            std::memcpy(&total, own.data[sum][m] + 4 * n, 4);
            total = flushed(flushed(total) + flushed(apart[0] + apart[1]));
            std::memcpy(own.data[sum][m] + 4 * n, &total, 4);
        }
    ++counts.dot;
}

inline void release() {
    registers().configured = false;
    std::memset(registers().data, 0, sizeof registers().data);
    ++counts.release;
}

}  // namespace tiles
