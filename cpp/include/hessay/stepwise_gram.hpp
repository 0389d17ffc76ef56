#pragma once
#include "hessay/stepwise_data.hpp"

#include <functional>
#include <vector>

namespace hessay {

enum class StepwiseStrategy { automatic, gram, stream, prefetch };

/// The columns of Z'Z fetched so far, each by a pass over X that brings several of them, and what such a pass costs.
template <class T>
class GramColumns {
  public:
    /// max_bytes  room for columns; the least it works in is one column
    GramColumns(StandardizedData<T>& data, StepwiseStrategy strategy, Index max_bytes);

    /// Column j of Z'Z (p), or nullptr when it was not fetched yet.
    const double* find(Index j) const;

    /// One pass: the columns of the list that are not there yet.
    void fetch(Context& ctx, std::vector<Index> list);
    void fetch_all(Context& ctx);

    /// Columns worth fetching together, >= 1, as far as the last fetches tell how many of them are used.
    Index width() const;
    /// Would all of Z'Z at once be no dearer than as many further columns, one batch after another?
    bool all_pays(double further) const;
    bool all_fits() const { return all_fits_; }
    /// Tells that a column was used; once for each.
    void used(Index j);
    Index hits = 0, misses = 0, fetched = 0;
    bool all = false;

  private:
    double share() const;
    void evict();
    StandardizedData<T>& data_;
    StepwiseStrategy strategy_;
    Index room_; // columns
    bool all_fits_;
    std::vector<std::vector<double>> columns_;
    std::vector<Index> order_;         // of fetching
    std::vector<unsigned char> state_; // 0 absent, 1 fetched, 2 used
    Index last_used_ = 0, used_ = 0;
    double pass_seconds_ = 0, column_seconds_ = 0;
};

/// Which columns forward selection will want next, by its own rule on a few hundred rows: correlations between
/// candidates are estimated there, everything else is exact. A wrong guess costs time, never a wrong choice.
class StepwiseLookahead {
  public:
    /// State of selection after m steps: what a step changes.
    struct State {
        std::vector<double> norms, correlations; // (p) |x_j perpendicular|^2, (p, C); norm <= 0: not to be chosen
        double rss;
    };

    template <class T>
    void sample(const StandardizedData<T>& data);
    bool empty() const { return sample_.empty(); }

    /// Column j of Z'Z where it is known, or nullptr.
    using Known = std::function<const double*(Index j)>;

    /// Up to count columns not known, in the order they will probably be chosen. Stops where the fall of the residual
    /// sum of squares goes below least_ratio of it. rows (m, p) row-major: Q'Z of the columns chosen.  squares (p)
    /// |z_j|^2.
    std::vector<Index> predict(Context& ctx, State state, const std::vector<double>& rows,
                               const std::vector<double>& squares, Index outputs, Index count, double least_ratio,
                               const Known& known) const;

  private:
    // Products of the sample's columns with those last thought likely, formed together.
    struct Sampled {
        MatrixView<float> products, chosen; // (p, b) and (m, b)
        std::vector<Index> columns;         // at most b
    };
    const float* correlations(Sampled& sampled, Index s, const std::vector<double>& fall, const Known& known) const;

    std::vector<float> sample_; // (m, p) row-major, columns of norm 1
    Index rows_ = 0, cols_ = 0;
};

} // namespace hessay
