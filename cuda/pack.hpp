#pragma once
#include "hessay/view.hpp"

#include <cstdint>
#include <type_traits>
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

/// Loads that a thread with a long way to go has under way at a time.
constexpr int kAhead = 4;

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

/// The same for any number of them, 16 bytes at a time.
template <int Width, class T>
HESSAY_HD Pack<T, Width> load_pieces(const T* address)
{
    constexpr int kPiece = Width < kFullWidth<T> ? Width : kFullWidth<T>;
    Pack<T, Width> all;
    for (int first = 0; first < Width; first += kPiece) {
        const auto piece = load<kPiece>(address + first);
        for (int w = 0; w < kPiece; ++w) all.value[first + w] = piece.value[w];
    }
    return all;
}

/// Rows i .. of column j, zeros unless they are there. Loads that need not wait for each other: a condition in place of
/// a branch.
template <int Width, class T>
HESSAY_HD Pack<std::remove_const_t<T>, Width> load_if(MatrixView<T> x, Index i, Index j, bool there)
{
    Pack<std::remove_const_t<T>, Width> pack{};
    if (there) pack = load<Width>(&x(i, j));
    return pack;
}

/// The same of numbers i .. side by side; one after another unless packed.
template <int Width, bool Packed, class T>
HESSAY_HD Pack<T, Width> load_if(const T* numbers, int i, bool there)
{
    Pack<T, Width> pack{};
    if constexpr (Packed) {
        if (there) pack = load<Width>(numbers + i);
    } else {
        for (int w = 0; w < Width; ++w)
            if (there) pack.value[w] = numbers[i + w];
    }
    return pack;
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

/// shared[0 .. Width) <- from. On a device the copy goes past the registers and is there after tiles_kernel has waited
/// for it, so that many can be on their way.
template <int Width, class T>
HESSAY_HD void copy_ahead(T* shared, const T* from)
{
#ifdef __CUDA_ARCH__
    constexpr int kBytes = sizeof(T) * Width;
    const auto there = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    if constexpr (kBytes == 16) // past L1, where nothing meets it again
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(there), "l"(from) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(there), "l"(from), "n"(kBytes) : "memory");
#else
    store<Width>(shared, load<Width>(from));
#endif
}

/// Numbers i .. side by side, if they are there; one after another unless packed.
template <bool Packed, int Width, class T>
HESSAY_HD void store_if(T* numbers, int i, const Pack<T, Width>& pack, bool there)
{
    if (!there) return;
    if constexpr (Packed) {
        store(numbers + i, pack);
    } else {
        for (int w = 0; w < Width; ++w) numbers[i + w] = pack.value[w];
    }
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
