// Runs a program over sequences: forwards in time, or backwards for the gradients.
//
// Rows are independent, so each task takes some rows through all steps and no thread waits for another. Weights are
// packed once a call. Every pointer of a call belongs to the caller and outlives it; arrays that are written overlap no
// other array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cpu.h"
#include "kernels.h"
#include "program.h"

namespace latchwork {

struct Call {
    int64_t rows = 0;
    int64_t steps = 0;
    int32_t threads = 1;
    bool backward = false;           // from the last step to the first
    bool reversed = false;           // a row begins at its last token
    bool bfloat16 = false;           // products in bfloat16, summed in float32
    const int64_t* lengths = nullptr;  // [rows], 0 … steps; none: every row has all steps
    const int64_t* starts = nullptr;   // [rows], the row's first token; none: row · steps
    const uint8_t* resets = nullptr;   // [tokens]; none: no resets
    std::vector<External> externals;          // [tokens, width] each
    std::vector<const void*> states;          // [rows, width] before the first step (backward: after the last)
    std::vector<void*> final_states;          // the same after the last step of each row
    std::vector<const void*> fresh;           // [rows, width] where resets are given, forward
    std::vector<void*> fresh_gradients;       // [rows, width], added to, where resets are given, backward
    std::vector<const void*> constants;       // [rows, width]
    std::vector<void*> row_sums;              // [rows, width]
    std::vector<void*> accumulators;          // [width]
    std::vector<const void*> weights;
    std::vector<const void*> vectors;
};

// T: float or double. Throws std::invalid_argument where the call does not fit the program.
template <class T>
void run(const Program& program, const Isa& isa, const Call& call);

// Memory from a pool that outlives calls: a fresh mapping for each would cost a page fault every 4 KiB.
class Memory {
  public:
    explicit Memory(size_t bytes);
    ~Memory();
    Memory(Memory&& other) noexcept : data_(other.data_), bytes_(other.bytes_) { other.data_ = nullptr; }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    Memory& operator=(Memory&&) = delete;
    std::byte* data() const { return data_; }

    // Every piece handed out from now on is filled with NaN first, so that what is read before it is written shows.
    static void poison(bool on);

  private:
    std::byte* data_;
    size_t bytes_;
};

// The weights of a program in the order in which an instruction set reads them.
template <class T>
class Weights {
  public:
    Weights(const Program& program, const Isa& isa, bool bfloat16);
    // Reads the weights and vectors; may be called again when they changed.
    void pack(const std::vector<const void*>& weights, const std::vector<const void*>& vectors, int threads);
    const Packed* packed() const { return packed_.data(); }
    const T* const* vectors() const { return vectors_.data(); }
    const T* numbers() const { return numbers_.data(); }
    bool bfloat16() const { return bfloat16_; }
    // Whether a bfloat16 product reads this buffer.
    const std::vector<char>& mirrored() const { return mirrored_; }

  private:
    void fill(size_t product, size_t panel, const std::vector<const void*>& weights);
    template <class Element>
    void arrange(const Run& run, const Panel& panel, int64_t columns, const Element& element);

    const Program& program_;
    const int width_;  // columns of a panel
    const bool bfloat16_;
    std::vector<std::vector<Panel>> panels_;
    std::vector<std::vector<Run>> runs_;
    std::vector<std::vector<int>> run_terms_;  // the term that each run is a part of
    std::vector<Packed> packed_;
    std::vector<const T*> vectors_;
    std::vector<T> numbers_;
    std::vector<char> mirrored_;
    std::unique_ptr<Memory> store_;
};

// Buffers for some rows of a program.
template <class T>
class Scratch {
  public:
    Scratch(const Program& program, const Weights<T>& weights, int32_t rows);
    // Bytes that a row takes, with its share of nothing else: for choosing how many rows a task takes.
    static int64_t row_bytes(const Program& program);

    std::vector<T*> buffers;
    std::vector<int32_t> strides;
    std::vector<uint16_t*> mirrors;
    std::vector<T*> accumulators;
    T* temps;

  private:
    Memory memory_;
};

// One step of a program for the first `rows` rows of a scratch, in blocks.
template <class T>
void step(const Program& program, const Kernels<T>& kernels, const Work<T>& work, int32_t rows, const int64_t* token,
          int32_t first_column, int32_t last_column);

extern template void run<float>(const Program&, const Isa&, const Call&);
extern template void run<double>(const Program&, const Isa&, const Call&);

}  // namespace latchwork
