#include "program.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace latchwork {
namespace {

class Reader {
  public:
    explicit Reader(const std::vector<int64_t>& code) : code_(code) {}

    int64_t wide() {
        if (at_ >= code_.size()) throw std::invalid_argument("program ends too early");
        return code_[at_++];
    }
    int32_t number(int64_t low, int64_t high, const char* what) {
        const int64_t value = wide();
        if (value < low || value > high)
            throw std::invalid_argument(std::string("program: ") + what + " is " + std::to_string(value) +
                                        ", expected " + std::to_string(low) + " to " + std::to_string(high));
        return static_cast<int32_t>(value);
    }
    std::vector<int32_t> widths(const char* what) {
        std::vector<int32_t> list(static_cast<size_t>(number(0, 1 << 20, what)));
        for (auto& width : list) width = number(1, 1 << 30, what);
        return list;
    }
    std::vector<int32_t> indices(size_t limit, const char* what) {
        std::vector<int32_t> list(static_cast<size_t>(number(0, 1 << 20, what)));
        for (auto& index : list) index = number(0, static_cast<int64_t>(limit) - 1, what);
        return list;
    }
    bool done() const { return at_ == code_.size(); }

  private:
    const std::vector<int64_t>& code_;
    size_t at_ = 0;
};

constexpr int32_t last_code = static_cast<int32_t>(Code::k_accumulate);
constexpr int64_t most = (int64_t{1} << 31) - 1;

}  // namespace

Program::Program(const std::vector<int64_t>& code, std::vector<double> immediates) : numbers(std::move(immediates)) {
    Reader read(code);
    buffers = read.widths("a buffer's width");
    temps = read.number(0, 4096, "temps");
    externals = read.widths("an external's width");
    vectors = read.widths("a vector's width");
    accumulators = read.widths("an accumulator's width");
    const auto buffer = static_cast<int64_t>(buffers.size()) - 1;
    states.resize(static_cast<size_t>(read.number(0, 1 << 20, "states")));
    for (auto& state : states) {
        state.now = read.number(0, buffer, "a state's buffer");
        state.next = read.number(0, buffer, "a state's buffer");
        state.width = buffers[static_cast<size_t>(state.now)];
        if (buffers[static_cast<size_t>(state.next)] != state.width)
            throw std::invalid_argument("program: the two buffers of a state differ in width");
    }
    constants = read.indices(buffers.size(), "a constant's buffer");
    row_sums = read.indices(buffers.size(), "a row sum's buffer");
    products.resize(static_cast<size_t>(read.number(0, 1 << 20, "products")));
    for (auto& product : products) {
        product.width = read.number(1, most, "a product's width");
        product.terms.resize(static_cast<size_t>(read.number(1, 1 << 20, "terms")));
        for (auto& term : product.terms) {
            term.buffer = read.number(0, buffer, "an operand's buffer");
            term.weight = read.number(0, 1 << 20, "a weight");
            term.heads = read.number(1, most, "heads");
            term.rows = read.number(1, most, "rows");
            term.columns = read.number(1, most, "columns");
            term.offset = read.wide();
            term.stride_head = read.wide();
            term.stride_row = read.wide();
            term.stride_column = read.wide();
            if (int64_t{term.heads} * term.rows != product.width ||
                int64_t{term.heads} * term.columns != buffers[static_cast<size_t>(term.buffer)])
                throw std::invalid_argument("program: a product's sizes do not fit its operand and result");
        }
    }
    stages.resize(static_cast<size_t>(read.number(0, 1 << 20, "stages")));
    for (auto& stage : stages) {
        stage.width = read.number(1, most, "a stage's width");
        stage.instructions.resize(static_cast<size_t>(read.number(0, 1 << 20, "instructions")));
        for (auto& instruction : stage.instructions) {
            instruction.code = static_cast<Code>(read.number(0, last_code, "an operation"));
            for (Arg* arg : {&instruction.dst, &instruction.a, &instruction.b, &instruction.c}) {
                arg->space = static_cast<Space>(read.number(0, static_cast<int32_t>(Space::accumulator), "a space"));
                size_t limit = 1;
                int64_t room = most;
                switch (arg->space) {
                    case Space::none: break;
                    case Space::temp: limit = static_cast<size_t>(temps); break;
                    case Space::buffer:
                    case Space::row_scalar: limit = buffers.size(); break;
                    case Space::vector:
                    case Space::scalar: limit = vectors.size(); break;
                    case Space::number: limit = numbers.size(); break;
                    case Space::external: limit = externals.size(); break;
                    case Space::product: limit = products.size(); break;
                    case Space::accumulator: limit = accumulators.size(); break;
                }
                arg->index = read.number(0, static_cast<int64_t>(limit) - 1, "an argument");
                const auto index = static_cast<size_t>(arg->index);
                if (arg->space == Space::buffer) room = buffers[index];
                if (arg->space == Space::vector || arg->space == Space::scalar) room = vectors[index];
                if (arg->space == Space::external) room = externals[index];
                if (arg->space == Space::accumulator) room = accumulators[index];
                arg->offset = read.number(0, most, "an offset");
                const int64_t used = arg->space == Space::scalar ? 1 : stage.width;
                if (arg->space != Space::temp && arg->offset + used > room)
                    throw std::invalid_argument("program: an argument reaches past the end of its array");
            }
            const bool whole = instruction.dst.space == Space::buffer && instruction.code != Code::k_put;
            const bool reduced = instruction.code == Code::k_sum || instruction.code == Code::k_amax;
            if (whole && !reduced &&
                (instruction.dst.offset != 0 || buffers[static_cast<size_t>(instruction.dst.index)] != stage.width))
                throw std::invalid_argument("program: only put writes a part of a buffer");
            if (instruction.code == Code::k_product)
                for (const auto& term : products[static_cast<size_t>(instruction.a.index)].terms)
                    if (std::find(stage.operands.begin(), stage.operands.end(), term.buffer) == stage.operands.end())
                        stage.operands.push_back(term.buffer);
        }
    }
    if (!read.done()) throw std::invalid_argument("program is longer than it says");
    columnwise = !stages.empty() && products.empty();
    for (const auto& stage : stages) {
        columnwise = columnwise && stage.width == stages.front().width;
        for (const auto& instruction : stage.instructions) {
            columnwise = columnwise && instruction.code != Code::k_sum && instruction.code != Code::k_amax &&
                         instruction.dst.offset == 0;
            for (const Arg& arg : {instruction.a, instruction.b, instruction.c})
                columnwise = columnwise && arg.space != Space::row_scalar &&
                             !(arg.space == Space::buffer && arg.offset != 0);
        }
    }
    for (const auto& state : states) columnwise = columnwise && state.width == stages.front().width;
}

}  // namespace latchwork
