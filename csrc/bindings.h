// What the units of the Python module share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <vector>

namespace latchwork {

using Address = uintptr_t;
using Addresses = std::vector<Address>;

template <class P = const void*>
std::vector<P> pointers(const Addresses& addresses) {
    std::vector<P> list;
    list.reserve(addresses.size());
    for (const Address address : addresses) list.push_back(reinterpret_cast<P>(address));
    return list;
}

// latchwork._engine.Session; wants Program to be bound already.
void bind_session(nanobind::module_& module);

}  // namespace latchwork
