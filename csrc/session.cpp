#include "session.h"

#include <algorithm>
#include <stdexcept>

namespace latchwork {
namespace {

// External arrays of a program in a session: the first `read` are read, the others written.
Work<float> work_of(Scratch<float>& scratch, const Weights<float>& weights, const std::vector<External>& externals) {
    return {scratch.buffers.data(), scratch.strides.data(), scratch.mirrors.data(),      scratch.temps,
            externals.data(),       weights.vectors(),      weights.numbers(),           scratch.accumulators.data(),
            weights.packed(),       weights.bfloat16()};
}

}  // namespace

// The external arrays of `project` are the input, then each projected value; those of `step` each projected value, then
// the output: the order in which kernels/schedule.py lists them.
Session::Layer::Layer(LayerPrograms given, const Isa& isa, int32_t rows, bool bfloat16)
    : programs(given),
      project_weights(*given.project, isa, bfloat16),
      step_weights(*given.step, isa, bfloat16),
      project_scratch(*given.project, project_weights, rows),
      step_scratch(*given.step, step_weights, rows) {
    const auto& in = given.project->externals;
    const auto& out = given.step->externals;
    for (const Program* program : {given.project, given.step})
        if (!program->constants.empty() || !program->row_sums.empty())
            throw std::invalid_argument("session: a program with constants or row sums");
    if (in.empty() || in.size() != out.size() || !std::equal(in.begin() + 1, in.end(), out.begin()))
        throw std::invalid_argument("session: the two programs of a layer do not fit each other");
    for (size_t i = 0; i < in.size(); ++i) {
        const int32_t width = i + 1 < in.size() ? in[i + 1] : out.back();
        between.emplace_back(static_cast<size_t>(rows) * static_cast<size_t>(width));
    }
    project_externals.push_back({nullptr, in.front(), false});
    for (size_t i = 0; i < between.size(); ++i) {
        External array{between[i].data(), i + 1 < in.size() ? in[i + 1] : out.back(), false};
        if (i + 1 < in.size()) project_externals.push_back(array);
        step_externals.push_back(array);
    }
    project_work = work_of(project_scratch, project_weights, project_externals);
    step_work = work_of(step_scratch, step_weights, step_externals);
    for (const auto& state : given.step->states)
        for (const int32_t buffer : {state.now, state.next})
            std::fill_n(step_scratch.buffers[static_cast<size_t>(buffer)],
                        int64_t{rows} * step_scratch.strides[static_cast<size_t>(buffer)], 0.0f);
}

Session::Session(std::vector<LayerPrograms> layers, const Isa& isa, int32_t rows, bool bfloat16)
    : isa_(isa), rows_(rows) {
    if (layers.empty() || rows < 1) throw std::invalid_argument("session: no layers or no rows");
    for (const auto& programs : layers) layers_.push_back(std::make_unique<Layer>(programs, isa, rows, bfloat16));
    for (size_t i = 1; i < layers_.size(); ++i)
        if (layers_[i]->programs.project->externals.front() != layers_[i - 1]->programs.step->externals.back())
            throw std::invalid_argument("session: a layer does not take what the one below gives");
    for (int32_t r = 0; r < rows; ++r) token_.push_back(r);
}

void Session::pack(size_t layer, const std::vector<const void*>& project_weights,
                   const std::vector<const void*>& project_vectors, const std::vector<const void*>& step_weights,
                   const std::vector<const void*>& step_vectors) {
    Layer& own = *layers_.at(layer);
    own.project_weights.pack(project_weights, project_vectors, 1);
    own.step_weights.pack(step_weights, step_vectors, 1);
    own.packed = true;
}

void Session::step(const float* input, float* output) {
    for (size_t i = 0; i < layers_.size(); ++i) {
        Layer& layer = *layers_[i];
        if (!layer.packed) throw std::invalid_argument("session: no weights yet");
        layer.project_externals.front().data = const_cast<float*>(input);
        latchwork::step(*layer.programs.project, isa_.single, layer.project_work, rows_, token_.data(), 0, INT32_MAX);
        latchwork::step(*layer.programs.step, isa_.single, layer.step_work, rows_, token_.data(), 0, INT32_MAX);
        for (const auto& state : layer.programs.step->states) {
            std::swap(layer.step_scratch.buffers[static_cast<size_t>(state.now)],
                      layer.step_scratch.buffers[static_cast<size_t>(state.next)]);
            std::swap(layer.step_scratch.mirrors[static_cast<size_t>(state.now)],
                      layer.step_scratch.mirrors[static_cast<size_t>(state.next)]);
        }
        input = layer.between.back().data();
    }
    std::copy_n(input, int64_t{rows_} * output_size(), output);
}

void Session::write_state(size_t layer, size_t leaf, const float* from) {
    Layer& own = *layers_.at(layer);
    const Carried& state = own.programs.step->states.at(leaf);
    const auto buffer = static_cast<size_t>(state.now);
    for (int64_t r = 0; r < rows_; ++r)
        std::copy_n(from + r * state.width, state.width, own.step_scratch.buffers[buffer] + r * own.step_scratch.strides[buffer]);
}

void Session::read_state(size_t layer, size_t leaf, float* to) const {
    const Layer& own = *layers_.at(layer);
    const Carried& state = own.programs.step->states.at(leaf);
    const auto buffer = static_cast<size_t>(state.now);
    for (int64_t r = 0; r < rows_; ++r)
        std::copy_n(own.step_scratch.buffers[buffer] + r * own.step_scratch.strides[buffer], state.width, to + r * state.width);
}

int64_t Session::input_size() const { return layers_.front()->programs.project->externals.front(); }
int64_t Session::output_size() const { return layers_.back()->programs.step->externals.back(); }

}  // namespace latchwork
