#include "engine.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <numeric>
#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "team.h"
#include "threads.h"

namespace latchwork {
namespace {

constexpr int64_t task_bytes = 768 << 10;  // scratch of a task: it and a chunk's weights stay in the cache

std::atomic<int> calls_alone{0};  // calls that go without a team, since one had to be dismissed

}  // namespace

namespace {

template <class T>
void run_stage(const Stage& stage, const Kernels<T>& kernels, const Work<T>& work, int32_t rows, const int64_t* token,
               int32_t first_column, int32_t last_column) {
    const int32_t blocks = (rows + kernels.block - 1) / kernels.block;
    const int32_t end = std::min(stage.width, last_column);
    // One block alone takes as many columns at a time as a temp holds: fewer operations to begin. With several, the
    // weights of a few columns stay in the cache from block to block.
    const int32_t most = blocks == 1 ? temp_size / std::max(rows, 4) / chunk * chunk : chunk;
    for (int32_t column = first_column; column < end; column += most) {
        const int32_t columns = std::min(most, end - column);
        const auto size_at = [&](int32_t block, int32_t row) { return (rows - row + (blocks - block) - 1) / (blocks - block); };
        for (int32_t block = 0, row = 0; block < blocks; ++block) {
            // Blocks of nearly the same size: one of a single row would read the weights for little.
            const int32_t size = size_at(block, row), after = row + size;
            const bool across = block + 1 < blocks, along = column + most < end;
            const int32_t next = across ? size_at(block + 1, after) : (along && blocks > 1 ? size_at(0, 0) : 0);
            kernels.run(stage, work, {row, size, column, columns, most, token + row, next, across ? column : column + most,
                                      across ? token + after : token});
            row = after;
        }
    }
}

// One member's part of a stage: columns of its own, or nothing of a stage that adds up over columns, which is the
// leader's, so that the order of its sums is the same for any number of threads.
template <class T>
void run_part(const Stage& stage, const Kernels<T>& kernels, const Work<T>& work, int32_t rows, const int64_t* token,
              int member, int members) {
    int32_t first = 0, last = INT32_MAX;
    if (stage.reduces) {
        if (member != 0) return;
    } else {
        const int64_t chunks = (int64_t{stage.width} + chunk - 1) / chunk;
        first = static_cast<int32_t>(chunks * member / members * chunk);
        last = static_cast<int32_t>(chunks * (member + 1) / members * chunk);
    }
    run_stage(stage, kernels, work, rows, token, first, last);
}

}  // namespace

template <class T>
void step(const Program& program, const Kernels<T>& kernels, const Work<T>& work, int32_t rows, const int64_t* token,
          int32_t first_column, int32_t last_column) {
    for (const Stage& stage : program.stages) {
        if (work.bfloat16) {
            for (const int32_t operand : stage.operands) {
                const auto buffer = static_cast<size_t>(operand);
                for (int64_t row = 0; row < rows; ++row)
                    kernels.mirror(work.buffers[buffer] + row * work.strides[buffer],
                                   work.mirrors[buffer] + row * work.strides[buffer], program.buffers[buffer]);
            }
        }
        run_stage(stage, kernels, work, rows, token, first_column, last_column);
    }
}

namespace {

// Some rows that one task takes through all steps, longest first.
struct Task {
    std::vector<int64_t> rows;
    int32_t first_column = 0, last_column = INT32_MAX;
};

int64_t length_of(const Call& call, int64_t row) { return call.lengths ? call.lengths[row] : call.steps; }

std::vector<Task> divide(const Program& program, const Call& call, int64_t most_rows) {
    std::vector<int64_t> order(static_cast<size_t>(call.rows));
    std::iota(order.begin(), order.end(), 0);
    if (call.lengths)
        std::stable_sort(order.begin(), order.end(),
                         [&](int64_t a, int64_t b) { return call.lengths[a] > call.lengths[b]; });
    const int64_t threads = std::max(1, call.threads);
    int64_t count = std::max(std::min(threads, call.rows), (call.rows + most_rows - 1) / most_rows);
    if (count > threads) count = (count + threads - 1) / threads * threads;
    std::vector<Task> tasks(static_cast<size_t>(std::min(count, std::max<int64_t>(call.rows, 1))));
    if (!call.lengths) {
        const auto pieces = static_cast<int64_t>(tasks.size());
        for (int64_t piece = 0; piece < pieces; ++piece)
            for (int64_t i = call.rows * piece / pieces; i < call.rows * (piece + 1) / pieces; ++i)
                tasks[static_cast<size_t>(piece)].rows.push_back(i);
    } else {
        // The longest first, each to the task with the fewest tokens so far: tasks end at about the same time, and the
        // rows of each stay in falling order of length.
        std::vector<int64_t> tokens(tasks.size(), 0);
        const auto limit = static_cast<size_t>((call.rows + static_cast<int64_t>(tasks.size()) - 1) / static_cast<int64_t>(tasks.size()) * 2);
        for (const int64_t row : order) {
            size_t best = tasks.size();
            for (size_t i = 0; i < tasks.size(); ++i)
                if (tasks[i].rows.size() < limit && (best == tasks.size() || tokens[i] < tokens[best])) best = i;
            tasks[best].rows.push_back(row);
            tokens[best] += length_of(call, row) + 1;
        }
    }
    if (program.columnwise && call.rows > 0 && call.rows < threads) {
        // Columns are independent as well: a few rows are divided by columns too.
        const int32_t width = program.stages.front().width;
        const int64_t parts = std::min<int64_t>(threads / call.rows, (width + chunk - 1) / chunk);
        std::vector<Task> finer;
        for (const Task& task : tasks)
            for (int64_t part = 0; part < parts; ++part) {
                const int64_t chunks = (width + chunk - 1) / chunk;
                Task piece = task;
                piece.first_column = static_cast<int32_t>(chunks * part / parts * chunk);
                piece.last_column = std::min<int32_t>(width, static_cast<int32_t>(chunks * (part + 1) / parts * chunk));
                finer.push_back(piece);
            }
        tasks = std::move(finer);
    }
    return tasks;
}

void check(const Program& program, const Call& call, bool twofold) {
    const auto require = [](bool holds, const char* what) {
        if (!holds) throw std::invalid_argument(std::string("call: ") + what);
    };
    require(call.rows >= 0 && call.steps >= 0, "a negative number of rows or steps");
    require(call.externals.size() == program.externals.size(), "the external arrays are not those of the program");
    require(call.states.size() == program.states.size(), "the states are not those of the program");
    require(call.final_states.size() == program.states.size(), "the final states are not those of the program");
    require(call.constants.size() == program.constants.size(), "the constants are not those of the program");
    require(call.row_sums.size() == program.row_sums.size(), "the row sums are not those of the program");
    require(call.accumulators.size() == program.accumulators.size(), "the accumulators are not those of the program");
    if (call.resets)
        require((call.backward ? call.fresh_gradients.size() : call.fresh.size()) == program.states.size(),
                "resets without fresh states");
    for (size_t i = 0; i < call.externals.size(); ++i) {
        require(call.externals[i].width == program.externals[i], "an external array has another width");
        require(!call.externals[i].bfloat16 || !twofold, "an array in bfloat16 beside numbers in float64");
    }
    if (call.lengths)
        for (int64_t r = 0; r < call.rows; ++r)
            require(call.lengths[r] >= 0 && call.lengths[r] <= call.steps, "a length below 0 or above the steps");
}

// One task's way through all steps.
template <class T>
class Walk {
  public:
    Walk(const Program& program, const Kernels<T>& kernels, const Weights<T>& weights, const Call& call, const Task& task)
        : program_(program),
          kernels_(kernels),
          call_(call),
          task_(task),
          scratch_(program, weights, static_cast<int32_t>(task.rows.size())),
          token_(task.rows.size()),
          work_{scratch_.buffers.data(), scratch_.strides.data(), scratch_.mirrors.data(),    scratch_.temps,
                call.externals.data(),   weights.vectors(),       weights.numbers(),          scratch_.accumulators.data(),
                weights.packed(),        weights.bfloat16()} {}

