// Sessions: a layer stepped is the same as its programs run, bit for bit; states are written and read.
#include "session.h"

#include "scene.h"
#include "sketch.h"

using namespace latchwork;

namespace {

struct Layer {
    int inputs, hidden;
    std::vector<float> in_weight, bias, weight;

    Layer(int inputs, int hidden, arrays::Random& random)
        : inputs(inputs),
          hidden(hidden),
          in_weight(arrays::numbers<float>(random, 2 * hidden * inputs)),
          bias(arrays::numbers<float>(random, hidden)),
          weight(arrays::numbers<float>(random, hidden * hidden, 0.3)) {}

    // p = W x + b;  q = V x
    Program project() const {
        using namespace sketch;
        Sketch made;
        made.buffers = {inputs};
        made.temps = 1;
        made.externals = {inputs, hidden, hidden};
        made.vectors = {hidden};
        made.products = {{hidden, {dense(0, 0, hidden, inputs)}}, {hidden, {dense(0, 1, hidden, inputs)}}};
        made.stage(inputs, {{Code::k_load, buffer(0), external(0), {}, {}}});
        made.stage(hidden, {{Code::k_product, temp(0), product(0), {}, {}},
                            {Code::k_add, temp(0), temp(0), vector(0), {}},
                            {Code::k_store, external(1), temp(0), {}, {}},
                            {Code::k_product, temp(0), product(1), {}, {}},
                            {Code::k_store, external(2), temp(0), {}, {}}});
        return made.program();
    }

    // n = 0.5 n + q;  h = tanh(p + R h) + n
    Program step() const {
        using namespace sketch;
        Sketch made;
        made.buffers = {hidden, hidden, hidden, hidden};
        made.temps = 2;
        made.externals = {hidden, hidden, hidden};
        made.states = {{0, 1}, {2, 3}};
        made.numbers = {0.5};
        made.products = {{hidden, {dense(0, 0, hidden, hidden)}}};
        made.stage(hidden, {{Code::k_product, temp(0), product(0), {}, {}},
                            {Code::k_load, temp(1), external(0), {}, {}},
                            {Code::k_add, temp(0), temp(0), temp(1), {}},
                            {Code::k_tanh, temp(0), temp(0), {}, {}},
                            {Code::k_load, temp(1), external(1), {}, {}},
                            {Code::k_mul, buffer(3), buffer(2), number(0), {}},
                            {Code::k_add, buffer(3), buffer(3), temp(1), {}},
                            {Code::k_add, buffer(1), temp(0), buffer(3), {}},
                            {Code::k_store, external(2), buffer(1), {}, {}}});
        return made.program();
    }

