// The numbers that a program works on: packed weights, and buffers for some rows.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "program.h"

namespace latchwork {

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

template <class T>
const Kernels<T>& kernels_of(const Isa& isa) {
    if constexpr (sizeof(T) == sizeof(float))
        return isa.single;
    else
        return isa.twofold;
}

}  // namespace latchwork
