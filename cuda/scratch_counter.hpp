#pragma once
#include "hessay/primitives.hpp"
#include "narrow_routines.hpp"

namespace hessay::cuda {

/// A device that does nothing but count: how much scratch a routine takes is found by running it. Its views have
/// addresses that nobody may read.
class ScratchCounter {
  public:
    template <class Body>
    void columns(const Body&)
    {
    }
    template <class Body>
    void lanes(const Body&)
    {
    }
    template <class Body>
    void each(const Body&)
    {
    }
    template <class Body>
    void tiles(const Body&)
    {
    }
    template <class T>
    void product(Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
                 MatrixView<T> c)
    {
        if (is_narrow(trans_a, trans_b, a, c.cols)) narrow_product<T>(*this, trans_a, alpha, a, b, beta, c);
    }
    template <class T>
    void products(Index, Transpose, Transpose, T, MatrixView<const T>, MatrixView<const T>, T, MatrixView<T>)
    {
    }
    MatrixView<double> scratch(Index rows, Index cols)
    {
        auto* address = reinterpret_cast<double*>(kScratchAlignment + used_);
        used_ = scratch_end(used_, rows, cols);
        peak_ = std::max(peak_, used_);
        return {address, rows, cols, rows};
    }
    std::size_t used() const { return used_; }
    void release(std::size_t used) { used_ = used; }

    /// Most bytes taken at one time.
    std::size_t peak() const { return peak_; }

  private:
    std::size_t used_ = 0, peak_ = 0;
};

} // namespace hessay::cuda