    std::vector<const void*> in_weights() const { return {in_weight.data(), in_weight.data() + hidden * inputs}; }
};

// [rows, steps, inputs] -> [rows, steps, hidden]; states in and out.
std::vector<float> run_layer(const Layer& layer, const Isa& isa, const std::vector<float>& x, int64_t rows,
                             int64_t steps, bool bfloat16, std::vector<std::vector<float>>& states) {
    std::vector<float> p(static_cast<size_t>(rows * steps * layer.hidden)), q(p.size()), y(p.size());
    Call call;
    call.rows = rows * steps;
    call.steps = 1;
    call.bfloat16 = bfloat16;
    call.externals = {{const_cast<float*>(x.data()), layer.inputs, false},
                      {p.data(), layer.hidden, false},
                      {q.data(), layer.hidden, false}};
    call.weights = layer.in_weights();
    call.vectors = {layer.bias.data()};
    run<float>(layer.project(), isa, call);
    std::vector<std::vector<float>> after = states;
    Call over;
    over.rows = rows;
    over.steps = steps;
    over.bfloat16 = bfloat16;
    over.externals = {
        {p.data(), layer.hidden, false}, {q.data(), layer.hidden, false}, {y.data(), layer.hidden, false}};
    over.states = {states[0].data(), states[1].data()};
    over.final_states = {after[0].data(), after[1].data()};
    over.weights = {layer.weight.data()};
    run<float>(layer.step(), isa, over);
    states = after;
    return y;
}

void check_session(const Isa& isa, int rows, bool bfloat16) {
    const int steps = 5;
    arrays::Random random(static_cast<uint64_t>(rows));
    const std::vector<Layer> layers{{7, 33, random}, {33, 20, random}, {20, 65, random}};
    std::vector<Program> programs;
    programs.reserve(2 * layers.size());
    std::vector<LayerPrograms> pairs;
    for (const Layer& layer : layers) {
        programs.push_back(layer.project());
        programs.push_back(layer.step());
        pairs.push_back({&programs[programs.size() - 2], &programs.back()});
    }
    Session session(pairs, isa, rows, bfloat16);
    CHECK(session.rows() == rows && session.input_size() == 7 && session.output_size() == 65 && session.layers() == 3);
    CHECK(session.states(1).size() == 2 && session.states(1)[0].width == 20);
    std::vector<float> x = arrays::numbers<float>(random, int64_t{rows} * steps * 7);
    arrays::Guarded<float> out(int64_t{rows} * 65);
    CHECK_THROWS(std::invalid_argument, session.step(x.data(), out.data()));
    for (size_t i = 0; i < layers.size(); ++i)
        session.pack(i, layers[i].in_weights(), {layers[i].bias.data()}, {layers[i].weight.data()}, {});
    // A session begins at zero; then from states of our own.
    for (int round = 0; round < 2; ++round) {
        std::vector<std::vector<std::vector<float>>> states;
        for (size_t i = 0; i < layers.size(); ++i) {
            states.emplace_back();
            for (size_t leaf = 0; leaf < 2; ++leaf) {
                states[i].push_back(arrays::numbers<float>(random, int64_t{rows} * layers[i].hidden, round));
                if (round) session.write_state(i, leaf, states[i][leaf].data());
            }
        }
        std::vector<float> expected = x;
        for (size_t i = 0; i < layers.size(); ++i)
            expected = run_layer(layers[i], isa, expected, rows, steps, bfloat16, states[i]);
        for (int s = 0; s < steps; ++s) {
            std::vector<float> one;
            for (int r = 0; r < rows; ++r)
                one.insert(one.end(), x.begin() + (r * steps + s) * 7, x.begin() + (r * steps + s + 1) * 7);
            session.step(one.data(), out.data());
            out.check_zones();
            for (int r = 0; r < rows; ++r)
                CHECK(arrays::same_bits(out.data() + r * 65, expected.data() + (r * steps + s) * 65, 65));
        }
        for (size_t i = 0; i < layers.size(); ++i)
            for (size_t leaf = 0; leaf < 2; ++leaf) {
                arrays::Guarded<float> read(int64_t{rows} * layers[i].hidden);
                session.read_state(i, leaf, read.data());
                read.check_zones();
                CHECK(arrays::same_bits(read.values(), states[i][leaf]));
            }
    }
    CHECK_THROWS(std::out_of_range, session.write_state(3, 0, x.data()));
    CHECK_THROWS(std::out_of_range, session.write_state(0, 2, x.data()));
}

void check_refusals() {
    arrays::Random random(1);
    const Layer one(3, 4, random), other(5, 4, random);
    const Program project = one.project(), step = one.step(), wider = other.project(), next = other.step();
    CHECK_THROWS(std::invalid_argument, Session({}, portable(), 1, false));
    CHECK_THROWS(std::invalid_argument, Session({{&project, &step}}, portable(), 0, false));
    CHECK_THROWS(std::invalid_argument, Session({{&project, &step}, {&wider, &next}}, portable(), 1, false));
    CHECK_THROWS(std::invalid_argument, Session({{&step, &project}}, portable(), 1, false));
    const Program empty = sketch::Sketch().program();
    CHECK_THROWS(std::invalid_argument, Session({{&empty, &empty}}, portable(), 1, false));
    Session session({{&project, &step}}, portable(), 1, false);
    CHECK_THROWS(std::invalid_argument, session.pack(0, {}, {one.bias.data()}, {one.weight.data()}, {}));
    CHECK_THROWS(std::invalid_argument, session.pack(0, one.in_weights(), {}, {one.weight.data()}, {}));
}

}  // namespace

int main() {
    Memory::poison(true);
    for (const Isa* isa : arrays::usable())
        for (const int rows : {1, 2, 5, 6, 7, 13, 16, 17, 40})
            for (const bool bfloat16 : {false, true}) check_session(*isa, rows, bfloat16);
    check_refusals();
    return 0;
}
