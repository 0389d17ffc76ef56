// Passes over an X that this processor can read.
#include "hessay/stepwise_passes.hpp"

#include "hessay/primitives.hpp"
#include "mapped_rows.hpp"
#include "stepwise_kernels.hpp"
#include "stepwise_outputs.hpp"

#include <algorithm>

namespace hessay {

namespace {

constexpr Index kPanelBytes = Index(4) << 20; // of standardised rows: well within the last-level cache
constexpr Index kPanel = 256;                 // rows of sums in double

template <class T>
class HostPasses final : public StepwisePasses {
  public:
    explicit HostPasses(const StepwiseSource& x)
        : StepwisePasses(x.rows, x.cols, x.single != nullptr), x_(x), kernels_(stepwise_kernels(T{}))
    {
    }

    StepwiseOutputs begin(Context& ctx, const double* y, Index outputs, const std::vector<double>& root,
                          bool centre) override
    {
        outputs_ = outputs;
        root_ = root.empty() ? nullptr : root.data();
        y_ = {y, root_, rows, outputs};
        standard_ = measure_outputs(ctx, y_, centre);
        return standard_;
    }

    void read_rows(const std::vector<Index>& which, MatrixView<double> out) override
    {
        for (Index i = 0; i < static_cast<Index>(which.size()); ++i)
            for (Index j = 0; j < cols; ++j) out(i, j) = x_(which[i], j);
    }
    std::vector<double> read_column(Index j) override
    {
        std::vector<double> out;
        for (Index i = 0; i < rows; ++i) out.push_back(x_(i, j));
        return out;
    }

    void measure(Context& ctx, const StepwiseStandard& standard, std::vector<double>& squares,
                 MatrixView<double> out) override
    {
        const Index right = outputs_ + 1;
        squares.assign(static_cast<std::size_t>(cols), 0.0);
        products(ctx, standard, right, out, [&](Index first, Index count, const T* tiles, T* panel) {
            for (Index i = 0; i < count; ++i) panel[i * right] = static_cast<T>(root_ ? root_[first + i] : 1.0);
            y_.read<T>(standard_, first, count, {panel + 1, outputs_, count, right});
            kernels_.squares(tiles, count, cols, squares.data());
        });
    }

    void gram_columns(Context& ctx, const StepwiseStandard& standard, const std::vector<Index>& columns,
                      MatrixView<double> out) override
    {
        const Index right = static_cast<Index>(columns.size()), width = kernels_.width;
        products(ctx, standard, right, out, [&](Index, Index count, const T* tiles, T* panel) {
            for (Index l = 0; l < right; ++l) {
                const Index j = columns[l];
                const T* tile = tiles + j / width * width * count + j % width;
                for (Index i = 0; i < count; ++i) panel[i * right + l] = tile[i * width];
            }
        });
    }

    void full_gram(Context& ctx, const StepwiseStandard& standard, MatrixView<double> out) override
    {
        const Workspace::Scope scope(ctx.workspace());
        const Index step = panel_rows(), width = kernels_.width, p = cols;
        const auto tiles = ctx.scratch<T>(step, packed_cols());
        for (Index j = 0; j < p; ++j) std::fill_n(out.column(j), p, 0.0);
        for_panels(ctx, step, [&](Index first, Index count) {
            pack(standard, first, count, tiles.data);
            for (Index j = 0; j < p; j += width) // upper triangle, a tile of columns at a time
                kernels_.product({tiles.data, count, std::min(p, j + width), tiles.data + j * count, width,
                                  std::min(width, p - j), out.column(j), out.stride});
        });
        for (Index j = 0; j < p; ++j)
            for (Index i = 0; i < j; ++i) out(j, i) = out(i, j);
    }

