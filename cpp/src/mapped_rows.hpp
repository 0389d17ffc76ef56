#pragma once

#include "hessay/stepwise_passes.hpp"

namespace hessay {

/// Tells the system what a pass over the rows of a memory-mapped file needs. Page by page such a pass would wait for
/// the disk at every fault, and what was read would stay in the process; so the next stretch of rows is asked for
/// ahead, and the last one is handed back. Does nothing for a matrix in memory or one mapped by columns.
class MappedRows {
  public:
    explicit MappedRows(const StepwiseSource& x);

    void before(Index last); // rows below last are read next
    void after(Index last);  // rows below last have been read

  private:
    enum class Wish { soon, no_longer };
    void tell(Index first, Index last, Wish wish) const;

    const StepwiseSource& x_;
    Index row_bytes_, stretch_ = 0; // rows asked for and handed back at a time; 0: nothing to tell
    Index asked_ = 0, handed_back_ = 0;
};

} // namespace hessay
