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
    // How many of something follow: never more than there are numbers left, so that nothing is allocated in vain.
    size_t count(int64_t low, const char* what) {
        return static_cast<size_t>(number(low, static_cast<int64_t>(code_.size() - at_) - 1, what));
    }
    std::vector<int32_t> widths(const char* what) {
        std::vector<int32_t> list(count(0, what));
        for (auto& width : list) width = number(1, 1 << 30, what);
        return list;
    }
    std::vector<int32_t> indices(size_t limit, const char* what) {
        std::vector<int32_t> list(count(0, what));
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

// How many arguments an operation reads as numbers.
int values_of(Code code) {
    switch (code) {
#define X(name) case Code::k_##name:
        LATCHWORK_UNARY(X)
        case Code::k_sum:
        case Code::k_amax:
        case Code::k_store:
        case Code::k_put:
        case Code::k_accumulate: return 1;
        LATCHWORK_BINARY(X) return 2;
#undef X
        case Code::k_where: return 3;
        case Code::k_load:
        case Code::k_product: return 0;
    }
    return 0;
}

// Every argument is of a kind that the operation can take.
void check_spaces(const Instruction& instruction) {
    const auto require = [](bool holds) {
        if (!holds) throw std::invalid_argument("program: an operation can't take an argument of this kind");
    };
    const auto is_value = [](Space space) {
        return space == Space::temp || space == Space::buffer || space == Space::row_scalar || space == Space::vector ||
               space == Space::scalar || space == Space::number;
    };
    const Arg* const args[] = {&instruction.a, &instruction.b, &instruction.c};
    for (int i = 0; i < values_of(instruction.code); ++i) require(is_value(args[i]->space));
    const Space to = instruction.dst.space;
    switch (instruction.code) {
        case Code::k_sum:
        case Code::k_amax: require(to == Space::row_scalar || to == Space::buffer); break;
        case Code::k_store: require(to == Space::external); break;
        case Code::k_put: require(to == Space::buffer); break;
        case Code::k_accumulate: require(to == Space::accumulator); break;
        default: require(to == Space::temp || to == Space::buffer); break;
    }
    if (instruction.code == Code::k_load) require(instruction.a.space == Space::external);
    if (instruction.code == Code::k_product) {
        require(instruction.a.space == Space::product);
        for (const Arg* arg : {&instruction.b, &instruction.c}) require(arg->space == Space::none || is_value(arg->space));
    }
}

}  // namespace

Program::Program(const std::vector<int64_t>& code, std::vector<double> immediates) : numbers(std::move(immediates)) {
    Reader read(code);
    buffers = read.widths("a buffer's width");
    temps = read.number(0, 4096, "temps");
    externals = read.widths("an external's width");
    vectors = read.widths("a vector's width");
    accumulators = read.widths("an accumulator's width");
    const auto buffer = static_cast<int64_t>(buffers.size()) - 1;
    states.resize(read.count(0, "states"));
    for (auto& state : states) {
        state.now = read.number(0, buffer, "a state's buffer");
        state.next = read.number(0, buffer, "a state's buffer");
        state.width = buffers[static_cast<size_t>(state.now)];
        if (buffers[static_cast<size_t>(state.next)] != state.width)
            throw std::invalid_argument("program: the two buffers of a state differ in width");
    }
    constants = read.indices(buffers.size(), "a constant's buffer");
    row_sums = read.indices(buffers.size(), "a row sum's buffer");
    products.resize(read.count(0, "products"));
    for (auto& product : products) {
        product.width = read.number(1, most, "a product's width");
        product.terms.resize(read.count(1, "terms"));
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
    stages.resize(read.count(0, "stages"));
    for (auto& stage : stages) {
        stage.width = read.number(1, 1 << 30, "a stage's width");
        stage.instructions.resize(read.count(0, "instructions"));
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
            check_spaces(instruction);
            const bool whole = instruction.dst.space == Space::buffer && instruction.code != Code::k_put;
            const bool reduced = instruction.code == Code::k_sum || instruction.code == Code::k_amax;
            stage.reduces = stage.reduces || reduced;
            if (reduced && instruction.dst.offset != 0)
                throw std::invalid_argument("program: a reduction gives column 0");
            if (whole && !reduced &&
                (instruction.dst.offset != 0 || buffers[static_cast<size_t>(instruction.dst.index)] != stage.width))
                throw std::invalid_argument("program: only put writes a part of a buffer");
            if (instruction.code == Code::k_product) {
                const Product& product = products[static_cast<size_t>(instruction.a.index)];
                if (instruction.a.offset != 0 || product.width != stage.width)
                    throw std::invalid_argument("program: a product has the width of its stage");
                for (const auto& term : product.terms)
                    if (std::find(stage.operands.begin(), stage.operands.end(), term.buffer) == stage.operands.end())
                        stage.operands.push_back(term.buffer);
            }
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
