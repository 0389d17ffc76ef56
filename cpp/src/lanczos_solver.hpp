#pragma once
#include "certificate.hpp"
#include "hessay/block_lanczos.hpp"
#include "hessay/error.hpp"
#include "hessay/ritz.hpp"
#include "host_space.hpp"
#include "krylov_basis.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

// Block Lanczos of hessay/block_lanczos.hpp, once for every place its basis can live: see HostSpace.
namespace hessay {

/// The options with their defaults filled in. Throws ValueError where one is out of range.
template <class T>
LanczosOptions checked(LanczosOptions options, Index d)
{
    require<ShapeError>(d > 0, "the operator has size ", d, "; it must be positive");
    require(options.k >= 1 && options.k <= d, "k must lie in [1, ", d, "], the size of the operator, got ", options.k);
    require(options.block >= 1, "block must be at least 1, got ", options.block);
    const double smallest = 10 * static_cast<double>(std::numeric_limits<T>::epsilon());
    require(options.tol >= smallest && options.tol < 1, "tol must lie in [", smallest, ", 1) for this precision, got ",
            options.tol);
    require(options.miss_probability > 0 && options.miss_probability < 1, "miss_probability must lie in (0, 1), got ",
            options.miss_probability);
    require(options.max_seconds >= 0, "max_seconds must not be negative, got ", options.max_seconds);
    options.block = std::min(options.block, d);
    const Index least = options.k + 3 * options.block;
    require(options.max_basis == 0 || options.max_basis >= std::min(d, least),
            "max_basis must be at least k + 3 block = ", least, " (or the size of the operator), got ",
            options.max_basis);
    if (options.max_basis == 0)
        options.max_basis = std::max({2 * options.k + 10, options.k + 10 * options.block, Index(40)});
    options.max_basis = std::min(options.max_basis, d);
    require(options.max_products >= 0, "max_products must not be negative, got ", options.max_products);
    if (options.max_products == 0) options.max_products = std::max<Index>(1000, 10 * d);
    require(options.max_products >= options.k, "max_products must be at least k = ", options.k, ", got ",
            options.max_products);
    return options;
}

// The check that nothing was missed: Lanczos on the complement of the k locked pairs, from a random block.
struct Check {
    bool running = false;
    Index first_product = 0; // products before it
    double top = 0;          // no eigenvalue of the complement may lie above
    double bottom = 0;       // ... nor below
    HiddenEigenvalue above, below;
};

// One column sharpens the certificate fastest per product: its bound falls like the root of the growth, whatever the
// block.
constexpr Index kCheckColumns = 1;

template <class Space>
class Solver {
  public:
    using T = typename Space::Number;

    Solver(Space& space, const LanczosOptions& options, Index check_basis)
        : space_(space), ctx_(space.context()), options_(options), d_(space.size()), check_basis_(check_basis),
          ends_(ends_of(options.which, options.k)), basis_(space, options.max_basis, options.block)
    {
    }

    LanczosResult<T> run(MatrixView<const T> start)
    {
        began_ = Clock::now();
        basis_.start_block(start, options_.block);
        while (!step()) {
            result_.stopped = out_of_budget();
            if (result_.stopped != Stopped::no) {
                give_up();
                break;
            }
        }
        result_.stats.products = basis_.products();
        result_.stats.block_calls = basis_.block_calls();
        result_.stats.replaced = basis_.replaced();
        result_.stats.operator_seconds = space_.operator_seconds();
        result_.stats.peak_bytes = space_.bytes();
        result_.stats.seconds = seconds_since(began_);
        return std::move(result_);
    }

