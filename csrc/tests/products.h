// Products of every shape against plain loops, for any instruction set: shared by the tests of those that this
// processor has and of those that are emulated.
#pragma once

#include <cstdio>
#include <string>
#include <type_traits>

#include "arrays.h"
#include "engine.h"
#include "sketch.h"

namespace products {

using namespace latchwork;

// One product of some terms, each with an operand of its own that is read from an external array.
template <class T>
class Case {
  public:
    struct Shape {
        int heads, rows, columns;
    };

    // How a weight lies in memory: stride of the head, the row, the column; largest first.
    enum Order { head_row_column, head_column_row, row_column_head, column_row_head };

    Case(std::vector<Shape> shapes, uint64_t seed, Order order = head_row_column) : random_(seed), shapes_(shapes) {
        sketch::Product product;
        product.width = width_ = shapes.front().heads * shapes.front().rows;
        for (size_t i = 0; i < shapes.size(); ++i) {
            const auto [heads, rows, columns] = shapes[i];
            const int index = static_cast<int>(i), offset = random_.whole(0, 5);
            int64_t head = int64_t{rows} * columns, row = columns, column = 1;
            if (order == head_column_row) row = 1, column = rows;
            if (order == row_column_head) row = int64_t{columns} * heads, column = heads, head = 1;
            if (order == column_row_head) column = int64_t{rows} * heads, row = heads, head = 1;
            product.terms.push_back({index, index, heads, rows, columns, offset, head, row, column});
            weights_.push_back(arrays::numbers<T>(random_, offset + int64_t{heads} * rows * columns));
            made_.buffers.push_back(heads * columns);
            made_.externals.push_back(heads * columns);
            made_.stage(heads * columns, {{Code::k_load, sketch::buffer(index), sketch::external(index), {}, {}}});
        }
        made_.temps = 1;
        made_.externals.push_back(width_);
        made_.products.push_back(product);
        const int out = static_cast<int>(shapes.size());
        made_.stage(width_, {{Code::k_product, sketch::temp(0), sketch::product(0), {}, {}},
                             {Code::k_store, sketch::external(out), sketch::temp(0), {}, {}}});
    }

    std::vector<T> operands(size_t term, int64_t rows) {
        return arrays::numbers<T>(random_, rows * shapes_[term].heads * shapes_[term].columns);
    }

    std::vector<T> run(const Isa& isa, const std::vector<std::vector<T>>& operands, int64_t rows, bool bfloat16) const {
        arrays::Guarded<T> out(rows * width_);
        Call call;
        call.rows = rows;
        call.steps = 1;
        call.bfloat16 = bfloat16;
        for (size_t i = 0; i < operands.size(); ++i)
            call.externals.push_back({const_cast<T*>(operands[i].data()), made_.externals[i], false});
        call.externals.push_back({out.data(), width_, false});
        for (const auto& weight : weights_) call.weights.push_back(weight.data());
        latchwork::run<T>(made_.program(), isa, call);
        out.check_zones();
        return out.values();
    }

    // In double; operands and weights rounded where the product rounds them. `size`: the sum of the absolute values, to
    // which a rounding error is in proportion.
    void reference(const std::vector<std::vector<T>>& operands, int64_t row, int64_t column, bool bfloat16, double& sum,
                   double& size) const {
        sum = size = 0;
        for (size_t i = 0; i < operands.size(); ++i) {
            const Term& term = made_.products.front().terms[i];
            const int64_t head = column / term.rows, j = column % term.rows;
            for (int64_t k = 0; k < term.columns; ++k) {
                double x = operands[i][static_cast<size_t>((row * term.heads + head) * term.columns + k)];
                double w = weights_[i][static_cast<size_t>(term.offset + head * term.stride_head + j * term.stride_row +
                                                           k * term.stride_column)];
                if (bfloat16) x = arrays::as_bfloat16(x), w = arrays::as_bfloat16(w);
                sum += x * w;
                size += std::fabs(x * w);
            }
        }
    }

