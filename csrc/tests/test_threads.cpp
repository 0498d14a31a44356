// Every task is done once, on any number of threads of our own or of a team's; sessions and runs go on side by side.
#include <atomic>

#include "lstm.h"

using namespace latchwork;

namespace {

void check_parallel() {
    for (const TeamEntry team : {TeamEntry{nullptr}, TeamEntry{&scene::whole_team}, TeamEntry{&scene::small_team}}) {
        use_team(team);
        CHECK(has_team() == (team != nullptr));
        for (const int tasks : {0, 1, 2, 7, 100})
            for (const int threads : {-1, 0, 1, 2, 5, 200}) {
                std::vector<std::atomic<int>> done(static_cast<size_t>(tasks));
                parallel(tasks, threads, [&](int i) { ++done[static_cast<size_t>(i)]; });
                for (const auto& count : done) CHECK(count == 1);
            }
    }
    use_team(nullptr);
    // Two tasks that wait for each other: two threads there are.
    std::atomic<int> here{0};
    parallel(2, 2, [&](int) {
        ++here;
        while (here < 2) std::this_thread::yield();
    });
}

// Programs are shared; scratch memory comes from one pool.
void check_side_by_side() {
    const Program program = lstm::sketched(30).program();
    const scene::Scene over({9, 6, true}, 1);
    const lstm::Inputs<float> in(30, over, 3);
    const scene::Manner plain{2, false, nullptr};
    const auto alone = lstm::run<float>(program, portable(), over, in, false, plain);
    std::atomic<int> same{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int n = 0; n < 10; ++n)
                same += arrays::same_bits(lstm::run<float>(program, portable(), over, in, false, plain).h.values(),
                                          alone.h.values());
        });
    for (auto& thread : threads) thread.join();
    CHECK(same == 40);
}

}  // namespace

int main() {
    check_parallel();
    check_side_by_side();
    return 0;
}