  private:
    // One operator call and what follows from it; true when the run is over.
    bool step()
    {
        const Index first_new = basis_.size();
        basis_.expand();
        progress_ = {};
        progress_.largest_residual = std::numeric_limits<double>::infinity();
        if (basis_.size() < options_.k) return false;
        if (check_.running) {
            if (!found_beyond(first_new)) return checked_enough();
            check_.running = false;
            basis_.merge_aside();
            result_.stats.check_products += basis_.products() - check_.first_product;
        }
        const Workspace::Scope scope(ctx_.workspace());
        const auto y = ctx_.scratch<double>(basis_.size(), basis_.size());
        const std::vector<double> values = basis_.solve(y);
        raise_norm(values);
        const std::vector<Index> order = preference(values, options_.which);
        measure(y, order);
        if (progress_.converged == options_.k || basis_.pending() == 0) { // a full basis is as good as it gets
            lock(y, values, order);
            if (basis_.size() == d_ || whole_space_) {
                finish(Certificate::whole_space, 0);
                return true;
            }
            begin_check();
        } else if (basis_.full()) {
            const Index room = basis_.max_basis() - options_.k;
            const Index spare = std::max<Index>(0, std::min(2 * room / 5, room - 2 * basis_.pending()));
            restart(y, values, order, options_.k + spare);
            ++result_.stats.restarts;
        }
        return false;
    }

    // No Ritz value is larger than |A|.
    void raise_norm(const std::vector<double>& ascending)
    {
        norm_ = std::max({norm_, std::abs(ascending.front()), std::abs(ascending.back())});
    }

    void measure(MatrixView<const double> y, const std::vector<Index>& order)
    {
        progress_.largest_residual = 0;
        for (Index i = 0; i < options_.k; ++i) {
            const double residual = basis_.residual(y.column(order[i]));
            progress_.converged += residual <= options_.tol * norm_;
            progress_.largest_residual = std::max(progress_.largest_residual, residual);
        }
    }

    // Tells how far the run is; why it must end here, if it must.
    Stopped out_of_budget()
    {
        const double seconds = seconds_since(began_);
        if (options_.progress) {
            progress_.products = basis_.products();
            progress_.block_calls = basis_.block_calls();
            progress_.seconds = seconds;
            progress_.checking = check_.running;
            if (check_.running) {
                progress_.converged = options_.k;
                progress_.largest_residual = *std::max_element(residuals_.begin(), residuals_.end());
            }
            progress_.largest_residual *= space_.unit();
            if (!options_.progress(progress_)) return Stopped::cancelled;
        }
        if (options_.max_seconds > 0 && seconds > options_.max_seconds) return Stopped::seconds;
        return basis_.products() + basis_.pending() > options_.max_products ? Stopped::products : Stopped::no;
    }

    void restart(MatrixView<const double> y, const std::vector<double>& values, const std::vector<Index>& order,
                 Index count)
    {
        const Workspace::Scope scope(ctx_.workspace());
        const auto kept = ctx_.scratch<double>(y.rows, count);
        std::vector<double> kept_values(static_cast<std::size_t>(count));
        for (Index j = 0; j < count; ++j) {
            std::copy_n(y.column(order[j]), y.rows, kept.column(j));
            kept_values[j] = values[order[j]];
        }
        basis_.restart(kept, kept_values);
    }

    // Keeps the k wanted pairs, in reporting order.
    void lock(MatrixView<const double> y, const std::vector<double>& values, std::vector<Index> order)
    {
        whole_space_ = basis_.pending() == 0;
        order.resize(static_cast<std::size_t>(options_.k));
        report_order(values, options_.which, order);
        residuals_.clear();
        for (const Index position : order) residuals_.push_back(basis_.residual(y.column(position)));
        restart(y, values, order, options_.k);
    }

    void begin_check()
    {
        check_ = {};
        check_.running = true;
        check_.first_product = basis_.products();
        basis_.random_block(kCheckColumns);
        double top = -std::numeric_limits<double>::infinity(), bottom = -top, least_magnitude = bottom;
        const Index at_top = options_.which == Which::both_ends ? (options_.k + 1) / 2 : options_.k;
        for (Index i = 0; i < options_.k; ++i) {
            const double value = basis_.t(i, i);
            least_magnitude = std::min(least_magnitude, std::abs(value));
            if (i == at_top - 1) top = value;
            if (options_.which == Which::smallest ? i == options_.k - 1 : i == at_top) bottom = value;
        }
        const bool magnitude = options_.which == Which::largest_magnitude;
        const double slack = options_.tol * norm_;
        check_.top = (magnitude ? least_magnitude : top) + slack;
        check_.bottom = (magnitude ? -least_magnitude : bottom) - slack;
        check_.above = HiddenEigenvalue(check_.top, basis_.start_factor(), basis_.pending());
        check_.below = HiddenEigenvalue(check_.bottom, basis_.start_factor(), basis_.pending());
    }

