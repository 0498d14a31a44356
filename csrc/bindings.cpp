// latchwork._engine: the engine for Python, whose headers are known in bindings* alone. Arrays come as addresses, kept
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

#include "bindings.h"
#include "cpu.h"
#include "engine.h"
#include "program.h"
#include "threads.h"

#ifndef LATCHWORK_VERSION
#define LATCHWORK_VERSION "unknown"
#endif

namespace nb = nanobind;

namespace latchwork {
namespace {

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
    bind_session(module);
}
