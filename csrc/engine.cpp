#include "engine.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "isa/common.h"
#include "team.h"
#include "threads.h"

namespace latchwork {
namespace {

constexpr std::align_val_t line{64};
constexpr size_t kept_bytes = size_t{256} << 20;  // the pool gives back what it holds beyond this
constexpr int64_t task_bytes = 768 << 10;         // scratch of a task: it and a chunk's weights stay in the cache

struct Pool {
    std::mutex lock;
    std::multimap<size_t, std::byte*> free;
    size_t held = 0;
};

Pool& pool() {
    static Pool* const one = new Pool;  // never destroyed: threads may outlive static objects
    return *one;
}

std::atomic<bool> poisoned{false};
std::atomic<int> calls_alone{0};  // calls that go without a team, since one had to be dismissed

int64_t up(int64_t number, int64_t multiple) { return (number + multiple - 1) / multiple * multiple; }

int64_t stride_of(int32_t width) { return width == 1 ? pad : up(width, pad) + 0; }

template <class T>
const Kernels<T>& kernels_of(const Isa& isa) {
    if constexpr (std::is_same_v<T, float>)
        return isa.single;
    else
        return isa.twofold;
}

}  // namespace

Memory::Memory(size_t bytes) : data_(nullptr), bytes_(static_cast<size_t>(up(static_cast<int64_t>(bytes), 4096))) {
    {
        Pool& shared = pool();
        const std::lock_guard guard(shared.lock);
        const auto found = shared.free.lower_bound(bytes_);
        if (found != shared.free.end() && found->first <= 2 * bytes_ + 65536) {
            bytes_ = found->first;
            data_ = found->second;
            shared.held -= bytes_;
            shared.free.erase(found);
        }
    }
    if (!data_) data_ = static_cast<std::byte*>(::operator new(bytes_, line));
    if (poisoned) std::memset(data_, 0xff, bytes_);  // a NaN in every number type
}

Memory::~Memory() {
    if (!data_) return;
    Pool& shared = pool();
    {
        const std::lock_guard guard(shared.lock);
        if (shared.held + bytes_ <= kept_bytes) {
            shared.free.emplace(bytes_, data_);
            shared.held += bytes_;
            return;
        }
    }
    ::operator delete(data_, line);
}

void Memory::poison(bool on) { poisoned = on; }

template <class T>
Weights<T>::Weights(const Program& program, const Isa& isa, bool bfloat16)
    : program_(program), width_(kernels_of<T>(isa).panel), bfloat16_(bfloat16 && std::is_same_v<T, float>) {
    mirrored_.assign(program.buffers.size(), 0);
    const int lane = width_ / std::max(1, width_ * static_cast<int>(sizeof(T)) / 64);  // below a line: the whole panel
    int64_t size = 0;
    for (const auto& product : program.products) {
        auto& panels = panels_.emplace_back();
        auto& runs = runs_.emplace_back();
        auto& owners = run_terms_.emplace_back();
        for (int32_t column = 0; column < product.width; column += width_) {
            const int32_t columns = std::min<int32_t>(width_, product.width - column);
            const auto lanes = static_cast<int32_t>(std::min<int64_t>(width_, up(columns, lane)));
            panels.push_back({static_cast<int32_t>(runs.size()), 0, lanes});
            for (size_t i = 0; i < product.terms.size(); ++i) {
                const Term& term = product.terms[i];
                // The operand columns that the heads of this panel read.
                int32_t begin = column / term.rows * term.columns;
                const int32_t end = ((column + columns - 1) / term.rows + 1) * term.columns;
                if (bfloat16_) begin &= ~1;  // pairs stand at even columns of the mirror
                const int32_t count = end - begin;
                runs.push_back({term.buffer, begin, count, size});
                owners.push_back(static_cast<int>(i));
                size += int64_t{bfloat16_ ? (count + 1) / 2 : count} * lanes;
                if (bfloat16_) mirrored_[static_cast<size_t>(term.buffer)] = 1;
                ++panels.back().runs;
            }
        }
    }
    for (const auto& state : program.states) {  // they change places
        char& now = mirrored_[static_cast<size_t>(state.now)];
        char& next = mirrored_[static_cast<size_t>(state.next)];
        now = next = now | next;
    }
    numbers_.assign(program.numbers.begin(), program.numbers.end());
    int64_t vectors = up(size * static_cast<int64_t>(bfloat16_ ? 4 : sizeof(T)), 64);
    std::vector<int64_t> places;
    for (const int32_t width : program.vectors) {
        places.push_back(vectors);
        vectors += (up(width, chunk) + chunk) * static_cast<int64_t>(sizeof(T));
    }
    store_ = std::make_unique<Memory>(static_cast<size_t>(vectors));
    for (const int64_t place : places) vectors_.push_back(reinterpret_cast<const T*>(store_->data() + place));
    for (size_t i = 0; i < program.products.size(); ++i)
        packed_.push_back({panels_[i].data(), runs_[i].data(), store_->data()});
}

template <class T>
void Weights<T>::fill(size_t index, size_t at, const std::vector<const void*>& weights) {
    const Product& product = program_.products[index];
    const Panel& panel = panels_[index][at];
    const int64_t column = static_cast<int64_t>(at) * width_;
    const int64_t columns = std::min<int64_t>(panel.lanes, product.width - column);
    for (int32_t i = 0; i < panel.runs; ++i) {
        const size_t place = static_cast<size_t>(panel.first_run + i);
        const Run& run = runs_[index][place];
        const Term& term = product.terms[static_cast<size_t>(run_terms_[index][place])];
        const T* from = static_cast<const T*>(weights[static_cast<size_t>(term.weight)]) + term.offset;
        if (term.heads == 1) {
            const T* start = from + column * term.stride_row + run.begin * term.stride_column;
            const auto element = [&](int64_t k, int64_t j) { return start[j * term.stride_row + k * term.stride_column]; };
            arrange(run, panel, columns, element);
        } else {
            const auto element = [&](int64_t k, int64_t j) -> T {
                k += run.begin;
                j += column;
                const int64_t head = j / term.rows;
                if (head != k / term.columns) return T(0);
                return from[head * term.stride_head + j % term.rows * term.stride_row + k % term.columns * term.stride_column];
            };
            arrange(run, panel, columns, element);
        }
    }
}

// Writes the panel's part of a run: row k of it holds the weights of operand column k, for each of `lanes` columns, or
// in bfloat16 of two operand columns. In small squares, because one side or the other is far apart in memory.
template <class T>
template <class Element>
void Weights<T>::arrange(const Run& run, const Panel& panel, int64_t columns, const Element& element) {
    constexpr int64_t square = 16;
    const int64_t lanes = panel.lanes;
    for (int64_t first = 0; first < run.count; first += square) {
        const int64_t last = std::min<int64_t>(first + square, run.count);
        for (int64_t j = 0; j < lanes; ++j) {
            if (bfloat16_) {
                auto* to = reinterpret_cast<uint32_t*>(store_->data()) + run.packed + j;
                for (int64_t k = first; k < last; k += 2) {
                    uint32_t pair = 0;
                    if (j < columns) {
                        pair = rounded(static_cast<float>(element(k, j)));
                        if (k + 1 < last) pair |= uint32_t{rounded(static_cast<float>(element(k + 1, j)))} << 16;
                    }
                    to[k / 2 * lanes] = pair;
                }
            } else {
                T* to = reinterpret_cast<T*>(store_->data()) + run.packed + j;
                for (int64_t k = first; k < last; ++k) to[k * lanes] = j < columns ? element(k, j) : T(0);
            }
        }
    }
}

template <class T>
void Weights<T>::pack(const std::vector<const void*>& weights, const std::vector<const void*>& vectors, int threads) {
    for (const auto& product : program_.products)
        for (const auto& term : product.terms)
            if (static_cast<size_t>(term.weight) >= weights.size()) throw std::invalid_argument("a weight is missing");
    if (vectors.size() != vectors_.size()) throw std::invalid_argument("the vectors are not those of the program");
    std::vector<std::pair<size_t, size_t>> tasks;
    for (size_t i = 0; i < panels_.size(); ++i)
        for (size_t j = 0; j < panels_[i].size(); ++j) tasks.emplace_back(i, j);
    parallel(static_cast<int>(tasks.size()), threads, [&](int i) {
        const auto& [product, panel] = tasks[static_cast<size_t>(i)];
        fill(product, panel, weights);
    });
    for (size_t i = 0; i < vectors.size(); ++i) {
        T* to = const_cast<T*>(vectors_[i]);
        const auto width = static_cast<size_t>(program_.vectors[i]);
        std::memcpy(to, vectors[i], width * sizeof(T));
        std::fill(to + width, to + up(program_.vectors[i], chunk) + chunk, T(0));
    }
}

template <class T>
int64_t Scratch<T>::row_bytes(const Program& program) {
    int64_t numbers = 0;
    for (const int32_t width : program.buffers) numbers += stride_of(width);
    return numbers * static_cast<int64_t>(sizeof(T));
}

namespace {

template <class T>
int64_t scratch_bytes(const Program& program, const Weights<T>& weights, int64_t rows) {
    int64_t bytes = Scratch<T>::row_bytes(program) * rows;
    // A chunk of slack after each buffer: whole vectors are read from a part of it on, and past its last row.
    bytes += static_cast<int64_t>(program.buffers.size()) * (chunk + pad) * static_cast<int64_t>(sizeof(T));
    for (size_t i = 0; i < program.buffers.size(); ++i)
        if (weights.mirrored()[i]) bytes += up(stride_of(program.buffers[i]) * rows * 2 + 64, 64);
    bytes += int64_t{program.temps} * temp_size * static_cast<int64_t>(sizeof(T));
    for (const int32_t width : program.accumulators) bytes += (up(width, chunk) + chunk) * static_cast<int64_t>(sizeof(T));
    return bytes + 4096;
}

}  // namespace

template <class T>
Scratch<T>::Scratch(const Program& program, const Weights<T>& weights, int32_t rows)
    : memory_(static_cast<size_t>(scratch_bytes(program, weights, rows))) {
    std::byte* at = memory_.data();
    const auto take = [&at](int64_t numbers) {
        T* piece = reinterpret_cast<T*>(at);
        at += up(numbers * static_cast<int64_t>(sizeof(T)), 64);
        return piece;
    };
    temps = take(int64_t{program.temps} * temp_size);
    for (const int32_t width : program.accumulators) {
        const int64_t size = up(width, chunk);
        accumulators.push_back(take(size));
        std::fill_n(accumulators.back(), size, T(0));
    }
    for (size_t i = 0; i < program.buffers.size(); ++i) {
        const int64_t stride = stride_of(program.buffers[i]);
        strides.push_back(static_cast<int32_t>(stride));
        buffers.push_back(take(stride * rows + chunk));
        mirrors.push_back(nullptr);
        if (weights.mirrored()[i]) {
            mirrors.back() = reinterpret_cast<uint16_t*>(at);
            const int64_t bytes = up(stride * rows * 2, 64);
            std::memset(at, 0, static_cast<size_t>(bytes));
            at += bytes;
        }
    }
}

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
        for (int32_t block = 0, row = 0; block < blocks; ++block) {
            // Blocks of nearly the same size: one of a single row would read the weights for little.
            const int32_t size = (rows - row + (blocks - block) - 1) / (blocks - block);
            kernels.run(stage, work, {row, size, column, columns, most, token + row});
            row += size;
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
    if (count > threads) count = up(count, threads);
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
template class Weights<float>;
template class Weights<double>;
template class Scratch<float>;
template class Scratch<double>;
template void step<float>(const Program&, const Kernels<float>&, const Work<float>&, int32_t, const int64_t*, int32_t, int32_t);
template void step<double>(const Program&, const Kernels<double>&, const Work<double>&, int32_t, const int64_t*, int32_t, int32_t);

}  // namespace latchwork
