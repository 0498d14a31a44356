// The checks themselves.
#include <stdexcept>

#include "check.h"

int main() {
    CHECK(1 + 1 == 2);
    CHECK_NEAR(1.0f / 3.0f, 1.0 / 3.0, 1e-6);
    CHECK_THROWS(std::runtime_error, throw std::runtime_error("said"));
    return 0;
}