    // Does the complement hold a Ritz value beyond the answer? If not, how unlikely has a miss become?
    bool found_beyond(Index first_new)
    {
        const std::vector<double> rest = basis_.ritz_values(options_.k);
        raise_norm(rest);
        if ((ends_.top && rest.back() > check_.top) || (ends_.bottom && rest.front() < check_.bottom)) return true;
        double miss = 0;
        if (ends_.top) {
            check_.above.extend(basis_, first_new);
            miss += check_.above.probability(ctx_);
        }
        if (ends_.bottom) {
            check_.below.extend(basis_, first_new);
            miss += check_.below.probability(ctx_);
        }
        miss_ = basis_.invariant() || basis_.pending() == 0 ? 0 : std::min(miss, 1.0);
        return false;
    }

    bool checked_enough()
    {
        if (miss_ > options_.miss_probability && basis_.full() && basis_.max_basis() < check_basis_)
            basis_.grow(check_basis_);
        if (miss_ > options_.miss_probability && !basis_.full()) return false;
        result_.stats.check_products += basis_.products() - check_.first_product;
        const bool all = basis_.invariant() || basis_.pending() == 0;
        finish(all ? Certificate::exhausted : miss_ < 1 ? Certificate::random_block : Certificate::none, miss_);
        return true;
    }

    // The answer is the first k columns of the basis, locked before any check.
    void finish(Certificate certificate, double miss)
    {
        result_.converged = true;
        result_.certificate = certificate;
        result_.miss_probability = miss;
        collect();
    }

    void collect()
    {
        const Index k = options_.k;
        result_.norm = norm_ * space_.unit();
        space_.hand_over(basis_.q().columns(0, k), result_.vectors);
        for (Index i = 0; i < k; ++i) {
            result_.values.push_back(basis_.t(i, i) * space_.unit());
            result_.residuals.push_back(residuals_[i] * space_.unit());
        }
    }

    // The budget is spent: report the best there is, marked for what it is.
    void give_up()
    {
        if (check_.running) {
            result_.stats.check_products += basis_.products() - check_.first_product;
            finish(miss_ < 1 ? Certificate::random_block : Certificate::none, miss_);
            return;
        }
        if (basis_.size() < options_.k) return;
        const Workspace::Scope scope(ctx_.workspace());
        const auto y = ctx_.scratch<double>(basis_.size(), basis_.size());
        const std::vector<double> values = basis_.solve(y);
        lock(y, values, preference(values, options_.which));
        collect();
    }

    Space& space_;
    Context& ctx_;
    LanczosOptions options_;
    Index d_, check_basis_;
    Ends ends_;
    KrylovBasis<Space> basis_;
    Check check_;
    LanczosProgress progress_;
    Clock::time_point began_;
    LanczosResult<T> result_;
    std::vector<double> residuals_; // of the k locked pairs, when they were locked
    double norm_ = 0, miss_ = 1;
    bool whole_space_ = false;
};

/// block_lanczos in a space. start (d, j) lies where the space has its columns, and is finite.
template <class Space>
LanczosResult<typename Space::Number> lanczos_in(Space& space, const LanczosOptions& options,
                                                 MatrixView<const typename Space::Number> start)
{
    using T = typename Space::Number;
    const LanczosOptions sound = checked<T>(options, space.size());
    // A basis of our own choosing may double for the check: a close cluster at the edge takes it long to see past.
    return Solver<Space>(space, sound, options.max_basis == 0 ? 2 * sound.max_basis : 0).run(start);
}

} // namespace hessay
