#include "threads.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace latchwork {
namespace {

std::atomic<TeamEntry> team{nullptr};

struct Work {
    int tasks;
    void (*task)(void*, int);
    void* data;
    std::atomic<int> next{0};
};

void drain(void* pointer) {
    Work& work = *static_cast<Work*>(pointer);
    for (int i = work.next.fetch_add(1); i < work.tasks; i = work.next.fetch_add(1)) work.task(work.data, i);
}

}  // namespace

void use_team(TeamEntry entry) { team = entry; }

bool has_team() { return team != nullptr; }

void parallel(int tasks, int threads, void (*task)(void*, int), void* data) {
    Work work{tasks, task, data};
    threads = std::min(threads, tasks);
    if (threads <= 1) {
        drain(&work);
    } else if (const TeamEntry entry = team) {
        entry(&drain, &work, static_cast<unsigned>(threads), 0);
    } else {
        std::vector<std::thread> helpers;
        helpers.reserve(static_cast<size_t>(threads - 1));
        for (int i = 1; i < threads; ++i) helpers.emplace_back(&drain, &work);
        drain(&work);
        for (auto& helper : helpers) helper.join();
    }
}

}  // namespace latchwork
