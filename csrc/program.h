// What the engine runs: a cell's step as stages of operations over blocks of rows.
//
// A program is made in Python (kernels/schedule.py) and given over as plain numbers. It is immutable after it was
// decoded, so any number of threads may run it at once. Columns of a stage are worked off in chunks of `chunk`, rows
// in blocks of at most `max_block` rows; an operation never mixes rows.
#pragma once

#include <cstdint>
#include <vector>

namespace latchwork {

inline constexpr int chunk = 64;          // columns of a stage that are worked off at a time, at least
inline constexpr int pad = 16;            // row buffers are padded to a multiple of this
inline constexpr int max_block = 16;      // most rows of a block; an instruction set may take fewer
inline constexpr int temp_size = 1024;    // numbers of a temp: rows of a block times columns at a time
static_assert(max_block * chunk <= temp_size);

// The names are those of kernels/program.py; the numbers are handed to Python, so they stand here alone.
#define LATCHWORK_UNARY(X)                                                                                     \
    X(copy) X(neg) X(abs) X(sqrt) X(rsqrt) X(reciprocal) X(exp) X(expm1) X(log) X(log1p) X(sigmoid) X(tanh)    \
    X(relu) X(erf) X(sin) X(cos) X(sign) X(floor) X(not)
#define LATCHWORK_BINARY(X)                                                                                    \
    X(add) X(sub) X(mul) X(div) X(maximum) X(minimum) X(lt) X(le) X(gt) X(ge) X(eq) X(ne) X(and) X(or) X(pow)
#define LATCHWORK_OTHER(X)                                                                                     \
    X(where)      /* dst = a != 0 ? b : c */                                                                   \
    X(sum)        /* dst (row scalar) = sum of a over the columns of the stage */                              \
    X(amax)       /* dst (row scalar) = maximum of a over the columns of the stage */                          \
    X(load)       /* dst = external array a at this row and step */                                            \
    X(store)      /* external array dst at this row and step = a; exactly the columns of the stage */          \
    X(put)        /* buffer dst = a; exactly the columns of the stage, so that neighbours stay as they are */  \
    X(product)    /* dst = product a, plus b and c where there are any */                                      \
    X(accumulate) /* accumulator dst += a, over the rows of the block */

enum class Code : int32_t {
#define X(name) k_##name,
    LATCHWORK_UNARY(X) LATCHWORK_BINARY(X) LATCHWORK_OTHER(X)
#undef X
};

enum class Space : int32_t {
    none,
    temp,         // [block rows][columns at a time], lives within a stage
    buffer,       // [rows][padded width], lives over the step; a state over all steps
    row_scalar,   // column 0 of a buffer, for all columns
    vector,       // a padded row vector from the parameters, for all rows
    scalar,       // one number from the parameters
    number,       // an immediate
    external,     // an array of the caller with a row for each token
    product,      // index of a product
    accumulator,  // [width], added up over rows and steps
};

struct Arg {
    Space space = Space::none;
    int32_t index = 0;
    int32_t offset = 0;
};

struct Instruction {
    Code code;
    Arg dst, a, b, c;
};

struct Stage {
    int32_t width;
    std::vector<Instruction> instructions;
    std::vector<int32_t> operands;  // buffers that its products read, each once
    bool reduces = false;           // something is added up over its columns
};

// y[h rows + j] += sum over i of x[h columns + i] M[h, j, i]; M: weight `weight` at offset + h sh + j sr + i sc.
struct Term {
    int32_t buffer, weight, heads, rows, columns;
    int64_t offset, stride_head, stride_row, stride_column;
};

struct Product {
    int32_t width;
    std::vector<Term> terms;
};

// A carried value: two buffers that change places after each step.
struct Carried {
    int32_t now, next, width;
};

struct Program {
    std::vector<int32_t> buffers;       // widths
    int32_t temps = 0;                  // how many temps live at once, at most
    std::vector<Stage> stages;
    std::vector<Product> products;
    std::vector<Carried> states;        // carried over the steps
    std::vector<int32_t> constants;     // buffers that are filled once a row
    std::vector<int32_t> row_sums;      // buffers that begin at 0 and are given back once a row
    std::vector<int32_t> externals;     // widths
    std::vector<int32_t> vectors;       // widths
    std::vector<int32_t> accumulators;  // widths
    std::vector<double> numbers;
    bool columnwise = false;            // one width, no product, no reduction: columns are independent too

    // Decodes and checks what Python gives; throws std::invalid_argument where an index is out of range.
    Program(const std::vector<int64_t>& code, std::vector<double> numbers);
};

}  // namespace latchwork
