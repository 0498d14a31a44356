// Products of every instruction set that this processor has.
#include "products.h"

int main() {
    for (const latchwork::Isa* isa : arrays::usable()) {
        products::check_all<float>(*isa, false);
        products::check_all<float>(*isa, true);
        products::check_all<double>(*isa, false);
    }
    return 0;
}