    void run() {
        walk();
        settle();
    }

    void walk() {
        const auto rows = static_cast<int32_t>(task_.rows.size());
        for (size_t i = 0; i < program_.constants.size(); ++i)
            for (int32_t r = 0; r < rows; ++r) fetch(program_.constants[i], r, call_.constants[i], whole(program_.constants[i]));
        for (const int32_t buffer : program_.row_sums)
            for (int32_t r = 0; r < rows; ++r) std::fill_n(at(buffer, r), scratch_.strides[static_cast<size_t>(buffer)], T(0));
        for (int32_t r = 0; r < rows; ++r)
            if (length(r) == 0) pass(r);
        if (call_.backward)
            down(rows);
        else
            along(rows);
        dismiss();
        for (size_t i = 0; i < program_.row_sums.size(); ++i)
            for (int32_t r = 0; r < rows; ++r) give(program_.row_sums[i], r, call_.row_sums[i], whole(program_.row_sums[i]));
    }

    T* const* accumulators() const { return work_.accumulators; }

    // From now on the steps are shared with the members of a team, who call `help` meanwhile.
    void lead(Team& team) { team_ = &team; }

    void help(Team& team, int member) {
        const Memory own(static_cast<size_t>(program_.temps + 1) * temp_size * sizeof(T));
        Work<T> work = work_;
        work.temps = reinterpret_cast<T*>(own.data());
        for (team.wait(); !over_; team.wait()) share(team, work, member);
        settle();
    }

