#include "hessay/ritz.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hessay {

std::vector<Index> preference(const std::vector<double>& ascending, Which which)
{
    const Index n = static_cast<Index>(ascending.size());
    std::vector<Index> order(ascending.size());
    std::iota(order.begin(), order.end(), Index(0));
    switch (which) {
    case Which::smallest:
        break;
    case Which::largest:
        std::reverse(order.begin(), order.end());
        break;
    case Which::both_ends:
        for (Index i = 0; i < n; ++i) order[i] = i % 2 == 0 ? n - 1 - i / 2 : i / 2;
        break;
    case Which::largest_magnitude:
        std::stable_sort(order.begin(), order.end(),
                         [&](Index i, Index j) { return std::abs(ascending[i]) > std::abs(ascending[j]); });
        break;
    }
    return order;
}

void report_order(const std::vector<double>& ascending, Which which, std::vector<Index>& positions)
{
    std::sort(positions.begin(), positions.end(), [&](Index i, Index j) {
        if (which == Which::smallest) return i < j;
        if (which == Which::largest_magnitude && std::abs(ascending[i]) != std::abs(ascending[j]))
            return std::abs(ascending[i]) > std::abs(ascending[j]);
        return i > j;
    });
}

Ends ends_of(Which which, Index k)
{
    switch (which) {
    case Which::largest:
        return {true, false};
    case Which::smallest:
        return {false, true};
    case Which::both_ends:
        return {true, k > 1};
    case Which::largest_magnitude:
        break;
    }
    return {true, true};
}

} // namespace hessay
