#include "memory.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

namespace latchwork {
namespace {

constexpr std::align_val_t line{64};
constexpr size_t kept_bytes = size_t{256} << 20;  // the pool gives back what it holds beyond this

struct Pool {
    std::mutex lock;
    std::multimap<size_t, std::byte*> free;
    size_t held = 0;
};

Pool& pool() {
    static Pool* const one = new Pool;  // never destroyed: threads may outlive static objects
    return *one;
}

std::atomic<bool> poisoned{false};

}  // namespace

Memory::Memory(size_t bytes) : data_(nullptr), bytes_((bytes + 4095) / 4096 * 4096) {
    {
        Pool& shared = pool();
        const std::lock_guard guard(shared.lock);
        const auto found = shared.free.lower_bound(bytes_);
        if (found != shared.free.end() && found->first <= 2 * bytes_ + 65536) {
            bytes_ = found->first;
            data_ = found->second;
            shared.held -= bytes_;
            shared.free.erase(found);
        }
    }
    if (!data_) data_ = static_cast<std::byte*>(::operator new(bytes_, line));
    if (poisoned) std::memset(data_, 0xff, bytes_);  // a NaN in every number type
}

Memory::~Memory() {
    if (!data_) return;
    Pool& shared = pool();
    {
        const std::lock_guard guard(shared.lock);
        if (shared.held + bytes_ <= kept_bytes) {
            shared.free.emplace(bytes_, data_);
            shared.held += bytes_;
            return;
        }
    }
    ::operator delete(data_, line);
}

void Memory::poison(bool on) { poisoned = on; }

}  // namespace latchwork
