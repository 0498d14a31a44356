// Threads that work on the same rows, each on columns of its own, and wait for each other after every stage: for a
// batch of fewer rows than there are threads. A wait is some 0.1 microseconds while every thread has a core, so it spins
// first, and gives its core away where that takes long.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace latchwork {

class Team {
  public:
    explicit Team(int wanted) : wanted_(wanted) {}
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    // This thread's place in the team, 0 for the one that leads it; -1 where the team went ahead without it. The runtime
    // may give fewer threads than were asked for, so the leader waits for the others a while and not for ever.
    int join() {
        const int place = arrived_.fetch_add(1);
        if (place == 0) {
            for (int turn = 0; turn < patience && arrived_.load() < wanted_; ++turn) pause(turn);
            const int there = arrived_.load();
            size_.store(there < wanted_ ? there : wanted_);
        } else {
            for (int turn = 0; size_.load() == 0; ++turn) pause(turn);
        }
        return place < size_.load() ? place : -1;
    }

    int size() const { return size_.load(std::memory_order_relaxed); }

    // Returns when all members have called it: what each wrote before, all see after. False where it took so long that a
    // member must be without a core.
    bool wait() {
        const uint32_t round = round_.load(std::memory_order_acquire);
        if (waiting_.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) {
            waiting_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return true;
        }
        int turn = 0;
        std::chrono::steady_clock::time_point begin{};
        for (; round_.load(std::memory_order_acquire) == round; ++turn) {
            if (turn == spins) begin = std::chrono::steady_clock::now();
            pause(turn);
        }
        return turn <= spins || std::chrono::steady_clock::now() - begin < std::chrono::microseconds(200);
    }

  private:
    static constexpr int patience = 400;  // turns of the leader, most of which give the core away
    static constexpr int spins = 100;     // turns before a core is given away: 3 microseconds or so

    static void pause(int turn) {
        if (turn >= spins) {  // two members may share a core: then the other can't go on before this one rests
            std::this_thread::yield();
            return;
        }
#if defined(__x86_64__)
        _mm_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    const int wanted_;
    std::atomic<int> arrived_{0};
    std::atomic<int> size_{0};
    alignas(64) std::atomic<int> waiting_{0};
    alignas(64) std::atomic<uint32_t> round_{0};
};

}  // namespace latchwork
