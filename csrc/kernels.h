// What an instruction set offers the engine. One unit in isa/ fills in one of these tables for each number type.
#pragma once

#include <cstdint>

#include "program.h"

namespace latchwork {

// An array of the caller, [tokens, width], row by row. Owned by the caller, who keeps it alive for the call. An array
// that is read may be given twice; one that is written must not overlap any other.
struct External {
    void* data = nullptr;
    int64_t width = 0;
    bool bfloat16 = false;  // two-byte numbers, widened when read and rounded to nearest even when written
};

// A part of a packed panel: `count` rows of the weight, from operand column `begin` on.
struct Run {
    int32_t buffer;
    int32_t begin, count;
    int64_t packed;  // in numbers (float32, float64) or in pairs (bfloat16) from the panel store's start
};

// Columns [column, column + lanes) of a product, lanes a multiple of the vector width.
struct Panel {
    int32_t first_run, runs, lanes;
};

// A product packed for an instruction set: panels of `panel` columns in order, each a contiguous piece.
struct Packed {
    const Panel* panels = nullptr;
    const Run* runs = nullptr;
    const void* store = nullptr;
};

// What a block of rows works on. All pointers belong to the engine, one set for each thread; none alias, but for
// buffers that a program reads and writes in place (a row sum).
template <class T>
struct Work {
    T* const* buffers;            // [rows][stride]
    const int32_t* strides;       // of the buffers
    uint16_t* const* mirrors;     // buffers as bfloat16, rows padded to `stride`; only where a bfloat16 product reads
    T* temps;                     // [temps][temp_size]
    const External* externals;
    const T* const* vectors;      // padded to whole chunks
    const T* numbers;
    T* const* accumulators;       // padded to whole chunks
    const Packed* packed;         // for each product
    bool bfloat16;                // products take bfloat16 weights and mirrors
};

// Rows [row, row + rows) of the buffers, columns [column, column + columns) of the stage; token[r]: the row of the
// external arrays that belongs to row `row + r` at this step.
struct Block {
    int32_t row, rows, column, columns;
    int32_t temp_stride;  // from row to row of a temp: at least `columns`, a multiple of `pad`
    const int64_t* token;
    int32_t next_rows = 0, next_column = 0;  // the block after this one in the same stage, for asking early; 0 rows: none
    const int64_t* next_token = nullptr;
};

template <class T>
struct Kernels {
    int32_t block;  // rows of a block at best
    int32_t panel;  // columns of a packed panel
    // Runs a stage over one block.
    void (*run)(const Stage&, const Work<T>&, const Block&);
    // Rounds `count` numbers to bfloat16, to nearest even.
    void (*mirror)(const T* from, uint16_t* to, int64_t count);
};

struct Isa {
    const char* name;
    Kernels<float> single;
    Kernels<double> twofold;
};

const Isa& portable();
#ifdef LATCHWORK_HAVE_AVX2
const Isa& avx2();
#endif
#ifdef LATCHWORK_HAVE_AVX512
const Isa& avx512();
#endif
#ifdef LATCHWORK_HAVE_AVX512BF16
const Isa& avx512bf16();
#endif

}  // namespace latchwork
