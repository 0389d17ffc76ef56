#pragma once
#include "hessay/view.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace hessay {

/// Scratch memory handed out like a stack. Chunks are kept when a Scope ends, so a loop allocates in its first round
/// only.
class Workspace {
  public:
    /// n_bytes of 64-byte aligned memory, valid until the enclosing Scope ends. Contents are undefined.
    void* allocate(std::size_t n_bytes);
    /// Most bytes handed out at one time so far.
    std::size_t peak_bytes() const { return peak_; }

    /// Everything allocated while a Scope lives is given back when it ends.
    class Scope {
      public:
        explicit Scope(Workspace& workspace)
            : workspace_(workspace), chunk_(workspace.chunk_), offset_(workspace.offset_), used_(workspace.used_)
        {
        }
        ~Scope()
        {
            workspace_.chunk_ = chunk_;
            workspace_.offset_ = offset_;
            workspace_.used_ = used_;
        }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

      private:
        Workspace& workspace_;
        std::size_t chunk_, offset_, used_;
    };

  private:
    struct Chunk {
        std::unique_ptr<std::byte[]> memory;
        std::size_t size;
    };
    std::vector<Chunk> chunks_;
    std::size_t chunk_ = 0, offset_ = 0, used_ = 0, peak_ = 0;
};

/// What every routine needs besides its arguments: scratch memory, the random stream, and a way to be interrupted.
/// seed  keys the counter-based generator; the same seed gives the same numbers on every device
/// poll  called between blocks of work; throws to stop the routine (Ctrl-C). May be empty.
/// threads  how many threads independent pieces of work are shared out over, >= 1; BLAS must then run on one
class Context {
  public:
    explicit Context(std::uint64_t seed = 0, std::function<void()> poll = {}, Index threads = 1)
        : seed_(seed), poll_(std::move(poll)), threads_(threads)
    {
    }

    Index threads() const { return threads_; }

    std::uint64_t seed() const { return seed_; }
    /// A number never returned before by this context: the stream of the next block of random numbers.
    std::uint64_t next_stream() { return stream_++; }
    void poll() const
    {
        if (poll_) poll_();
    }
    Workspace& workspace() { return workspace_; }

    /// Uninitialised rows x cols scratch matrix, valid until the enclosing Workspace::Scope ends.
    template <class T>
    MatrixView<T> scratch(Index rows, Index cols)
    {
        void* memory = workspace_.allocate(sizeof(T) * static_cast<std::size_t>(rows * cols));
        return {static_cast<T*>(memory), rows, cols, rows};
    }

  private:
    std::uint64_t seed_;
    std::uint64_t stream_ = 0;
    std::function<void()> poll_;
    Index threads_;
    Workspace workspace_;
};

} // namespace hessay
