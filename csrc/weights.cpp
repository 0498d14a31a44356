#include "weights.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "isa/common.h"
#include "threads.h"

namespace latchwork {
namespace {

int64_t up(int64_t number, int64_t multiple) { return (number + multiple - 1) / multiple * multiple; }

int64_t stride_of(int32_t width) { return up(width, pad); }

}  // namespace

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

template class Weights<float>;
template class Weights<double>;
template class Scratch<float>;
template class Scratch<double>;

}  // namespace latchwork