    // Stores that went past the cache are ordered by nothing else.
    static void settle() {
#if defined(__x86_64__)
        _mm_sfence();
#endif
    }

  private:
    struct Columns {
        int32_t first, count;
    };

    void along(int32_t rows) {
        int32_t active = rows;
        while (active && length(active - 1) == 0) --active;
        for (int32_t r = 0; r < active; ++r) enter(r);
        for (int64_t s = 0; active; ++s) {
            place(active, s);
            if (call_.resets && !call_.reversed)
                for (int32_t r = 0; r < active; ++r)
                    if (call_.resets[token_[static_cast<size_t>(r)]]) refresh(r);
            one(active);
            if (call_.resets && call_.reversed)
                for (int32_t r = 0; r < active; ++r)
                    if (call_.resets[token_[static_cast<size_t>(r)]]) refresh(r);
            while (active && length(active - 1) == s + 1) leave(--active);
        }
    }

    void down(int32_t rows) {
        int32_t active = 0;
        for (int64_t s = rows ? length(0) - 1 : -1; s >= 0; --s) {
            while (active < rows && length(active) == s + 1) enter(active++);
            place(active, s);
            if (call_.resets && call_.reversed)
                for (int32_t r = 0; r < active; ++r)
                    if (call_.resets[token_[static_cast<size_t>(r)]]) collect(r);
            one(active);
            if (call_.resets && !call_.reversed)
                for (int32_t r = 0; r < active; ++r)
                    if (call_.resets[token_[static_cast<size_t>(r)]]) collect(r);
        }
        for (int32_t r = 0; r < active; ++r) leave(r);
    }

    // A step's stages, with a wait after each; how many of the waits were long.
    int share(Team& team, const Work<T>& work, int member) {
        const int members = team.size();
        int long_waits = 0;
        for (const Stage& stage : program_.stages) {
            run_part(stage, kernels_, work, active_, token_.data(), member, members);
            if (!team.wait()) ++long_waits;
        }
        return long_waits;
    }

    void dismiss() {
        if (!team_) return;
        over_ = true;
        team_->wait();
        team_ = nullptr;
    }

    void one(int32_t active) {
        if (team_) {
            active_ = active;
            long_waits_ += team_->wait() ? 0 : 1;  // the others begin this step
            long_waits_ += share(*team_, work_, 0);
            if (long_waits_ > 0) {  // the cores are wanted elsewhere: alone it goes faster, for a while
                dismiss();
                calls_alone = 64;
            }
        } else {
            step(program_, kernels_, work_, active, token_.data(), task_.first_column, task_.last_column);
        }
        for (const auto& state : program_.states)
            std::swap(scratch_.buffers[static_cast<size_t>(state.now)], scratch_.buffers[static_cast<size_t>(state.next)]),
                std::swap(scratch_.mirrors[static_cast<size_t>(state.now)], scratch_.mirrors[static_cast<size_t>(state.next)]);
    }

    int64_t length(int32_t r) const { return length_of(call_, task_.rows[static_cast<size_t>(r)]); }

    void place(int32_t active, int64_t s) {
        for (int32_t r = 0; r < active; ++r) {
            const int64_t row = task_.rows[static_cast<size_t>(r)];
            const int64_t start = call_.starts ? call_.starts[row] : row * call_.steps;
            token_[static_cast<size_t>(r)] = start + (call_.reversed ? length(r) - 1 - s : s);
        }
    }

    T* at(int32_t buffer, int32_t r) const {
        return scratch_.buffers[static_cast<size_t>(buffer)] + int64_t{r} * scratch_.strides[static_cast<size_t>(buffer)];
    }

    Columns columns(int32_t width) const {
        const int32_t first = std::min(width, task_.first_column);
        return {first, std::min(width, task_.last_column) - first};
    }
    Columns whole(int32_t buffer) const { return columns(program_.buffers[static_cast<size_t>(buffer)]); }

    const T* own(const void* array, int32_t buffer, int32_t r) const {
        return static_cast<const T*>(array) +
               task_.rows[static_cast<size_t>(r)] * program_.buffers[static_cast<size_t>(buffer)];
    }
    void fetch(int32_t buffer, int32_t r, const void* array, Columns part) {
        std::copy_n(own(array, buffer, r) + part.first, part.count, at(buffer, r) + part.first);
    }
    void give(int32_t buffer, int32_t r, void* array, Columns part) {
        std::copy_n(at(buffer, r) + part.first, part.count, const_cast<T*>(own(array, buffer, r)) + part.first);
    }

