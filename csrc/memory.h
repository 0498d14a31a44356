// Memory for scratch and large arrays, from a pool.
#pragma once

#include <cstddef>

namespace latchwork {

// Memory from a pool that outlives calls: a fresh mapping for each would cost a page fault every 4 KiB.
class Memory {
  public:
    explicit Memory(size_t bytes);
    ~Memory();
    Memory(Memory&& other) noexcept : data_(other.data_), bytes_(other.bytes_) { other.data_ = nullptr; }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    Memory& operator=(Memory&&) = delete;
    std::byte* data() const { return data_; }

    // Every piece handed out from now on is filled with NaN first, so that what is read before it is written shows.
    static void poison(bool on);

  private:
    std::byte* data_;
    size_t bytes_;
};

}  // namespace latchwork
