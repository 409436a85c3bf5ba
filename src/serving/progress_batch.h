// Tells the schedulers how far streamed responses are, in batches: a token costs no lock.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/units.h"
#include "scheduler/events.h"
#include "serving/executor.h"
#include "serving/pool_router.h"

namespace headrace::serving {

// Collects what the streams of one thread have generated and reports it ten times a second, with
// one scheduler event per pool. Used on its executor's thread.
class ProgressBatch {
 public:
  static constexpr Seconds kInterval = 0.1;

  explicit ProgressBatch(Executor& executor) : executor_(executor) {}
  ProgressBatch(const ProgressBatch&) = delete;
  ProgressBatch& operator=(const ProgressBatch&) = delete;

  // One response. It ends before its request and its batch do; what has not been reported by then
  // is dropped, since the end of the request says more.
  class Stream {
   public:
    Stream(ProgressBatch& batch, PoolRouter& router, scheduler::RequestId id)
        : batch_(batch), router_(router), id_(id) {}
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // Output tokens so far, at least one.
    void Generated(Tokens tokens) {
      generated_ = tokens;
      if (!pending_) batch_.Add(*this);
    }

   private:
    friend class ProgressBatch;
    ProgressBatch& batch_;
    PoolRouter& router_;
    scheduler::RequestId id_;
    Tokens generated_ = 0;
    bool began_ = false;    // The first token was reported.
    bool pending_ = false;  // It is in the batch.
  };

 private:
  void Add(Stream& stream);
  void Flush();

  Executor& executor_;
  std::unique_ptr<Alarm> alarm_;  // Made when it is first needed: only then are we on the thread.
  std::vector<Stream*> pending_;
  std::vector<Progress> reports_;  // Of one Flush; kept for its memory.
};

}  // namespace headrace::serving
