// latchwork._engine.Session: a live session for Python. A small cell's step takes little more than a microsecond, so
// what stands around it counts in tens of nanoseconds.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "cpu.h"
#include "program.h"
#include "session.h"

namespace nb = nanobind;

namespace latchwork {
namespace {

// A float32 array of the caller by Python's buffer protocol, which numpy, array and memoryview all speak.
class Buffer {
  public:
    Buffer(PyObject* object, bool writable) {
        const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        held_ = PyObject_GetBuffer(object, &view_, flags) == 0;
        if (held_) return;
        const bool expected = PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_BufferError) ||
                              PyErr_ExceptionMatches(PyExc_ValueError);
        if (!expected) throw nb::python_error();
        PyErr_Clear();  // no buffer, or one with gaps
    }
    ~Buffer() {
        if (held_) PyBuffer_Release(&view_);
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    // Null where this is not a float32 array [rows, width].
    float* data(int64_t rows, int64_t width) const {
        const bool fits = held_ && view_.format && view_.format[0] == 'f' && view_.format[1] == 0 && view_.ndim == 2 &&
                          view_.shape[0] == rows && view_.shape[1] == width;
        return fits ? static_cast<float*>(view_.buf) : nullptr;
    }

  private:
    Py_buffer view_{};
    bool held_;
};

// Numpy's arrays. To ask a new array by the buffer protocol takes as long as making it, so a plain array is read where
// it keeps its fields: at the places that numpy's headers compile into every module that uses them, the same in 1.x and
// 2.x. They are tried on an array when a session is made; were they others, all would go by the buffer protocol.
class Numpy {
  public:
    Numpy(int64_t rows, int64_t width) {
        const nb::module_ numpy = nb::module_::import_("numpy");
        kind_ = numpy.attr("ndarray");
        dtype_ = numpy.attr("dtype")("float32");
        empty_ = numpy.attr("empty");
        shape_ = nb::make_tuple(rows, width);
        const nb::object made = empty();
        const Buffer known(made.ptr(), true);
        known_ = true;
        float* const data = known.data(rows, width);
        known_ = data && fields(made, rows, width) == data && !fields(made, rows, width + 1);
    }

    // A new array [rows, width].
    nb::object empty() const { return empty_(shape_, dtype_); }

    // The numbers of a contiguous float32 array [rows, width]; null where it is not one, or where only the buffer
    // protocol could tell.
    float* fields(nb::handle object, int64_t rows, int64_t width) const {
        if (!known_ || Py_TYPE(object.ptr()) != reinterpret_cast<PyTypeObject*>(kind_.ptr())) return nullptr;
        const auto* const array = reinterpret_cast<const Fields*>(object.ptr());
        constexpr int plain = 0x1 | 0x100;  // C-contiguous, aligned
        if (array->dtype != dtype_.ptr() || (array->flags & plain) != plain || array->dimensions != 2 ||
            array->shape[0] != rows || array->shape[1] != width)
            return nullptr;
        return static_cast<float*>(array->data);
    }

  private:
    struct Fields {  // PyArrayObject_fields
        PyObject_HEAD
        void* data;
        int dimensions;
        Py_ssize_t* shape;
        Py_ssize_t* strides;
        PyObject* base;
        PyObject* dtype;
        int flags;
    };

    nb::object kind_, dtype_, empty_, shape_;
    bool known_ = false;
};

// What shows that a session's weights are no longer those that were packed: what the tables of the modules hold, by
// identity, and the versions of the tensors, which count their changes in place.
class Watch {
  public:
    Watch() = default;
    Watch(const nb::list& places, const nb::list& tensors) {
        for (const nb::handle place : places) {
            const auto own = nb::cast<nb::tuple>(place);
            places_.push_back({nb::cast<nb::dict>(own[0]), own[1], own[2]});
        }
        for (const nb::handle tensor : tensors) tensors_.push_back({nb::borrow(tensor), version(tensor)});
    }

    bool changed() const {
        for (const Place& place : places_) {
            PyObject* const now = PyDict_GetItemWithError(place.table.ptr(), place.name.ptr());
            if (!now && PyErr_Occurred()) throw nb::python_error();
            if (now != place.held.ptr()) return true;
        }
        for (const Watched& watched : tensors_)
            if (version(watched.tensor) != watched.version) return true;
        return false;
    }

