#include "mapped_rows.hpp"

#include <algorithm>
#include <cstdint>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace hessay {

namespace {

constexpr Index kStretchBytes = Index(32) << 20;

} // namespace

MappedRows::MappedRows(const StepwiseSource& x)
    : x_(x), row_bytes_(x.row_stride * static_cast<Index>(x.single ? sizeof(float) : sizeof(double)))
{
    const bool by_rows = x.col_stride > 0 && x.row_stride >= x.cols * x.col_stride;
    if (x.mapped && by_rows && row_bytes_ > 0) stretch_ = std::max<Index>(kStretchBytes / row_bytes_, 1);
}

void MappedRows::before(Index last)
{
    for (; stretch_ > 0 && asked_ < std::min(last + stretch_, x_.rows); asked_ += stretch_)
        tell(asked_, std::min(asked_ + stretch_, x_.rows), Wish::soon);
}

void MappedRows::after(Index last)
{
    if (stretch_ == 0 || last - handed_back_ < stretch_) return;
    tell(handed_back_, last, Wish::no_longer);
    handed_back_ = last;
}

void MappedRows::tell(Index first, Index last, Wish wish) const
{
#if defined(MADV_DONTNEED) && defined(MADV_WILLNEED) && (defined(__unix__) || defined(__APPLE__))
    const auto base =
        x_.single ? reinterpret_cast<std::uintptr_t>(x_.single) : reinterpret_cast<std::uintptr_t>(x_.twice);
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE)),
               bytes = static_cast<std::uintptr_t>(row_bytes_);
    const std::uintptr_t begin = (base + static_cast<std::uintptr_t>(first) * bytes + page - 1) / page * page;
    const std::uintptr_t end = (base + static_cast<std::uintptr_t>(last) * bytes) / page * page;
    if (end > begin)
        madvise(reinterpret_cast<void*>(begin), end - begin, wish == Wish::soon ? MADV_WILLNEED : MADV_DONTNEED);
#else
    (void)first, (void)last, (void)wish;
#endif
}

} // namespace hessay
