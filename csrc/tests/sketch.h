// Programs written by hand, for the unit tests: the engine's own structs, and the numbers that they decode from.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

#include "program.h"

namespace sketch {

using latchwork::Arg;
using latchwork::Code;
using latchwork::Instruction;
using latchwork::Product;
using latchwork::Space;
using latchwork::Stage;
using latchwork::Term;

inline Arg temp(int i) { return {Space::temp, i, 0}; }
inline Arg buffer(int i, int offset = 0) { return {Space::buffer, i, offset}; }
inline Arg row_scalar(int i) { return {Space::row_scalar, i, 0}; }
inline Arg vector(int i, int offset = 0) { return {Space::vector, i, offset}; }
inline Arg scalar(int i, int offset = 0) { return {Space::scalar, i, offset}; }
inline Arg number(int i) { return {Space::number, i, 0}; }
inline Arg external(int i, int offset = 0) { return {Space::external, i, offset}; }
inline Arg product(int i) { return {Space::product, i, 0}; }
inline Arg accumulator(int i, int offset = 0) { return {Space::accumulator, i, offset}; }

// y = M x, for one weight matrix [rows, columns] that lies row by row from `offset` on.
inline Term dense(int buffer, int weight, int rows, int columns, int64_t offset = 0) {
    return {buffer, weight, 1, rows, columns, offset, 0, columns, 1};
}

struct Sketch {
    std::vector<int32_t> buffers;
    int32_t temps = 0;
    std::vector<int32_t> externals, vectors, accumulators;
    std::vector<std::pair<int32_t, int32_t>> states;
    std::vector<int32_t> constants, row_sums;
    std::vector<Product> products;
    std::vector<Stage> stages;
    std::vector<double> numbers;

    void stage(int32_t width, std::initializer_list<Instruction> instructions) {
        stages.push_back({width, instructions, {}});
    }

    std::vector<int64_t> code() const {
        std::vector<int64_t> out;
        const auto list = [&out](const std::vector<int32_t>& values) {
            out.push_back(static_cast<int64_t>(values.size()));
            out.insert(out.end(), values.begin(), values.end());
        };
        list(buffers);
        out.push_back(temps);
        list(externals);
        list(vectors);
        list(accumulators);
        out.push_back(static_cast<int64_t>(states.size()));
        for (const auto& [now, next] : states) out.insert(out.end(), {now, next});
        list(constants);
        list(row_sums);
        out.push_back(static_cast<int64_t>(products.size()));
        for (const auto& product : products) {
            out.insert(out.end(), {product.width, static_cast<int64_t>(product.terms.size())});
            for (const auto& t : product.terms)
                out.insert(out.end(), {t.buffer, t.weight, t.heads, t.rows, t.columns, t.offset, t.stride_head,
                                       t.stride_row, t.stride_column});
        }
        out.push_back(static_cast<int64_t>(stages.size()));
        for (const auto& stage : stages) {
            out.insert(out.end(), {stage.width, static_cast<int64_t>(stage.instructions.size())});
            for (const auto& i : stage.instructions) {
                out.push_back(static_cast<int64_t>(i.code));
                for (const Arg& arg : {i.dst, i.a, i.b, i.c})
                    out.insert(out.end(), {static_cast<int64_t>(arg.space), arg.index, arg.offset});
            }
        }
        return out;
    }

    latchwork::Program program() const { return latchwork::Program(code(), numbers); }
};

}  // namespace sketch
