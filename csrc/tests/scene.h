// Which rows, steps, tokens and resets a test runs over, and the order in which a row's tokens are taken.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "arrays.h"
#include "engine.h"
#include "threads.h"

namespace scene {

struct Options {
    int64_t rows = 1, steps = 1;
    bool ragged = false;   // lengths drawn, 0 and `steps` among them
    bool compact = false;  // rows lie one behind the other in another order, with gaps between
    bool reversed = false;
    bool resets = false;
};

class Scene {
  public:
    Scene(const Options& options, uint64_t seed) : options(options), tokens(options.rows * options.steps) {
        arrays::Random random(seed);
        if (options.ragged)
            for (int64_t r = 0; r < options.rows; ++r)
                lengths.push_back(r % 7 == 3   ? 0
                                  : r % 7 == 5 ? options.steps
                                               : random.whole(0, static_cast<int>(options.steps)));
        if (options.compact) {
            std::vector<int64_t> order(static_cast<size_t>(options.rows));
            std::iota(order.begin(), order.end(), 0);
            for (size_t i = order.size(); i > 1; --i)
                std::swap(order[i - 1], order[static_cast<size_t>(random.whole(0, static_cast<int>(i) - 1))]);
            starts.resize(order.size());
            tokens = 2;
            for (const int64_t row : order) {
                starts[static_cast<size_t>(row)] = tokens;
                tokens += length(row) + random.whole(0, 1);
            }
        }
        if (options.resets)
            for (int64_t i = 0; i < tokens; ++i) resets.push_back(random.whole(0, 3) == 0);
    }

    int64_t length(int64_t row) const { return lengths.empty() ? options.steps : lengths[static_cast<size_t>(row)]; }
    int64_t start(int64_t row) const { return starts.empty() ? row * options.steps : starts[static_cast<size_t>(row)]; }
    // The token that a row takes at its step s.
    int64_t token(int64_t row, int64_t s) const { return start(row) + (options.reversed ? length(row) - 1 - s : s); }
    bool reset(int64_t token) const { return !resets.empty() && resets[static_cast<size_t>(token)]; }

    // For each token whether a row takes it.
    std::vector<bool> taken() const {
        std::vector<bool> list(static_cast<size_t>(tokens));
        for (int64_t r = 0; r < options.rows; ++r)
            for (int64_t s = 0; s < length(r); ++s) list[static_cast<size_t>(token(r, s))] = true;
        return list;
    }

    // The rows, steps and tokens of a call; `row` >= 0: of that row alone.
    latchwork::Call call(int64_t row = -1) const {
        latchwork::Call call;
        call.rows = row < 0 ? options.rows : 1;
        call.steps = options.steps;
        call.reversed = options.reversed;
        if (row >= 0) alone_ = start(row);
        if (!lengths.empty()) call.lengths = lengths.data() + std::max<int64_t>(row, 0);
        if (row >= 0)
            call.starts = &alone_;
        else if (!starts.empty())
            call.starts = starts.data();
        if (options.resets) call.resets = resets.data();
        return call;
    }

    const Options options;
    int64_t tokens;
    std::vector<int64_t> lengths, starts;
    std::vector<uint8_t> resets;

  private:
    mutable int64_t alone_ = 0;
};

// What is asked of a run, beyond its answer: none of these may change a bit of it.
struct Manner {
    int32_t threads;
    bool poison;
    latchwork::TeamEntry team;
};

// A team as OpenMP's: the body once on each of its threads.
inline void whole_team(void (*body)(void*), void* data, unsigned threads, unsigned) {
    std::vector<std::thread> others;
    for (unsigned i = 1; i < threads; ++i) others.emplace_back(body, data);
    body(data);
    for (auto& other : others) other.join();
}
// A team that has fewer threads than were asked for.
inline void small_team(void (*body)(void*), void* data, unsigned, unsigned) { body(data); }

inline const std::vector<Manner>& manners() {
    static const std::vector<Manner> list{{1, false, nullptr}, {1, true, nullptr},     {2, true, nullptr},
                                          {5, true, nullptr},  {3, true, &whole_team}, {4, true, &small_team}};
    return list;
}

// One instance at a time: sets what a manner says, and takes it back.
class Under {
  public:
    explicit Under(const Manner& manner) {
        latchwork::Memory::poison(manner.poison);
        latchwork::use_team(manner.team);
    }
    ~Under() {
        latchwork::Memory::poison(false);
        latchwork::use_team(nullptr);
    }
    Under(const Under&) = delete;
    Under& operator=(const Under&) = delete;
};

inline const std::vector<Options>& all_options() {
    static const std::vector<Options> list = [] {
        std::vector<Options> made{{0, 3}, {1, 0}, {3, 0, true}, {1, 1}, {1, 9}, {2, 4}, {7, 5}, {13, 3}, {20, 2}};
        for (int flags = 1; flags < 16; ++flags)
            made.push_back({11 + flags, 6, (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0, (flags & 8) != 0});
        return made;
    }();
    return list;
}

}  // namespace scene
