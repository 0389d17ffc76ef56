#pragma once
#include "hessay/view.hpp"

#include <cstdint>
#ifndef __CUDA_ARCH__
#include <stdexcept>
#endif

namespace hessay::cuda {

/// Width neighbouring numbers of a column, moved by one instruction. A pack of 16 bytes is the widest access there is.
template <class T, int Width>
struct alignas(sizeof(T) * Width) Pack {
    T value[Width];
};

template <class T>
constexpr int kFullWidth = 16 / sizeof(T);

/// The processor moves number by number, but refuses the address a device would fault on.
template <int Width, class T>
HESSAY_HD Pack<T, Width> load(const T* address)
{
#ifdef __CUDA_ARCH__
    return *reinterpret_cast<const Pack<T, Width>*>(address);
#else
    if (reinterpret_cast<std::uintptr_t>(address) % sizeof(Pack<T, Width>) != 0)
        throw std::logic_error("a pack is read from an address that is no multiple of its size");
    Pack<T, Width> pack;
    for (int w = 0; w < Width; ++w) pack.value[w] = address[w];
    return pack;
#endif
}

template <int Width, class T>
HESSAY_HD void store(T* address, const Pack<T, Width>& pack)
{
#ifdef __CUDA_ARCH__
    *reinterpret_cast<Pack<T, Width>*>(address) = pack;
#else
    if (reinterpret_cast<std::uintptr_t>(address) % sizeof(Pack<T, Width>) != 0)
        throw std::logic_error("a pack is written to an address that is no multiple of its size");
    for (int w = 0; w < Width; ++w) address[w] = pack.value[w];
#endif
}

/// True when every column of x starts at a multiple of 16 bytes. A view without memory does not matter.
template <class T>
bool packs_fit(MatrixView<T> x)
{
    const auto whole = [](std::uintptr_t bytes) { return bytes % 16 == 0; };
    return whole(reinterpret_cast<std::uintptr_t>(x.data)) &&
           (x.cols <= 1 || whole(static_cast<std::uintptr_t>(x.stride) * sizeof(T)));
}

} // namespace hessay::cuda
