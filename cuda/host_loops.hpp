#pragma once
#include "hessay/primitives.hpp"
#include "narrow_routines.hpp"
#include "scratch.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace hessay::cuda {

/// Runs kernel bodies on the processor, one index after another: what a device does with them, where indexing can be
/// watched by a sanitizer. The twin of CudaContext.
class HostLoops {
  public:
    /// body.at<Width>(i, j) over all rows and columns, in packs where the memory allows; rows left over singly.
    template <class Body>
    void columns(const Body& body)
    {
        constexpr int kWide = kFullWidth<typename Body::Number>;
        const Index width = body.aligned() ? kWide : 1;
        for (Index j = 0; j < body.cols(); ++j) {
            for (Index i = 0; i < body.rows(); i += width) {
                if constexpr (Body::kPacks) {
                    if (width == kWide && i + width <= body.rows()) {
                        body.template at<kWide>(i, j);
                        continue;
                    }
                }
                for (Index r = i; r < std::min(i + width, body.rows()); ++r) body.template at<1>(r, j);
            }
        }
    }

    template <class Body>
    void lanes(const Body& body)
    {
        typename Body::Sum shared[Body::kLanes];
        for (Index item = 0; item < body.items(); ++item) {
            for (int t = 0; t < Body::kLanes; ++t) shared[t] = body.lane(item, t);
            for (int half = Body::kLanes / 2; half > 0; half /= 2)
                for (int t = 0; t < half; ++t) shared[t] = body.fold(shared[t], shared[t + half]);
            for (int t = 0; t < Body::kLanes; ++t) body.finish(item, t, shared[0]);
        }
    }

    template <class Body>
    void each(const Body& body)
    {
        for (Index item = 0; item < body.items(); ++item) body.at(item);
    }

    /// Blocks of threads that meet before and after every step of a body: see narrow_bodies.hpp.
    template <class Body>
    void tiles(const Body& body)
    {
        using Number = typename Body::Number;
        const auto numbers = static_cast<std::size_t>(body.stage_numbers());
        for (Index block = 0; block < body.across() * body.groups(); ++block) {
            const Place place{block % body.across(), block / body.across()};
            std::vector<typename Body::Own> own(static_cast<std::size_t>(body.threads()));
            for (Index step = 0; step < body.steps(place); ++step) {
                std::vector<Number> stage(numbers, std::numeric_limits<Number>::quiet_NaN());
                for (int t = 0; t < body.threads(); ++t) body.fetch(place, step, t, stage.data());
                for (int t = 0; t < body.threads(); ++t) body.add(t, stage.data(), own[static_cast<std::size_t>(t)]);
            }
            if constexpr (Body::kJoined)
                for (auto* warp = own.data(); warp != own.data() + own.size(); warp += kWarp)
                    for (int half = kWarp / 2; half > 0; half /= 2)
                        for (int t = 0; t < half; ++t)
                            for (std::size_t s = 0; s < std::size(warp->sum); ++s)
                                warp[t].sum[s] += warp[t + half].sum[s];
            for (int t = 0; t < body.threads(); ++t) body.finish(place, t, own[static_cast<std::size_t>(t)]);
        }
    }

    /// C <- alpha op(A) op(B) + beta C: as a device does it where B is narrow, else number by number, in double.
    template <class T>
    void product(Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
                 MatrixView<T> c)
    {
        if (is_narrow(trans_a, trans_b, a, c.cols)) return narrow_product<T>(*this, trans_a, alpha, a, b, beta, c);
        const bool flip_a = trans_a == Transpose::yes, flip_b = trans_b == Transpose::yes;
        const Index inner = flip_a ? a.rows : a.cols;
        require<ShapeError>(c.rows == (flip_a ? a.cols : a.rows) && c.cols == (flip_b ? b.rows : b.cols) &&
                                inner == (flip_b ? b.cols : b.rows),
                            "the shapes of a product do not fit");
        for (Index j = 0; j < c.cols; ++j) {
            for (Index i = 0; i < c.rows; ++i) {
                double sum = 0;
                for (Index l = 0; l < inner; ++l)
                    sum += static_cast<double>(flip_a ? a(l, i) : a(i, l)) *
                           static_cast<double>(flip_b ? b(j, l) : b(l, j));
                const double before = beta == 0 ? 0 : static_cast<double>(beta) * static_cast<double>(c(i, j));
                c(i, j) = static_cast<T>(static_cast<double>(alpha) * sum + before);
            }
        }
    }

    /// See CudaContext.
    template <class T>
    void products(Index count, Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a,
                  MatrixView<const T> b, T beta, MatrixView<T> c)
    {
        require_pieces(count, a.cols, b.cols, c.cols);
        const auto piece = [&](auto all, Index i) { return all.columns(i * (all.cols / count), all.cols / count); };
        for (Index i = 0; i < count; ++i)
            product<T>(trans_a, trans_b, alpha, piece(a, i), piece(b, i), beta, piece(c, i));
    }

    /// Exact allocations, so that one number too far is seen; given back by ScratchScope. Filled with NaN: nobody may
    /// rely on what was there.
    MatrixView<double> scratch(Index rows, Index cols)
    {
        const std::size_t end = scratch_end(used_, rows, cols);
        require_scratch(bytes_, end);
        constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();
        buffers_.emplace_back(end, std::vector<double>(static_cast<std::size_t>(rows * cols), kNothing));
        used_ = end;
        return {buffers_.back().second.data(), rows, cols, rows};
    }
    std::size_t used() const { return used_; }
    void release(std::size_t used)
    {
        while (!buffers_.empty() && buffers_.back().first > used) buffers_.pop_back();
        used_ = used;
    }

    HostLoops() = default;
    /// With the limit that a workspace of so many bytes sets on a device.
    explicit HostLoops(std::size_t workspace_bytes) : bytes_(workspace_bytes) {}

  private:
    std::vector<std::pair<std::size_t, std::vector<double>>> buffers_; // with where each ends
    std::size_t bytes_ = std::numeric_limits<std::size_t>::max(), used_ = 0;
};

} // namespace hessay::cuda
