// latchwork._engine: the engine for Python. The only file that knows Python's headers. Arrays come as addresses, kept
// alive by kernels/cpu.py and kernels/session.py, which also check shapes and types; nothing here is for users.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cpu.h"
#include "engine.h"
#include "program.h"
#include "session.h"
#include "threads.h"

#ifndef LATCHWORK_VERSION
#define LATCHWORK_VERSION "unknown"
#endif

namespace nb = nanobind;

namespace latchwork {
namespace {

using Address = uintptr_t;
using Addresses = std::vector<Address>;

template <class P = const void*>
std::vector<P> pointers(const Addresses& addresses) {
    std::vector<P> list;
    list.reserve(addresses.size());
    for (const Address address : addresses) list.push_back(reinterpret_cast<P>(address));
    return list;
}

// A large array from malloc is mapped anew each time, and every page of it is a fault: from the pool it is not.
nb::ndarray<uint8_t, nb::ndim<1>, nb::device::cpu> array(size_t bytes) {
    auto* const memory = new Memory(bytes);
    const nb::capsule owner(memory, [](void* p) noexcept { delete static_cast<Memory*>(p); });
    return {memory->data(), {bytes}, owner};
}

nb::dict codes() {
    nb::dict names;
    int32_t code = 0;
#define X(name) names[#name] = code++;
    LATCHWORK_UNARY(X) LATCHWORK_BINARY(X) LATCHWORK_OTHER(X)
#undef X
    return names;
}

nb::dict spaces() {
    nb::dict names;
    int32_t space = 0;
    for (const char* name : {"none", "temp", "buffer", "row_scalar", "vector", "scalar", "number", "external", "product",
                             "accumulator"})
        names[name] = space++;
    return names;
}

using Array = std::tuple<Address, int64_t, bool>;  // address, width, bfloat16

void call(const Program& program, const std::string& isa, bool twofold, int64_t rows, int64_t steps, int32_t threads,
          bool backward, bool reversed, bool bfloat16, Address lengths, Address starts, Address resets,
          const std::vector<Array>& externals, const Addresses& states, const Addresses& final_states,
          const Addresses& fresh, const Addresses& fresh_gradients, const Addresses& constants,
          const Addresses& row_sums, const Addresses& accumulators, const Addresses& weights, const Addresses& vectors) {
    Call made;
    made.rows = rows;
    made.steps = steps;
    made.threads = threads;
    made.backward = backward;
    made.reversed = reversed;
    made.bfloat16 = bfloat16;
    made.lengths = reinterpret_cast<const int64_t*>(lengths);
    made.starts = reinterpret_cast<const int64_t*>(starts);
    made.resets = reinterpret_cast<const uint8_t*>(resets);
    for (const auto& [address, width, narrow] : externals)
        made.externals.push_back({reinterpret_cast<void*>(address), width, narrow});
    made.states = pointers(states);
    made.final_states = pointers<void*>(final_states);
    made.fresh = pointers(fresh);
    made.fresh_gradients = pointers<void*>(fresh_gradients);
    made.constants = pointers(constants);
    made.row_sums = pointers<void*>(row_sums);
    made.accumulators = pointers<void*>(accumulators);
    made.weights = pointers(weights);
    made.vectors = pointers(vectors);
    const Isa& set = instruction_set(isa);
    const nb::gil_scoped_release release;
    if (twofold)
        run<double>(program, set, made);
    else
        run<float>(program, set, made);
}

// A float32 array of the caller by Python's buffer protocol, which numpy, array and memoryview all speak.
class Buffer {
  public:
    Buffer(PyObject* object, bool writable) {
        const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object, &view_, flags) != 0) throw nb::python_error();
    }
    ~Buffer() { PyBuffer_Release(&view_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    bool is(int64_t rows, int64_t width) const {
        return view_.format && view_.format[0] == 'f' && view_.format[1] == 0 && view_.ndim == 2 &&
               view_.shape[0] == rows && view_.shape[1] == width;
    }
    float* data() const { return static_cast<float*>(view_.buf); }

  private:
    Py_buffer view_{};
};

class LiveSession {
  public:
    LiveSession(nb::list programs, const std::string& isa, int32_t rows, bool bfloat16)
        : programs_(programs), session_(layers(programs), instruction_set(isa), rows, bfloat16) {}
    LiveSession(const LiveSession&) = delete;
    LiveSession& operator=(const LiveSession&) = delete;

    // False where the arrays are not what is expected: the caller finds out what came, off the fast path.
    bool step(nb::handle input, nb::handle output) {
        const Buffer from(input.ptr(), false), to(output.ptr(), true);
        if (!from.is(session_.rows(), session_.input_size()) || !to.is(session_.rows(), session_.output_size()))
            return false;
        session_.step(from.data(), to.data());
        return true;
    }

    Session& get() { return session_; }

  private:
    static std::vector<LayerPrograms> layers(const nb::list& programs) {
        std::vector<LayerPrograms> list;
        for (const nb::handle pair : programs) {
            const auto both = nb::cast<nb::tuple>(pair);
            list.push_back({nb::cast<const Program*>(both[0]), nb::cast<const Program*>(both[1])});
        }
        return list;
    }

    nb::list programs_;  // keeps them alive
    Session session_;
};

}  // namespace
}  // namespace latchwork