    void project(Context& ctx, const StepwiseStandard& standard, const StepwiseCombination& f,
                 MatrixView<double> out) override
    {
        const Workspace::Scope scope(ctx.workspace());
        const Index q = f.count;
        const Parts parts(ctx, f, outputs_, panel_rows());
        products(ctx, standard, q, out, [&](Index first, Index count, const T*, T* panel) {
            const auto block = combine(standard, f, first, count, parts);
            for (Index i = 0; i < count; ++i)
                for (Index l = 0; l < q; ++l) panel[i * q + l] = static_cast<T>(block(i, l));
        });
    }

    void sums(Context& ctx, const StepwiseStandard& standard, const StepwiseCombination& f, MatrixView<double> cross,
              MatrixView<double> products) override
    {
        const Workspace::Scope scope(ctx.workspace());
        const Index m = static_cast<Index>(f.columns.size());
        const Parts parts(ctx, f, outputs_, kPanel);
        for (Index l = 0; l < f.count; ++l) {
            std::fill_n(cross.column(l), m, 0.0);
            std::fill_n(products.column(l), f.count, 0.0);
        }
        for_panels(ctx, kPanel, [&](Index first, Index count) {
            const auto block = combine(standard, f, first, count, parts);
            if (m > 0)
                gemm<double>(Transpose::yes, Transpose::no, 1.0, parts.z.block(0, 0, count, m), block, 1.0, cross);
            gemm<double>(Transpose::yes, Transpose::no, 1.0, block, block, 1.0, products);
        });
    }

    void within(Context& ctx, const StepwiseStandard& standard, const std::vector<std::vector<Index>>& units,
                std::vector<std::vector<double>>& out) override
    {
        std::size_t widest = 1;
        out.assign(units.size(), {});
        for (std::size_t u = 0; u < units.size(); ++u) {
            widest = std::max(widest, units[u].size());
            if (units[u].size() > 1) out[u].assign(units[u].size() * units[u].size(), 0.0);
        }
        if (widest == 1) return;
        const Workspace::Scope scope(ctx.workspace());
        const auto panel = ctx.scratch<double>(kPanel, static_cast<Index>(widest));
        for_panels(ctx, kPanel, [&](Index first, Index count) {
            for (std::size_t u = 0; u < units.size(); ++u) {
                const auto k = static_cast<Index>(units[u].size());
                if (k == 1) continue;
                const auto part = panel.block(0, 0, count, k);
                gather(standard, first, count, units[u], part);
                gemm<double>(Transpose::yes, Transpose::no, 1.0, part, part, 1.0, {out[u].data(), k, k, k});
            }
        });
    }

  private:
    // Scratch for a panel of Z_K, of Y, and of what they are combined to.
    struct Parts {
        Parts(Context& ctx, const StepwiseCombination& f, Index outputs, Index panel)
            : z(ctx.scratch<double>(panel, std::max<Index>(static_cast<Index>(f.columns.size()), 1))),
              y(ctx.scratch<double>(std::max<Index>(outputs, 1), panel)), f(ctx.scratch<double>(panel, f.count))
        {
        }
        MatrixView<double> z, y, f;
    };

    Index packed_cols() const { return (cols + kernels_.width - 1) / kernels_.width * kernels_.width; }

    Index panel_rows() const
    {
        const Index fit = kPanelBytes / (static_cast<Index>(sizeof(T)) * std::max<Index>(packed_cols(), 1));
        return std::clamp<Index>(fit / 8 * 8, 64, 256);
    }

    void pack(const StepwiseStandard& standard, Index first, Index count, T* tiles) const
    {
        const double *root = root_ ? root_ + first : nullptr, *mean = standard.mean.data();
        const double* scale = standard.scale.data();
        const Index at = first * x_.row_stride;
        if (x_.single)
            kernels_.pack_single({x_.single + at, x_.row_stride, x_.col_stride, count, cols, mean, scale, root, tiles});
        else
            kernels_.pack_double({x_.twice + at, x_.row_stride, x_.col_stride, count, cols, mean, scale, root, tiles});
    }

