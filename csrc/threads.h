// Running tasks on several threads, on the runtime that the caller already has where it is one that we know.
#pragma once

#include <cstdint>
#include <type_traits>

namespace latchwork {

// GNU OpenMP's entry: runs `body(data)` once on each thread of a team. Torch's threads are such a team; sharing it means
// that no two teams spin on the same cores. The pointer is handed in from Python, which finds it in torch's libraries.
using TeamEntry = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);
void use_team(TeamEntry entry);
bool has_team();

// Runs task(data, i) for every i in [0, tasks), on at most `threads` threads, and returns when all are done. Which thread
// takes which task is left open. A task must not throw.
void parallel(int tasks, int threads, void (*task)(void*, int), void* data);

template <class F>
void parallel(int tasks, int threads, F&& f) {
    parallel(
        tasks, threads, [](void* data, int i) { (*static_cast<std::remove_reference_t<F>*>(data))(i); },
        const_cast<void*>(static_cast<const void*>(&f)));
}

}  // namespace latchwork
