#pragma once
#include "hessay/error.hpp"
#include "hessay/view.hpp"

#include <algorithm>
#include <cstddef>

// Scratch is handed out like a stack, from memory of the caller, in the same pieces on every device.
namespace hessay::cuda {

/// The device, driver or memory failed (Python: DeviceError).
struct DeviceError : Error {
    using Error::Error;
};

constexpr std::size_t kScratchAlignment = 256;

/// Where a piece of rows x cols doubles ends that begins at byte `used`.
inline std::size_t scratch_end(std::size_t used, Index rows, Index cols)
{
    const std::size_t bytes = static_cast<std::size_t>(rows * cols) * sizeof(double);
    return used + (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
}

inline void require_scratch(std::size_t bytes, std::size_t end)
{
    require<DeviceError>(end <= bytes, "the workspace has ", bytes, " bytes and ", end,
                         " are needed; pass a larger one");
}

/// Matrices that are cut into `count` pieces side by side.
inline void require_pieces(Index count, Index cols_a, Index cols_b, Index cols_c)
{
    require<ShapeError>(count >= 1 && cols_a % count == 0 && cols_b % count == 0 && cols_c % count == 0, "matrices of ",
                        cols_a, ", ", cols_b, " and ", cols_c, " columns do not fall into ", count, " equal pieces");
}

/// rows x cols numbers of T as scratch of a device.
template <class T, class Device>
MatrixView<T> scratch_of(Device& device, Index rows, Index cols)
{
    constexpr Index kPerDouble = sizeof(double) / sizeof(T);
    const auto piece = device.scratch((rows * cols + kPerDouble - 1) / kPerDouble, 1);
    return {reinterpret_cast<T*>(piece.data), rows, cols, rows};
}

/// What is taken while this lives is given back at its end. Work that was launched may still read it: whatever takes
/// the same memory next is launched behind that on the same stream.
template <class Device>
class ScratchScope {
  public:
    explicit ScratchScope(Device& device) : device_(device), used_(device.used()) {}
    ~ScratchScope() { device_.release(used_); }
    ScratchScope(const ScratchScope&) = delete;
    ScratchScope& operator=(const ScratchScope&) = delete;

  private:
    Device& device_;
    std::size_t used_;
};

} // namespace hessay::cuda
