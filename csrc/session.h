// A live recurrence: some rows that stand somewhere, and their next step, with nothing allocated or packed in between.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine.h"
#include "memory.h"

namespace latchwork {

// One layer of a session: `project` makes of the input what depends on it alone, `step` does the rest. Both are owned by
// the caller and outlive the session.
struct LayerPrograms {
    const Program* project;
    const Program* step;
};

// Not to be used by two threads at once; any number of sessions may step at the same time.
class Session {
  public:
    Session(std::vector<LayerPrograms> layers, const Isa& isa, int32_t rows, bool bfloat16);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // Reads the weights anew. For each layer: the weights and vectors of `project`, then of `step`.
    void pack(size_t layer, const std::vector<const void*>& project_weights,
              const std::vector<const void*>& project_vectors, const std::vector<const void*>& step_weights,
              const std::vector<const void*>& step_vectors);

    // input: [rows, input_size], output: [rows, output_size]; they must not overlap. Not before every layer was packed.
    void step(const float* input, float* output);

    // A state leaf of a layer, [rows, width], contiguous.
    void write_state(size_t layer, size_t leaf, const float* from);
    void read_state(size_t layer, size_t leaf, float* to) const;

    int32_t rows() const { return rows_; }
    int64_t input_size() const;
    int64_t output_size() const;
    size_t layers() const { return layers_.size(); }
    const std::vector<Carried>& states(size_t layer) const { return layers_[layer]->programs.step->states; }

  private:
    // What one program writes and the next reads at once: half a line off, since a kernel may send what stands at whole
    // lines past the cache, and to read it back from memory takes as long as a small step.
    class Between {
      public:
        explicit Between(size_t count) : memory_(count * sizeof(float) + half_line) {}
        float* data() const { return reinterpret_cast<float*>(memory_.data() + half_line); }

      private:
        static constexpr size_t half_line = 32;
        Memory memory_;  // begins at a line
    };

    struct Layer {
        Layer(LayerPrograms programs, const Isa& isa, int32_t rows, bool bfloat16);
        LayerPrograms programs;
        Weights<float> project_weights, step_weights;
        Scratch<float> project_scratch, step_scratch;
        std::vector<External> project_externals, step_externals;
        std::vector<Between> between;  // the projected values, then the layer's output
        Work<float> project_work, step_work;
        bool packed = false;
    };

    const Isa& isa_;
    const int32_t rows_;
    std::vector<std::unique_ptr<Layer>> layers_;
    std::vector<int64_t> token_;
};

}  // namespace latchwork
