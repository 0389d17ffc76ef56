#pragma once
#include "../cpp/src/gram_schmidt.hpp"
#include "../cpp/src/lanczos_solver.hpp"
#include "device_operator.hpp"
#include "lanczos.hpp"
#include "orthonormalize_routines.hpp"
#include "repeated_steps.hpp"
#include "scratch_counter.hpp"

#include <algorithm>
#include <vector>

namespace hessay::cuda {

/// A view of this shape that only a ScratchCounter meets.
template <class T>
MatrixView<T> unread(Index rows, Index cols)
{
    return {reinterpret_cast<T*>(kScratchAlignment), rows, cols, rows};
}

/// The columns of a Krylov basis on a device: the members of HostSpace. Nothing of length d comes to the host. A block
/// step waits once, for its BlockReport, unless the rank of the block must be revealed, which is done column by column.
template <class T, class Device>
class DeviceSpace {
  public:
    using Number = T;

    /// start_columns: of the vectors a solve begins from. Everything outlives this; ctx is the host's.
    DeviceSpace(Context& ctx, Device& device, const DeviceOperator<T, Device>& op, const DeviceMemory<T>& memory,
                Index start_columns)
        : ctx_(ctx), device_(device), op_(op), memory_(memory), d_(op.size), start_columns_(start_columns),
          rounding_(rounding_of<T>(op.size))
    {
    }
    /// Memory goes back when nothing works on it any more.
    ~DeviceSpace()
    {
        try {
            device_.synchronise("the last step");
        } catch (const Error&) { // of a device that has failed: the one on its way says so
        }
    }
    DeviceSpace(const DeviceSpace&) = delete;
    DeviceSpace& operator=(const DeviceSpace&) = delete;

    class Scope {
      public:
        explicit Scope(DeviceSpace& space) : host_(space.ctx_.workspace()), device_(space.device_) {}

      private:
        Workspace::Scope host_;
        ScratchScope<Device> device_;
    };

    Context& context() { return ctx_; }
    Index size() const { return d_; }
    std::size_t bytes() const
    {
        const Index columns = storage_.view.cols + aside_.view.cols;
        return static_cast<std::size_t>(d_ * columns) * sizeof(T) +
               static_cast<std::size_t>(workspace_.view.rows) * sizeof(double);
    }
    /// Time it took to launch block steps: they run while the host goes on.
    double operator_seconds() const { return operator_seconds_; }
    /// Products stay in the operator's unit: steps that are launched again as they were cannot depend on the first one.
    double unit() const { return 1; }

    void reserve(Index columns, Index width)
    {
        device_.synchronise("before memory is given back");
        if (columns > storage_.view.cols) {
            OwnedColumns<T> wider = memory_.basis(columns);
            copy(storage_.view, wider.view.columns(0, storage_.view.cols));
            device_.synchronise("the basis in its new place");
            storage_ = std::move(wider);
        }
        const std::size_t bytes = scratch_bytes(columns, width);
        const Index doubles = static_cast<Index>(bytes / sizeof(double));
        if (doubles > workspace_.view.rows) {
            workspace_ = {}; // first: both may not fit
            workspace_ = memory_.workspace(doubles);
        }
        device_.use(workspace_.view); // whatever was recorded had other addresses
    }
    MatrixView<T> columns(Index first, Index count) { return storage_.view.columns(first, count); }
    MatrixView<T> scratch_columns(Index count) { return scratch_of<T>(device_, d_, count); }

    void fill_gaussian(MatrixView<T> x) { cuda::gaussian_fill<Device, T>(device_, ctx_.seed(), ctx_.next_stream(), x); }
    /// One launch a column: the two may overlap.
    void copy(MatrixView<const T> from, MatrixView<T> to)
    {
        for (Index j = 0; j < from.cols; ++j)
            device_.columns(Accumulate<T>{from.columns(j, 1), false, to.columns(j, 1)});
    }
    void clear(MatrixView<T> column) { device_.columns(Rescale<T>{T(0), column}); }
    void add(double factor, MatrixView<const T> from, MatrixView<T> to)
    {
        device_.columns(AddScaled<T>{static_cast<T>(factor), from, to});
    }

    void put_aside(MatrixView<const T> block)
    {
        if (block.cols > aside_.view.cols) {
            device_.synchronise("before the smaller block is given back");
            aside_ = {};
            aside_ = memory_.aside(block.cols);
        }
        copy(block, aside_.view.columns(0, block.cols));
    }
    void take_aside(MatrixView<T> block) { copy(aside_.view.columns(0, block.cols), block); }