NB_MODULE(_engine, module) {
    using namespace latchwork;
    nb::set_leak_warnings(false);  // programs live as long as the interpreter
    module.def("version", [] { return LATCHWORK_VERSION; }, "The version of latchwork that this was built from.");
    module.def("codes", &codes, "Operation -> number.");
    module.def("spaces", &spaces, "Kind of argument -> number.");
    module.attr("CHUNK") = chunk;
    module.def(
        "instruction_sets",
        [] {
            std::vector<std::pair<std::string, std::string>> list;
            for (const auto& found : instruction_sets()) list.emplace_back(found.name, found.missing);
            return list;
        },
        "(name, why it can't be used or \"\") in rising order of preference.");
    module.def(
        "instruction_set", [](const std::string& name) { return std::string(instruction_set(name).name); }, nb::arg("name"),
        "The name of the set that is taken for `name`; ValueError where it can't be had.");
    module.def(
        "use_team", [](Address entry) { use_team(reinterpret_cast<TeamEntry>(entry)); }, nb::arg("entry"),
        "Run on the threads of this GOMP_parallel; 0: on threads of our own.");
    module.def("has_team", &has_team, "Whether the threads are the caller's.");
    module.def("array", &array, nb::arg("bytes"),
               "Bytes from the engine's pool, for torch.from_dlpack: given back to it when the last tensor goes.");
    module.def("poison", &Memory::poison, nb::arg("on"), "Fill all scratch memory with NaN before its use: for tests.");
    nb::class_<Program>(module, "Program")
        .def(nb::init<const std::vector<int64_t>&, std::vector<double>>(), nb::arg("code"), nb::arg("numbers"));
    module.def("run", &call, nb::arg("program"), nb::arg("isa"), nb::arg("twofold"), nb::arg("rows"), nb::arg("steps"),
               nb::arg("threads"), nb::arg("backward"), nb::arg("reversed"), nb::arg("bfloat16"), nb::arg("lengths"),
               nb::arg("starts"), nb::arg("resets"), nb::arg("externals"), nb::arg("states"), nb::arg("final_states"),
               nb::arg("fresh"), nb::arg("fresh_gradients"), nb::arg("constants"), nb::arg("row_sums"),
               nb::arg("accumulators"), nb::arg("weights"), nb::arg("vectors"),
               "Run a program; see csrc/engine.h for what each array is. Releases the interpreter's lock.");
    nb::class_<LiveSession>(module, "Session")
        .def(nb::init<nb::list, const std::string&, int32_t, bool>(), nb::arg("programs"), nb::arg("isa"),
             nb::arg("rows"), nb::arg("bfloat16"))
        .def(
            "pack",
            [](LiveSession& own, size_t layer, const Addresses& project_weights, const Addresses& project_vectors,
               const Addresses& step_weights, const Addresses& step_vectors) {
                own.get().pack(layer, pointers(project_weights), pointers(project_vectors), pointers(step_weights),
                               pointers(step_vectors));
            },
            nb::arg("layer"), nb::arg("project_weights"), nb::arg("project_vectors"), nb::arg("step_weights"),
            nb::arg("step_vectors"))
        .def("step", &LiveSession::step, nb::arg("input"), nb::arg("output"))
        .def(
            "write_state",
            [](LiveSession& own, size_t layer, size_t leaf, Address from) {
                own.get().write_state(layer, leaf, reinterpret_cast<const float*>(from));
            },
            nb::arg("layer"), nb::arg("leaf"), nb::arg("address"))
        .def(
            "read_state",
            [](LiveSession& own, size_t layer, size_t leaf, Address to) {
                own.get().read_state(layer, leaf, reinterpret_cast<float*>(to));
            },
            nb::arg("layer"), nb::arg("leaf"), nb::arg("address"));
}
