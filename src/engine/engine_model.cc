#include "engine/engine_model.h"

#include <algorithm>
#include <cassert>
#include <string>

namespace headrace::engine {

Result<void> CheckEngineConfig(const EngineConfig& config) {
  const step::TimeModel& step = config.step;
  if (!(step.a > 0)) return Fail("the engine's step time must be above 0");
  if (std::min({step.b, step.c, step.d, step.e, step.overhead, step.overhead_per_sequence}) < 0) {
    return Fail("the engine's step coefficients must not be negative");
  }
  if (!(step.overlap >= 0 && step.overlap <= 1)) {
    return Fail("the overlap of the engine's step must lie between 0 and 1");
  }
  if (config.max_num_seqs < 1) return Fail("max_num_seqs must be at least 1");
  if (config.max_num_batched_tokens < config.max_num_seqs) {
    return Fail("max_num_batched_tokens (" + std::to_string(config.max_num_batched_tokens) +
                ") must be at least max_num_seqs (" + std::to_string(config.max_num_seqs) + ")");
  }
  if (config.max_model_len < 2) return Fail("the context length must be at least 2 tokens");
  const std::int64_t room = config.kv_blocks * kKvBlockTokens;
  if (room < config.max_model_len) {
    return Fail("a context of " + std::to_string(config.max_model_len) +
                " tokens does not fit into the KV cache of " + std::to_string(room) +
                " tokens; choose a shorter one or a larger GPU");
  }
  return {};
}

EngineModel::EngineModel(const EngineConfig& config)
    : config_(config), free_blocks_(config.kv_blocks) {
  assert(CheckEngineConfig(config));
}

EngineModel::Handle EngineModel::Add(std::uint64_t tag, Tokens prompt, Tokens output,
                                     Tokens cached) {
  assert(Fits(prompt, output) && cached >= 0 && cached < prompt);
  SlotId id;
  if (free_slots_.empty()) {
    id = static_cast<SlotId>(slots_.size());
    slots_.emplace_back();
  } else {
    id = free_slots_.back();
    free_slots_.pop_back();
  }
  Slot& slot = slots_[id];
  slot.tag = tag;
  slot.arrival = arrivals_++;
  slot.prompt = prompt;
  slot.output = output;
  slot.cached = cached;
  slot.generated = 0;
  slot.target = prompt;
  slot.computed = 0;
  slot.state = State::kWaiting;
  PushBack(waiting_list_, id);
  ++waiting_;
  return HandleOf(id);
}

bool EngineModel::alive(Handle handle) const {
  const SlotId id = SlotOf(handle);
  return id < slots_.size() && slots_[id].state != State::kFree && HandleOf(id) == handle;
}

bool EngineModel::Cancel(Handle handle) {
  if (!alive(handle)) return false;
  const SlotId id = SlotOf(handle);
  if (slots_[id].state == State::kWaiting) {
    Unlink(waiting_list_, id);
    --waiting_;
  } else {
    ReleaseKv(id);
  }
  Free(id);
  return true;
}

EngineModel::StepReport EngineModel::Step() {
  events_.clear();
  if (idle()) return {};
  const std::uint64_t preempted_before = preemptions_;
  while (BlocksNeeded(clock_) > free_blocks_) Preempt();

  free_blocks_ -= BlocksNeeded(clock_);
  ++clock_;
  held_ += decoding_;
  step::Work work{.decoding = decoding_, .held = held_};

  Tokens budget = config_.max_num_batched_tokens - decoding_;
  if (prefilling_ != kNone) ContinuePrefill(budget, work);
  while (preemptions_ == preempted_before && CanAdmit(free_blocks_, budget)) Admit(budget, work);

  FinishDecoded();
  for (const SlotId id : prefilled_) EndPrefill(id);
  prefilled_.clear();
  return {.duration = config_.step.Duration(work),
          .steps = 1,
          .decoding = work.decoding,
          .prefilled = work.prefilled};
}

EngineModel::StepReport EngineModel::StepMany(Seconds duration) {
  const std::int64_t quiet = QuietSteps();
  if (quiet == 0) return Step();
  events_.clear();
  StepReport report;
  report.decoding = decoding_;
  report.steps = config_.step.StepsToFill(duration, quiet, decoding_, held_);
  report.duration = config_.step.DecodeRun(report.steps, decoding_, held_);
  free_blocks_ -= report.steps / kKvBlockTokens * decoding_;
  for (std::int64_t i = 0; i < report.steps % kKvBlockTokens; ++i) {
    free_blocks_ -= BlocksNeeded(clock_ + i);
  }
  clock_ += report.steps;
  held_ += report.steps * decoding_;
  FinishDecoded();
  return report;
}

std::int64_t EngineModel::QuietSteps() const {
  if (decoding_ == 0 || prefilling_ != kNone) return 0;
  // Free blocks only become fewer until the next event: a request that cannot enter now cannot
  // enter before it.
  if (CanAdmit(free_blocks_ - BlocksNeeded(clock_), config_.max_num_batched_tokens - decoding_)) {
    return 0;
  }
  const std::int64_t until_finish = finishing_.top_key().clock - clock_;
  // Every sequence takes one block in kKvBlockTokens steps.
  const std::int64_t rounds = free_blocks_ / decoding_;
  std::int64_t steps = rounds * kKvBlockTokens;
  std::int64_t left = free_blocks_ - rounds * decoding_;
  while (steps < until_finish) {
    left -= BlocksNeeded(clock_ + steps);
    if (left < 0) break;
    ++steps;
  }
  return std::min(steps, until_finish);
}

Seconds EngineModel::QuietDuration() const {
  return config_.step.DecodeRun(QuietSteps(), decoding_, held_);
}

bool EngineModel::CanAdmit(std::int64_t free_blocks, Tokens budget) const {
  if (waiting_ == 0 || running_ >= config_.max_num_seqs || budget <= 0 || prefilling_ != kNone) {
    return false;
  }
  return KvBlocksFor(slots_[waiting_list_.head].target) <= free_blocks;
}

// Moves the head of the queue into the running set with its first chunk.
void EngineModel::Admit(Tokens& budget, step::Work& work) {
  const SlotId id = waiting_list_.head;
  Slot& slot = slots_[id];
  Unlink(waiting_list_, id);
  --waiting_;
  PushBack(running_list_, id);
  ++running_;
  slot.state = State::kPrefilling;
  const Tokens chunk = std::min(budget, slot.target - slot.cached);
  budget -= chunk;
  work.AddChunk(chunk, slot.cached);
  slot.computed = slot.cached + chunk;
  free_blocks_ -= KvBlocksFor(slot.computed);
  if (slot.computed == slot.target) {
    prefilled_.push_back(id);
  } else {
    prefilling_ = id;
  }
}

// The next chunk of the request in mid-prefill. It is the latest arrival that runs, so when there
// is no room for the chunk it preempts itself.
void EngineModel::ContinuePrefill(Tokens& budget, step::Work& work) {
  const SlotId id = prefilling_;
  Slot& slot = slots_[id];
  const Tokens chunk = std::min(budget, slot.target - slot.computed);
  const std::int64_t blocks = KvBlocksFor(slot.computed + chunk) - KvBlocksFor(slot.computed);
  if (blocks > free_blocks_) {
    Preempt();
    return;
  }
  budget -= chunk;
  work.AddChunk(chunk, slot.computed);
  free_blocks_ -= blocks;
  slot.computed += chunk;
  if (slot.computed == slot.target) {
    prefilling_ = kNone;
    prefilled_.push_back(id);
  }
}

// Sends the latest arrival of the running set back to the head of the queue.
void EngineModel::Preempt() {
  const SlotId id = running_list_.tail;
  Slot& slot = slots_[id];
  slot.generated = Generated(slot);
  ReleaseKv(id);
  slot.target = slot.prompt + slot.generated;
  slot.computed = 0;
  slot.state = State::kWaiting;
  PushFront(waiting_list_, id);
  ++waiting_;
  ++preemptions_;
  Emit(Event::Kind::kPreempted, id);
}

// Takes a slot out of the running set and gives its blocks back.
void EngineModel::ReleaseKv(SlotId id) {
  Slot& slot = slots_[id];
  if (slot.state == State::kDecoding) {
    free_blocks_ += KvBlocksFor(Held(slot));
    LeaveDecoding(slot, id);
  } else {
    free_blocks_ += KvBlocksFor(slot.computed);
    if (prefilling_ == id) prefilling_ = kNone;
  }
  Unlink(running_list_, id);
  --running_;
}

void EngineModel::LeaveDecoding(Slot& slot, SlotId id) {
  held_ -= Held(slot);
  --phases_[Phase(slot)];
  --decoding_;
  finishing_.Erase(id);
}

void EngineModel::Free(SlotId id) {
  Slot& slot = slots_[id];
  slot.state = State::kFree;
  ++slot.generation;
  free_slots_.push_back(id);
}

void EngineModel::FinishDecoded() {
  while (!finishing_.empty() && finishing_.top_key().clock == clock_) {
    const SlotId id = finishing_.top();
    Emit(Event::Kind::kFinished, id);
    ReleaseKv(id);
    Free(id);
  }
}

// The step that completes a prefill also samples the next token.
void EngineModel::EndPrefill(SlotId id) {
  Slot& slot = slots_[id];
  if (slot.output > 0 && ++slot.generated == 1) Emit(Event::Kind::kFirstToken, id);
  if (slot.generated == slot.output) {
    Emit(Event::Kind::kFinished, id);
    ReleaseKv(id);
    Free(id);
    return;
  }
  slot.state = State::kDecoding;
  slot.joined = clock_;
  held_ += slot.target;
  ++phases_[Phase(slot)];
  ++decoding_;
  finishing_.Set(id, {clock_ + slot.output - slot.generated, slot.arrival});
}

void EngineModel::PushBack(List& list, SlotId id) {
  slots_[id].previous = list.tail;
  slots_[id].next = kNone;
  (list.tail == kNone ? list.head : slots_[list.tail].next) = id;
  list.tail = id;
}

void EngineModel::PushFront(List& list, SlotId id) {
  slots_[id].previous = kNone;
  slots_[id].next = list.head;
  (list.head == kNone ? list.tail : slots_[list.head].previous) = id;
  list.head = id;
}

void EngineModel::Unlink(List& list, SlotId id) {
  const Slot& slot = slots_[id];
  (slot.previous == kNone ? list.head : slots_[slot.previous].next) = slot.next;
  (slot.next == kNone ? list.tail : slots_[slot.next].previous) = slot.previous;
}

}  // namespace headrace::engine