    OrthonormalBlock orthonormalize(MatrixView<const T> q, MatrixView<T> w, double reference, MatrixView<double> c,
                                    MatrixView<double> r, double* dropped)
    {
        const Scope scope(*this);
        const BlockReport report = new_report(q.cols, w.cols);
        device_.each(SetNumber{reference, report.reference()});
        orthonormalize_block<Device, T>(device_, q, w, false, fits(q, w), rounding_, report);
        const auto same = [&](const std::vector<double>&) { return reference; };
        return finish(q, w, report, same, c, r, dropped);
    }

    /// Once a size is met again, the product and all that follows from it up to the report are launched as one.
    template <class Reference>
    OrthonormalBlock multiply(MatrixView<const T> v, MatrixView<const T> q, MatrixView<T> w,
                              const Reference& reference_of, MatrixView<double> c, MatrixView<double> r,
                              double* dropped)
    {
        const Scope scope(*this);
        const BlockReport report = new_report(q.cols, w.cols);
        device_.each(SetNumber{largest_product_, report.reference()});
        const auto start = Clock::now();
        const auto launch = [&] {
            op_.apply(device_, v, w);
            orthonormalize_block<Device, T>(device_, q, w, true, fits(q, w), rounding_, report);
        };
        if (op_.only_launches)
            device_.repeat({q.cols, w.cols}, launch);
        else
            launch();
        operator_seconds_ += seconds_since(start);
        const auto noted = [&](const std::vector<double>& norms) { return largest_product_ = reference_of(norms); };
        return finish(q, w, report, noted, c, r, dropped);
    }

    void rotate(MatrixView<T> q, MatrixView<const double> y)
    {
        const auto small = scratch_of<T>(device_, q.cols, y.cols);
        std::vector<T> narrow;
        for (Index j = 0; j < y.cols; ++j)
            for (Index i = 0; i < q.cols; ++i) narrow.push_back(static_cast<T>(y(i, j)));
        device_.to_device(narrow.data(), small.data, q.cols * y.cols);
        const auto panel = scratch_of<T>(device_, panel_rows(), y.cols);
        for (Index first = 0; first < d_; first += panel_rows()) {
            const Index rows = std::min(panel_rows(), d_ - first);
            const auto out = panel.block(0, 0, rows, y.cols);
            device_.template product<T>(Transpose::no, Transpose::no, T(1), q.block(first, 0, rows, q.cols), small,
                                        T(0), out);
            device_.columns(Accumulate<T>{out, false, q.block(first, 0, rows, y.cols)});
        }
    }

    /// The answer stays where it is, in the first columns of the basis.
    void hand_over(MatrixView<const T>, std::vector<T>&) {}

    // The steps of gram_schmidt.hpp. Each one that gives numbers waits.
    MatrixView<double> scratch(Index rows, Index cols) { return ctx_.scratch<double>(rows, cols); }
    void project_out(MatrixView<const T> q, MatrixView<T> w, MatrixView<double> c)
    {
        if (q.cols == 0 || w.cols == 0) return;
        const Scope scope(*this);
        const auto there = device_.scratch(q.cols, w.cols);
        project_block<Device, T>(device_, q, w, there);
        std::vector<double> pass(static_cast<std::size_t>(q.cols * w.cols));
        device_.to_host(there.data, pass.data(), q.cols * w.cols, "the coefficients of a projection");
        for (Index j = 0; j < w.cols; ++j)
            for (Index i = 0; i < q.cols; ++i) c(i, j) += pass[i + j * q.cols];
    }
    double norm(MatrixView<const T> column)
    {
        const Scope scope(*this);
        const auto there = device_.scratch(1, 1);
        column_norms<Device, T>(device_, column, there.data);
        double length = 0;
        device_.to_host(there.data, &length, 1, "the length of a column");
        return length;
    }
    void scale(MatrixView<T> column, double factor) { device_.columns(ScaleInDouble<T>{factor, column}); }

  private:
    static constexpr Index kDoublesAligned = Index(kScratchAlignment / sizeof(double));
    static constexpr Index kPanelRows = Index(1) << 16; // of a basis that is rotated: 40 columns of double are 20 MiB

    Index panel_rows() const { return std::min(kPanelRows, d_); }
    // False where the space has no room for all columns of W beside Q.
    bool fits(MatrixView<const T> q, MatrixView<const T> w) const { return q.cols + w.cols <= d_; }

    BlockReport new_report(Index m, Index b)
    {
        BlockReport report{m, b, nullptr};
        report.data = device_.scratch(report.size(), 1).data;
        return report;
    }

