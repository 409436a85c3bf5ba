// The emulated engine itself: continuous batching as vLLM V1 does it, without a clock.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/indexed_heap.h"
#include "base/result.h"
#include "base/units.h"
#include "engine/kv_cache.h"
#include "step/time_model.h"

namespace headrace::engine {

struct EngineConfig {
  step::TimeModel step;
  std::int64_t kv_blocks = 0;            // Of kKvBlockTokens tokens each.
  int max_num_seqs = 256;                // Requests in the running set (vLLM's default).
  Tokens max_num_batched_tokens = 2048;  // Decoded + prefilled tokens in a step (vLLM's default).
  Tokens max_model_len = 0;              // Prompt + output of one request.
};

// An error says what is wrong with a configuration. A request of max_model_len tokens must fit into
// the KV cache, and a full running set into a step.
Result<void> CheckEngineConfig(const EngineConfig& config);

// One engine: a FCFS waiting queue and a running set. A step gives every decoding sequence one
// token and spends the rest of its token budget on prefill, in order of arrival, in chunks. A
// request enters the running set when the KV cache has space for all its tokens so far (vLLM's
// scheduler_reserve_full_isl, on by default), and takes blocks as tokens are computed. When they
// run out the latest arrival is preempted: it goes back to the head of the queue and later prefills
// its prompt and the tokens it already has once more (vLLM's recompute). A step that preempts
// admits no request. A request's KV is freed in the step that produces its last token. Prompt
// tokens that the prefix cache holds are not prefilled, but take room once per request. That
// underrates the cache: vLLM shares it between requests. Facts: docs.vllm.ai, "vLLM V1",
// "Optimization and Tuning".
//
// The caller keeps the time: a step reports its duration, its events take effect at its end, and
// what is added during a step takes part from the next one on. Costs: a step of pure decode is O(1)
// for any batch, admission and end of a request are O(log batch). Nothing is allocated after the
// largest load so far. Deterministic. Not thread-safe.
class EngineModel {
 public:
  // Names a request; never reused.
  using Handle = std::uint64_t;

  struct Event {
    enum class Kind : std::uint8_t {
      kFirstToken,  // The prompt is prefilled and the first output token is there.
      kFinished,    // The last token is there (for a request of 0 output tokens: the prefill).
      kPreempted,
    };
    Kind kind;
    Handle handle;
    std::uint64_t tag;  // As given to Add.
    bool operator==(const Event&) const = default;
  };

  struct StepReport {
    Seconds duration = 0;
    std::int64_t steps = 0;  // 0: there is nothing to do.
    int decoding = 0;        // Sequences that decoded in (each of) the step(s).
    Tokens prefilled = 0;    // Prompt tokens taken in, recomputed ones included.
    bool operator==(const StepReport&) const = default;
  };

  // `config` must pass CheckEngineConfig.
  explicit EngineModel(const EngineConfig& config);

  // Whether a request is within the context length; only such ones may be added.
  bool Fits(Tokens prompt, Tokens output) const {
    return prompt >= 1 && output >= 0 && prompt <= config_.max_model_len - output;
  }
  // Queues a request that will produce exactly `output` tokens (0: prefill only, an embedding).
  // `cached` (< prompt) of its prompt's tokens are in the prefix cache.
  Handle Add(std::uint64_t tag, Tokens prompt, Tokens output, Tokens cached = 0);
  // Removes a request in any state; false if it has already finished or been cancelled.
  bool Cancel(Handle handle);

  // One iteration. Its events are in events() until the next call.
  StepReport Step();
  // Like Step(), repeated until `duration` is filled or a step has an event, whichever is first (at
  // least one step). A run of pure decode is one calculation, for any length.
  StepReport StepMany(Seconds duration);
  // How many pure decode steps there are up to and including the next event if nothing is added or
  // cancelled; 0 if the next step is not pure decode.
  std::int64_t QuietSteps() const;
  // The duration of QuietSteps() steps.
  Seconds QuietDuration() const;
  std::span<const Event> events() const { return events_; }

  bool idle() const { return running_ == 0 && waiting_ == 0; }
  int running() const { return running_; }
  int waiting() const { return waiting_; }
  int decoding() const { return decoding_; }
  // Tokens held by the decoding sequences.
  std::int64_t held_tokens() const { return held_; }
  std::int64_t kv_blocks_used() const { return config_.kv_blocks - free_blocks_; }
  double kv_usage() const {
    return static_cast<double>(kv_blocks_used()) / static_cast<double>(config_.kv_blocks);
  }
  std::uint64_t preemptions() const { return preemptions_; }
  bool alive(Handle handle) const;
  // Output tokens produced so far by a request that is alive.
  Tokens generated(Handle handle) const { return Generated(slots_[SlotOf(handle)]); }

