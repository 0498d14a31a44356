// Runs a program over sequences: forwards in time, or backwards for the gradients.
//
// Rows are independent, so each task takes some rows through all steps and no thread waits for another. Weights are
// packed once a call. Every pointer of a call belongs to the caller and outlives it; arrays that are written overlap no
// other array.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu.h"
#include "kernels.h"
#include "program.h"
#include "weights.h"

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

// One step of a program for the first `rows` rows of a scratch, in blocks.
template <class T>
void step(const Program& program, const Kernels<T>& kernels, const Work<T>& work, int32_t rows, const int64_t* token,
          int32_t first_column, int32_t last_column);

extern template void run<float>(const Program&, const Isa&, const Call&);
extern template void run<double>(const Program&, const Isa&, const Call&);

}  // namespace latchwork