    void enter(int32_t r) {
        for (size_t i = 0; i < program_.states.size(); ++i)
            fetch(program_.states[i].now, r, call_.states[i], columns(program_.states[i].width));
    }
    void leave(int32_t r) {
        for (size_t i = 0; i < program_.states.size(); ++i)
            give(program_.states[i].now, r, call_.final_states[i], columns(program_.states[i].width));
    }
    // A row without steps: its state goes through as it is.
    void pass(int32_t r) {
        enter(r);
        leave(r);
    }
    void refresh(int32_t r) {
        for (size_t i = 0; i < program_.states.size(); ++i)
            fetch(program_.states[i].now, r, call_.fresh[i], columns(program_.states[i].width));
    }
    // Backward through a reset: what would have gone on to the state before goes to the fresh one.
    void collect(int32_t r) {
        for (size_t i = 0; i < program_.states.size(); ++i) {
            const int32_t buffer = program_.states[i].now;
            const Columns part = columns(program_.states[i].width);
            T* to = const_cast<T*>(own(call_.fresh_gradients[i], buffer, r)) + part.first;
            T* from = at(buffer, r) + part.first;
            for (int32_t j = 0; j < part.count; ++j) to[j] += from[j];
            std::fill_n(from, part.count, T(0));
        }
    }

    const Program& program_;
    const Kernels<T>& kernels_;
    const Call& call_;
    const Task& task_;
    Scratch<T> scratch_;
    std::vector<int64_t> token_;
    Work<T> work_;
    Team* team_ = nullptr;
    int long_waits_ = 0;
    int32_t active_ = 0;  // these two are written by the leader and read by the others after a wait
    bool over_ = false;
};

// Whether a step is long enough for several threads to share: each stage costs them a wait. Not for some calls after one
// in which a thread had no core.
bool worth_sharing(const Program& program) {
    if (calls_alone > 0 && calls_alone.fetch_sub(1) > 0) return false;
    int64_t products = 0;
    for (const auto& product : program.products)
        for (const auto& term : product.terms) products += int64_t{term.heads} * term.rows * term.columns;
    return products >= 32768 * static_cast<int64_t>(program.stages.size());
}

}  // namespace

template <class T>
void run(const Program& program, const Isa& isa, const Call& call) {
    check(program, call, sizeof(T) == 8);
    const Kernels<T>& kernels = kernels_of<T>(isa);
    Weights<T> weights(program, isa, call.bfloat16);
    weights.pack(call.weights, call.vectors, call.threads);
    const int64_t bytes = std::max<int64_t>(1, Scratch<T>::row_bytes(program));
    const int64_t most = std::max<int64_t>(2 * kernels.block, task_bytes / bytes / kernels.block * kernels.block);
    const std::vector<Task> tasks = divide(program, call, most);
    // What rows and steps add up to, task by task and then in the order of the tasks: the same for any timing.
    std::vector<std::vector<T>> sums(tasks.size());
    const auto keep_sums = [&](const Walk<T>& walk, std::vector<T>& sum) {
        for (size_t k = 0; k < program.accumulators.size(); ++k)
            sum.insert(sum.end(), walk.accumulators()[k], walk.accumulators()[k] + program.accumulators[k]);
    };
    std::vector<std::exception_ptr> failed(tasks.size());
    if (tasks.size() == 1 && call.threads > 1 && !weights.bfloat16() && !program.columnwise && worth_sharing(program)) {
        Walk<T> walk(program, kernels, weights, call, tasks.front());
        Team team(call.threads);
        walk.lead(team);
        parallel(call.threads, call.threads, [&](int) {
            const int member = team.join();
            if (member == 0)
                walk.run();
            else if (member > 0)
                walk.help(team, member);
        });
        keep_sums(walk, sums.front());
    } else {
    parallel(static_cast<int>(tasks.size()), call.threads, [&](int i) {
        const auto at = static_cast<size_t>(i);
        try {
            Walk<T> walk(program, kernels, weights, call, tasks[at]);
            walk.run();
            keep_sums(walk, sums[at]);
        } catch (...) {
            failed[at] = std::current_exception();  // out of memory: nothing may leave a thread's task
        }
    });
    }
    for (const auto& failure : failed)
        if (failure) std::rethrow_exception(failure);
    size_t offset = 0;
    for (size_t k = 0; k < program.accumulators.size(); ++k) {
        const auto width = static_cast<size_t>(program.accumulators[k]);
        T* to = static_cast<T*>(call.accumulators[k]);
        std::fill_n(to, width, T(0));
        for (const auto& sum : sums)
            for (size_t j = 0; j < width; ++j) to[j] += sum[offset + j];
        offset += width;
    }
}

template void run<float>(const Program&, const Isa&, const Call&);
template void run<double>(const Program&, const Isa&, const Call&);
template void step<float>(const Program&, const Kernels<float>&, const Work<float>&, int32_t, const int64_t*, int32_t, int32_t);
template void step<double>(const Program&, const Kernels<double>&, const Work<double>&, int32_t, const int64_t*, int32_t, int32_t);

}  // namespace latchwork
