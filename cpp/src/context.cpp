#include "hessay/context.hpp"

#include <algorithm>

namespace hessay {

namespace {
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kSmallestChunk = std::size_t(1) << 20;
} // namespace

void* Workspace::allocate(std::size_t n_bytes)
{
    const std::size_t size = (std::max<std::size_t>(n_bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
    while (chunk_ < chunks_.size() && offset_ + size + kAlignment > chunks_[chunk_].size) {
        ++chunk_;
        offset_ = 0;
    }
    if (chunk_ == chunks_.size()) {
        const std::size_t chunk_size = std::max(size + kAlignment, kSmallestChunk);
        chunks_.push_back({std::unique_ptr<std::byte[]>(new std::byte[chunk_size]), chunk_size});
        offset_ = 0;
    }
    std::byte* base = chunks_[chunk_].memory.get();
    const auto address = reinterpret_cast<std::uintptr_t>(base + offset_);
    const std::size_t padding = (kAlignment - address % kAlignment) % kAlignment;
    void* memory = base + offset_ + padding;
    offset_ += padding + size;
    used_ += size;
    peak_ = std::max(peak_, used_);
    return memory;
}

} // namespace hessay