    int traverse(visitproc visit, void* arg) const {
        for (const Place& place : places_) {
            Py_VISIT(place.table.ptr());
            Py_VISIT(place.name.ptr());
            Py_VISIT(place.held.ptr());
        }
        for (const Watched& watched : tensors_) Py_VISIT(watched.tensor.ptr());
        return 0;
    }

  private:
    struct Place {
        nb::dict table;
        nb::object name, held;
    };
    struct Watched {
        nb::object tensor;
        long long version;
    };

    static long long version(nb::handle tensor) {
        static PyObject* const name = PyUnicode_InternFromString("_version");
        const nb::object read = nb::steal(PyObject_GetAttr(tensor.ptr(), name));
        if (!read.is_valid()) throw nb::python_error();
        const long long number = PyLong_AsLongLong(read.ptr());
        if (number == -1 && PyErr_Occurred()) throw nb::python_error();
        return number;
    }

    std::vector<Place> places_;
    std::vector<Watched> tensors_;
};

class LiveSession {
  public:
    LiveSession(nb::list programs, const std::string& isa, int32_t rows, bool bfloat16)
        : programs_(programs),
          session_(layers(programs), instruction_set(isa), rows, bfloat16),
          numpy_(rows, session_.output_size()) {}
    LiveSession(const LiveSession&) = delete;
    LiveSession& operator=(const LiveSession&) = delete;

    void watch(const nb::list& places, const nb::list& tensors) { watch_ = Watch(places, tensors); }
    bool changed() const { return watch_.changed(); }

    // None where the input is not what is expected: the caller finds out what came, off the fast path.
    nb::object advance(nb::handle input) {
        const int64_t rows = session_.rows(), width = session_.input_size();
        if (const float* const from = numpy_.fields(input, rows, width)) return to_array(from);
        const Buffer buffer(input.ptr(), false);
        const float* const from = buffer.data(rows, width);
        return from ? to_array(from) : nb::none();
    }

    // None, too, where what is watched changed: then nothing was done.
    nb::object step(nb::handle input) { return changed() ? nb::none() : advance(input); }

    Session& get() { return session_; }

    static int traverse(PyObject* self, visitproc visit, void* arg) {
        Py_VISIT(Py_TYPE(self));
        return nb::inst_ready(self) ? nb::inst_ptr<LiveSession>(self)->watch_.traverse(visit, arg) : 0;
    }
    static int clear(PyObject* self) {
        if (nb::inst_ready(self)) const Watch dropped = std::exchange(nb::inst_ptr<LiveSession>(self)->watch_, Watch());
        return 0;
    }

  private:
    nb::object to_array(const float* input) {
        const int64_t rows = session_.rows(), width = session_.output_size();
        nb::object output = numpy_.empty();
        if (float* const to = numpy_.fields(output, rows, width)) {
            session_.step(input, to);
        } else {
            const Buffer buffer(output.ptr(), true);
            session_.step(input, buffer.data(rows, width));
        }
        return output;
    }

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
    Numpy numpy_;
    Watch watch_;
};

}  // namespace

void bind_session(nb::module_& module) {
    // The watch holds modules, which may hold the session: a circle that Python's collector has to see.
    static PyType_Slot slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(LiveSession::traverse)},
                                  {Py_tp_clear, reinterpret_cast<void*>(LiveSession::clear)},
                                  {0, nullptr}};
    nb::class_<LiveSession>(module, "Session", nb::type_slots(slots))
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
        .def("watch", &LiveSession::watch, nb::arg("places"), nb::arg("tensors"),
             "Watch places, (table, name, what it holds), and tensors for a change.")
        .def("changed", &LiveSession::changed, "Whether what is watched changed.")
        .def("step", &LiveSession::step, nb::arg("input").none(),
             "A new array; None where what is watched changed, or the input is not what is expected.")
        .def("advance", &LiveSession::advance, nb::arg("input").none(), "The same, whatever changed.")
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

}  // namespace latchwork