  const EngineConfig& config() const { return config_; }
  // Changes the engine's speed, from the next step on.
  void set_step_model(const step::TimeModel& step) { config_.step = step; }

 private:
  using SlotId = std::uint32_t;
  static constexpr SlotId kNone = ~SlotId{0};
  enum class State : std::uint8_t { kFree, kWaiting, kPrefilling, kDecoding };

  struct Slot {
    std::uint64_t tag = 0;
    std::uint64_t arrival = 0;  // Order of Add.
    std::int64_t joined = 0;    // The clock_ at which it began to decode.
    Tokens prompt = 0;
    Tokens output = 0;
    Tokens cached = 0;
    Tokens generated = 0;     // While decoding: as of `joined`.
    Tokens target = 0;        // Tokens to compute before the next one can be sampled.
    Tokens computed = 0;      // Of these.
    SlotId previous = kNone;  // In the waiting queue or the running list.
    SlotId next = kNone;
    std::uint32_t generation = 0;  // Of the handle.
    State state = State::kFree;
  };
  struct List {
    SlotId head = kNone;
    SlotId tail = kNone;
  };
  struct FinishKey {
    std::int64_t clock;
    std::uint64_t arrival;
    bool operator<(const FinishKey& other) const {
      return clock != other.clock ? clock < other.clock : arrival < other.arrival;
    }
  };

  static SlotId SlotOf(Handle handle) { return static_cast<SlotId>(handle); }
  Handle HandleOf(SlotId id) const { return Handle{slots_[id].generation} << 32 | id; }
  Tokens Generated(const Slot& slot) const {
    return slot.state == State::kDecoding
               ? slot.generated + static_cast<Tokens>(clock_ - slot.joined)
               : slot.generated;
  }
  // Tokens whose keys and values a decoding slot holds.
  std::int64_t Held(const Slot& slot) const { return slot.target + (clock_ - slot.joined); }
  // A decoding sequence needs a block in the steps whose clock has this residue.
  std::size_t Phase(const Slot& slot) const {
    return static_cast<std::size_t>(slot.joined - slot.target + (std::int64_t{1} << 32)) %
           kKvBlockTokens;
  }
  std::int64_t BlocksNeeded(std::int64_t clock) const {
    return phases_[static_cast<std::size_t>(clock) % kKvBlockTokens];
  }

  void PushBack(List& list, SlotId id);
  void PushFront(List& list, SlotId id);
  void Unlink(List& list, SlotId id);
  void Emit(Event::Kind kind, SlotId id) {
    events_.push_back({kind, HandleOf(id), slots_[id].tag});
  }

  bool CanAdmit(std::int64_t free_blocks, Tokens budget) const;
  void Admit(Tokens& budget, step::Work& work);
  void ContinuePrefill(Tokens& budget, step::Work& work);
  void Preempt();
  void LeaveDecoding(Slot& slot, SlotId id);
  void ReleaseKv(SlotId id);
  void Free(SlotId id);
  void FinishDecoded();
  void EndPrefill(SlotId id);

  EngineConfig config_;
  std::vector<Slot> slots_;
  std::vector<SlotId> free_slots_;
  List waiting_list_;
  List running_list_;          // In order of arrival; the tail is preempted first.
  SlotId prefilling_ = kNone;  // The one request in mid-prefill; always the running list's tail.
  std::vector<SlotId> prefilled_;     // Ended their prefill in the current step.
  IndexedHeap<FinishKey> finishing_;  // Decoding slots by the clock of their last token.
  // Decoding sequences by the residue of the clock at which they need another block.
  std::array<std::int64_t, kKvBlockTokens> phases_{};
  std::vector<Event> events_;
  std::int64_t clock_ = 0;  // Decode steps made: what each decoding sequence counts by.
  std::int64_t free_blocks_ = 0;
  std::int64_t held_ = 0;
  int running_ = 0;
  int waiting_ = 0;
  int decoding_ = 0;
  std::uint64_t arrivals_ = 0;
  std::uint64_t preemptions_ = 0;
};

}  // namespace headrace::engine