    // Waits for the report and says what the block has become: W = Q C + W_new R + D.
    template <class Reference>
    OrthonormalBlock finish(MatrixView<const T> q, MatrixView<T> w, const BlockReport& there,
                            const Reference& reference_of, MatrixView<double> c, MatrixView<double> r, double* dropped)
    {
        const Index m = q.cols, b = w.cols;
        std::vector<double> numbers(static_cast<std::size_t>(there.size()));
        BlockReport report = there;
        report.data = numbers.data();
        device_.to_host(there.data, report.data, there.size(), "the report of a block");
        const std::vector<double> before(report.before(), report.before() + b);
        const double reference = reference_of(before);
        const bool whole = fits(q, w);
        const auto state =
            whole ? static_cast<BlockState>(static_cast<int>(*report.state())) : BlockState::rank_unknown;
        require<NonFinite>(state != BlockState::broken,
                           "a block fell apart between two passes; the basis is not orthonormal");
        const bool factored = state == BlockState::factored;
        const auto c1 = report.coefficients(0), c2 = report.coefficients(1);
        const auto r1 = report.factor(0), r2 = report.factor(1);
        for (Index j = 0; j < b; ++j) {
            dropped[j] = 0;
            for (Index i = 0; i < m; ++i) {
                c(i, j) = factored ? c1(i, j) : c1(i, j) + c2(i, j);
                for (Index l = 0; factored && l <= j; ++l) c(i, j) += c2(i, l) * r1(l, j);
            }
            for (Index i = 0; i < b; ++i) {
                r(i, j) = 0;
                for (Index l = i; factored && l <= j; ++l) r(i, j) += r2(i, l) * r1(l, j);
            }
        }
        if (factored) return {b, 0};
        return orthonormalize_inside<T>(*this, q, w, before.data(), reference, r, dropped);
    }

    // Bytes that any step takes while the basis has up to so many columns and blocks are at most so wide.
    std::size_t scratch_bytes(Index columns, Index width) const
    {
        const auto counted = [](const auto& work) {
            ScratchCounter counter;
            work(counter);
            return counter.peak();
        };
        const auto block = [&](ScratchCounter& counter, Index m, Index b) {
            BlockReport report{m, b, nullptr};
            report.data = counter.scratch(report.size(), 1).data;
            const ScratchScope<ScratchCounter> scope(counter);
            orthonormalize_block<ScratchCounter, T>(counter, unread<const T>(d_, m), unread<T>(d_, b), true, true,
                                                    rounding_, report);
        };
        const auto revealing = [&](ScratchCounter& counter, Index m, Index b) { // the longest way through a block
            block(counter, m, b);
            (void)counter.scratch(m, b);
            (void)scratch_of<T>(counter, m, b);
            (void)counter.scratch(column_norms_scratch(d_, b) + 4 * kDoublesAligned, 1);
        };
        const std::size_t step = counted([&](ScratchCounter& counter) { revealing(counter, columns, width); });
        const std::size_t product = counted(
            [&](ScratchCounter& counter) { (void)counter.scratch(BlockReport{columns, width, nullptr}.size(), 1); });
        const std::size_t rotation = counted([&](ScratchCounter& counter) {
            (void)scratch_of<T>(counter, columns, columns);
            (void)scratch_of<T>(counter, panel_rows(), columns);
        });
        const std::size_t start = counted([&](ScratchCounter& counter) {
            (void)scratch_of<T>(counter, d_, start_columns_);
            revealing(counter, start_columns_, std::max(start_columns_, width));
        });
        return std::max({step, product + op_.scratch(width), rotation, start}) + memory_.library_bytes +
               kScratchAlignment;
    }

    Context& ctx_;
    Device& device_;
    const DeviceOperator<T, Device>& op_;
    const DeviceMemory<T>& memory_;
    Index d_, start_columns_;
    double rounding_;
    OwnedColumns<T> storage_, aside_;
    OwnedColumns<double> workspace_;
    double largest_product_ = 0, operator_seconds_ = 0;
};

template <class T, class Device>
LanczosResult<T> device_lanczos(Context& ctx, Device& device, const DeviceOperator<T, Device>& op,
                                const DeviceMemory<T>& memory, const LanczosOptions& options, MatrixView<const T> start)
{
    require<ShapeError>(start.cols == 0 || start.rows == op.size, "start must have ", op.size,
                        " rows, the size of the operator, got ", start.rows);
    DeviceSpace<T, Device> space(ctx, device, op, memory, start.cols);
    auto result = lanczos_in(space, options, start);
    device.synchronise("the eigenvectors");
    return result;
}

} // namespace hessay::cuda