    // body(first, count) for consecutive row panels, all of X; pages of a mapping are handed back behind it.
    template <class Body>
    void for_panels(Context& ctx, Index step, const Body& body) const
    {
        MappedRows mapped(x_);
        for (Index first = 0; first < rows; first += step) {
            const Index count = std::min(step, rows - first);
            mapped.before(first + count);
            body(first, count);
            ctx.poll();
            mapped.after(first + count);
        }
    }

    // out (p, right) <- Z'P for the panels of P (count, right), row-major, that fill(first, count, tiles, panel)
    // writes.
    template <class Fill>
    void products(Context& ctx, const StepwiseStandard& standard, Index right, MatrixView<double> out,
                  const Fill& fill) const
    {
        const Workspace::Scope scope(ctx.workspace());
        const Index step = panel_rows();
        const auto tiles = ctx.scratch<T>(step, packed_cols()), panel = ctx.scratch<T>(right, step);
        for (Index l = 0; l < right; ++l) std::fill_n(out.column(l), out.rows, 0.0);
        for_panels(ctx, step, [&](Index first, Index count) {
            pack(standard, first, count, tiles.data);
            fill(first, count, tiles.data, panel.data);
            kernels_.product({tiles.data, count, cols, panel.data, right, right, out.data, out.stride});
        });
    }

    // out (count, |columns|) <- rows [first, first + count) of Z at these columns, in double.
    void gather(const StepwiseStandard& standard, Index first, Index count, const std::vector<Index>& columns,
                MatrixView<double> out) const
    {
        const auto m = static_cast<Index>(columns.size());
        const auto z = [&](Index i, Index j) {
            return (x_(first + i, j) - standard.mean[j]) * standard.scale[j] * (root_ ? root_[first + i] : 1.0);
        };
        if (x_.row_stride > x_.col_stride) // a row at a time
            for (Index i = 0; i < count; ++i)
                for (Index l = 0; l < m; ++l) out(i, l) = z(i, columns[l]);
        else
            for (Index l = 0; l < m; ++l)
                for (Index i = 0; i < count; ++i) out(i, l) = z(i, columns[l]);
    }

    // Rows of F = Z_K A + Y B; those of Z_K are left in parts.z.
    MatrixView<double> combine(const StepwiseStandard& standard, const StepwiseCombination& f, Index first, Index count,
                               const Parts& parts) const
    {
        const Index m = static_cast<Index>(f.columns.size()), q = f.count;
        const auto block = parts.f.block(0, 0, count, q);
        for (Index l = 0; l < q; ++l) std::fill_n(block.column(l), count, 0.0);
        if (!f.of_outputs.empty()) {
            const auto own = parts.y.block(0, 0, outputs_, count);
            y_.read(standard_, first, count, own);
            gemm<double>(Transpose::yes, Transpose::no, 1.0, own, {f.of_outputs.data(), outputs_, q, outputs_}, 0.0,
                         block);
        }
        if (m > 0) {
            const auto z = parts.z.block(0, 0, count, m);
            gather(standard, first, count, f.columns, z);
            gemm<double>(Transpose::no, Transpose::no, 1.0, z, {f.of_columns.data(), m, q, m}, 1.0, block);
        }
        return block;
    }

    StepwiseSource x_;
    decltype(stepwise_kernels(T{})) kernels_;
    StepwiseOutputSource y_;
    StepwiseOutputs standard_; // of Y
    const double* root_ = nullptr;
    Index outputs_ = 0;
};

} // namespace

template <class T>
std::unique_ptr<StepwisePasses> host_passes(const StepwiseSource& x)
{
    return std::make_unique<HostPasses<T>>(x);
}

template std::unique_ptr<StepwisePasses> host_passes<float>(const StepwiseSource&);
template std::unique_ptr<StepwisePasses> host_passes<double>(const StepwiseSource&);

} // namespace hessay
