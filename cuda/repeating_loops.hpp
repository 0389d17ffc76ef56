#pragma once
#include "host_loops.hpp"
#include "repeated_steps.hpp"

#include <cstring>
#include <functional>
#include <stdexcept>
#include <vector>

namespace hessay::cuda {

/// A device on the processor that also does what a solver asks of one: numbers to and from it, and steps that are
/// recorded and launched again. Recorded work is not done while it is recorded, as a captured stream's is not.
class RepeatingLoops {
  public:
    template <class Body>
    void columns(const Body& body)
    {
        submit([this, body] { loops_.columns(body); });
    }
    template <class Body>
    void lanes(const Body& body)
    {
        submit([this, body] { loops_.lanes(body); });
    }
    template <class Body>
    void each(const Body& body)
    {
        submit([this, body] { loops_.each(body); });
    }
    template <class Body>
    void tiles(const Body& body)
    {
        submit([this, body] { loops_.tiles(body); });
    }
    template <class T>
    void product(Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
                 MatrixView<T> c)
    {
        if (is_narrow(trans_a, trans_b, a, c.cols)) // with scratch from the workspace, as on a device
            return narrow_product<T>(*this, trans_a, alpha, a, b, beta, c);
        submit([=] { loops_.product<T>(trans_a, trans_b, alpha, a, b, beta, c); });
    }

    /// Scratch from now on; nothing may be taken from what was used before.
    void use(MatrixView<double> workspace)
    {
        workspace_ = workspace;
        steps_.forget();
    }
    MatrixView<double> scratch(Index rows, Index cols)
    {
        const std::size_t end = scratch_end(used_, rows, cols);
        require_scratch(static_cast<std::size_t>(workspace_.rows) * sizeof(double), end);
        const MatrixView<double> piece{workspace_.data + used_ / sizeof(double), rows, cols, rows};
        used_ = end;
        return piece;
    }
    std::size_t used() const { return used_; }
    void release(std::size_t used) { used_ = used; }

    template <class T>
    void to_device(const T* here, T* there, Index n)
    {
        outside_of_a_step();
        if (n > 0) std::memcpy(there, here, static_cast<std::size_t>(n) * sizeof(T));
    }
    void to_host(const double* there, double* here, Index n, const char*)
    {
        outside_of_a_step();
        if (n > 0) std::memcpy(here, there, static_cast<std::size_t>(n) * sizeof(double));
    }
    void synchronise(const char*) { outside_of_a_step(); }

    template <class Work>
    void repeat(StepKey key, const Work& work)
    {
        steps_.run(key, work, [this](const Work& launches) {
            Script script;
            {
                const Recording recording(recording_, script.work);
                launches();
            }
            return std::optional<Script>(std::move(script));
        });
    }
    Index replayed() const { return steps_.replayed(); }

  private:
    using Launches = std::vector<std::function<void()>>;

    struct Script {
        Launches work;
        void replay() const
        {
            for (const auto& launch : work) launch();
        }
    };

    // While it lives, launches are written down and not done.
    class Recording {
      public:
        Recording(Launches*& place, Launches& launches) : place_(place) { place_ = &launches; }
        ~Recording() { place_ = nullptr; }
        Recording(const Recording&) = delete;
        Recording& operator=(const Recording&) = delete;

      private:
        Launches*& place_;
    };

    template <class Work>
    void submit(const Work& work)
    {
        if (recording_)
            recording_->push_back(work);
        else
            work();
    }
    void outside_of_a_step() const
    {
        if (recording_) throw std::logic_error("a step that is recorded cannot wait for the device");
    }

    HostLoops loops_;
    MatrixView<double> workspace_;
    std::size_t used_ = 0;
    Launches* recording_ = nullptr;
    RepeatedSteps<Script> steps_;
};

} // namespace hessay::cuda