    // Against the reference, and each row alone, and among others, against the same row in the batch.
    void check(const Isa& isa, int64_t rows, bool bfloat16) {
        std::vector<std::vector<T>> given;
        for (size_t i = 0; i < shapes_.size(); ++i) given.push_back(operands(i, rows));
        const std::vector<T> got = run(isa, given, rows, bfloat16);
        const double bound = sizeof(T) == 8 ? 1e-14 : 2e-6;
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t j = 0; j < width_; ++j) {
                double sum, size;
                reference(given, r, j, bfloat16, sum, size);
                const double value = got[static_cast<size_t>(r * width_ + j)];
                if (std::fabs(value - sum) <= bound * size + 1e-30) continue;
                std::fprintf(stderr,
                             "%s%s: %d rows, %zu terms, first of %d x %d x %d: y[%d][%d] = %.9g, expected %.9g\n",
                             isa.name, bfloat16 ? ", bfloat16" : "", static_cast<int>(rows), shapes_.size(),
                             shapes_.front().heads, shapes_.front().rows, shapes_.front().columns, static_cast<int>(r),
                             static_cast<int>(j), value, sum);
                CHECK(!"a product is off");
            }
        for (int64_t first = 0; first < rows; first += 3)
            for (const int64_t count : {int64_t{1}, std::min<int64_t>(rows - first, 5)}) {
                std::vector<std::vector<T>> part;
                for (size_t i = 0; i < given.size(); ++i) {
                    const int64_t width = made_.externals[i];
                    part.emplace_back(given[i].begin() + first * width, given[i].begin() + (first + count) * width);
                }
                const std::vector<T> alone = run(isa, part, count, bfloat16);
                CHECK(arrays::same_bits(alone.data(), got.data() + first * width_, count * width_));
            }
    }

  private:
    arrays::Random random_;
    std::vector<Shape> shapes_;
    std::vector<std::vector<T>> weights_;
    sketch::Sketch made_;
    int width_ = 0;
};

template <class T>
void check_all(const Isa& isa, bool bfloat16) {
    using Made = Case<T>;
    using Order = typename Made::Order;
    // One term, at every edge of panels, lanes, pairs and tiles.
    for (const int rows : {1, 15, 16, 17, 33, 64, 65, 130})
        for (const int columns : {1, 2, 31, 32, 33, 64, 71}) {
            const auto order = (rows + columns) % 2 ? Order::head_row_column : Order::head_column_row;
            Made({{1, rows, columns}}, static_cast<uint64_t>(rows * 100 + columns), order).check(isa, 3, bfloat16);
        }
    // Any number of rows.
    for (int rows = 1; rows <= 40; ++rows) Made({{1, 37, 45}}, static_cast<uint64_t>(rows)).check(isa, rows, bfloat16);
    // Heads: a block for each, in panels that hold parts of several.
    for (const Order order :
         {Order::head_row_column, Order::head_column_row, Order::row_column_head, Order::column_row_head}) {
        Made({{4, 5, 7}}, 1, order).check(isa, 7, bfloat16);
        Made({{3, 40, 24}}, 2, order).check(isa, 17, bfloat16);
        Made({{2, 64, 33}}, 3, order).check(isa, 2, bfloat16);
        Made({{70, 1, 1}}, 4, order).check(isa, 4, bfloat16);
        Made({{9, 11, 1}}, 5, order).check(isa, 4, bfloat16);
    }
    // Several terms, of different widths and heads.
    arrays::Random random(5);
    for (int i = 0; i < 60; ++i) {
        const int heads = random.whole(1, 3), rows = random.whole(1, 50);
        std::vector<typename Made::Shape> shapes;
        for (int n = random.whole(1, 4); n; --n) {
            const bool dense = random.whole(0, 1) != 0;
            shapes.push_back(dense ? typename Made::Shape{1, heads * rows, random.whole(1, 90)}
                                   : typename Made::Shape{heads, rows, random.whole(1, 40)});
        }
        Made(shapes, static_cast<uint64_t>(100 + i), static_cast<Order>(random.whole(0, 3)))
            .check(isa, random.whole(1, 23), bfloat16);
    }
}

}  // namespace products
