// What one endpoint is predicted to do: to the requests there, and to one more.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/units.h"
#include "fleet/headroom_constants.h"
#include "fleet/load_model.h"
#include "fleet/step_learner.h"
#include "predict/length_distribution.h"

namespace headrace::fleet {

// What a request takes of an engine that has nothing else to do.
struct Alone {
  Seconds first_token = 0;
  Seconds decode = 0;  // From then on.
};
Alone AloneOn(const StepBelief& step, double chunk, double prompt_tokens, double output_tokens);

// What is known of a deployment's engines, shared by its endpoints.
struct EngineBelief {
  HeadroomConstants constants;
  StepLearner steps{{}, constants};
  double kv_tokens = 0;  // That the KV cache of one engine holds; 0: not known.
};

// What one more request would meet at an endpoint, and what it would do to those there.
struct Outlook {
  Seconds first_token = 0;     // When its first token is due.
  Seconds pace = 0;            // Seconds per token after that.
  Seconds end = 0;             // When a response of mean length ends.
  double miss = 0;             // P(it misses its SLO). 0 without one.
  double miss_later = 0;       // The same if it came half a second later.
  std::optional<double> harm;  // StepForecast::Harm, where it was asked for.
  bool fits = true;            // There is KV room for it when its turn comes, as far as known.

  // When a response of so many tokens ends.
  Seconds EndOf(Tokens output_tokens) const { return first_token + pace * (output_tokens - 1); }
};

// A request whose promise another one would endanger.
struct Harmed {
  std::uint64_t tag = 0;   // Demand::tag.
  double miss_before = 0;  // P(it misses its SLO).
  double miss_after = 0;
};

// The requests at one endpoint and their future, by the believed step time. An engine is taken to
// prefill prompts in order of arrival, 2,048 tokens per step at most, while it gives every other
// request a token in each step. What is not seen (first tokens where the response is no stream) is
// predicted.
//
// A request misses with the probability that its length is one for which some target is missed,
// given that it has not ended yet: the end of a response of l tokens is a straight line in l, and
// so is every target, so the lengths in time are one interval.
//
// Time goes on lazily: every event and every question first brings the state to its own time. Costs
// O(requests in line or exposed) per question, O(requests in line) per event. Not thread-safe.
class StepForecast {
 public:
  explicit StepForecast(std::shared_ptr<EngineBelief> engine) : engine_(std::move(engine)) {}

  Outlook Assess(const Demand& demand, Seconds now);
  // Σ over the requests there of the rise of P(they miss their SLO); more for those that stand
  // higher than the newcomer (Demand::standing), less for those that stand lower. Lists in
  // `harmed`, where asked, those whose P(miss) would rise by 1 % or more.
  double Harm(const Demand& demand, Seconds now, std::vector<Harmed>* harmed = nullptr);
  // When the request must start at the latest to be in time on an idle engine, for a response of
  // its mean length; kNever if it has no SLO.
  static Seconds LatestStart(const Demand& demand, const EngineBelief& engine);

  Resident Start(const Demand& demand, Seconds now);
  void FirstToken(Resident resident, Seconds now);
  void Progress(Resident resident, Tokens generated, Seconds now);
  // Teaches the deployment's learner, and how much slower than it this endpoint is.
  void End(Resident resident, const Completion& completion, Seconds now);
  // So many replicas of the router send alike, and what the others send is not known: every request
  // here stands for so many.
  void SetReplicas(int replicas) { replicas_ = replicas; }

  int residents() const { return residents_; }
  // The mean of PrefillShare over the requests there; 0 if there are none.
  double prefill_share() const { return residents_ > 0 ? prefill_shares_ / residents_ : 0; }
  // The share of the engine's time for this request that is prefill: near 1 for a long prompt with
  // a short response, near 0 for a chat turn.
  double PrefillShare(const Demand& demand) const;
  // What the request takes of the engine's time, in a batch of usual size.
  Seconds EngineTime(const Demand& demand) const { return WorkOf(demand).total(); }
  // Seconds until the prompts in line are prefilled, as of the last event or question.
  Seconds Backlog() const { return LineTime(line_end_ - line_done_, Decode()) + overdue_; }
  std::size_t prompts_in_line() const { return line_.size(); }
  // How much slower this endpoint is than its deployment's belief.
  double scale() const { return scale_; }

 private:
  // All targets of a request.
  struct Promise {
    Seconds arrived = 0;
    Seconds first_token_by = kNever;
    Seconds tpot = 0;    // 0: none.
    slo::EndLimits end;  // From its arrival on.

    bool empty() const { return end.empty() && tpot == 0 && first_token_by == kNever; }
  };
  enum class State : std::uint8_t { kFree, kInLine, kDecoding };
  // Of all time, by the believed steps; see StepSample.
  struct Counters {
    double steps = 0;
    double sequence_steps = 0;
    double held_steps = 0;
    double prefilled = 0;
  };
  struct alignas(64) Held {
    // What a question about a decoding request reads, in two cache lines.
    State state = State::kFree;
    bool reports_first_token = false;
    bool first_token_seen = false;
    int standing = 0;
    Tokens most = 0;   // The longest that the response may be.
    Tokens exact = 0;  // Its length where that is known; else 0.
    Seconds first_at = 0;
    double first_step = 0;  // The step of its first token.
    Promise promise;
    std::shared_ptr<const predict::LengthDistribution> lengths;
    // The rest.
    Tokens prompt = 0;
    float prefill_share = 0;
    std::uint64_t tag = 0;
    Seconds started = 0;
    double line_end = 0;  // Where its prompt ends in the line.
    Counters since;       // At its first token; until then, at its start.
  };
  // How the line of prompts, and what follows it, looks.
  struct Line {
    Seconds time = 0;   // Until its last prompt is in.
    Seconds stall = 0;  // What it costs those that decode, on top of their pace.
    Seconds pace = 0;   // Of all, seconds per token.
  };
  // A request's part of the engine's time.
  struct Work {
    Seconds prefill = 0;
    Seconds decode = 0;
    Seconds total() const { return prefill + decode; }
  };
  // What is at the endpoint, with or without the request in question.
  struct Crowd {
    double waiting = 0;    // Prompt tokens in line.
    double line_held = 0;  // Tokens that those in line hold once they are in.
    double sequences = 0;
    double to_come = 0;  // Output tokens; only needed where the KV cache is too small for all.
  };
  // One more request, without it and with it.
  struct Question {
    double length = 0;  // Of its response, in the mean.
    Crowd crowd;
    Line before;
    Line after;
  };

  static Promise PromiseOf(const Demand& demand);
  Work WorkOf(const Demand& demand) const;
  const HeadroomConstants& constants() const { return engine_->constants; }
  double LineSteps(double tokens) const;
  Seconds Decode() const { return belief_.Decode(decoding_ * replicas_, held_ * replicas_); }
  Seconds LineTime(double tokens, Seconds decode) const;
  Line LineOf(const Crowd& crowd) const;
  Question Ask(const Demand& demand) const;
  double OutputToCome() const;
  // P(the response is longer than `then` tokens), of one that has `generated`.
  static double Lasts(const Held& held, double generated, double then);
  // Tokens that the requests there hold in so many seconds, prompts in line that are in by then
  // included, if every step takes as long as one without prefill.
  double HeldIn(Seconds seconds) const;
  bool Fits(const Demand& demand, const Crowd& crowd);
  double Generated(const Held& held) const { return 1 + step_ - held.first_step; }
  // P(all targets are met) of a request that has `generated` tokens at `from` and gets one every
  // `pace` after that.
  double Keeps(const Held& held, double generated, Seconds first_at, Seconds from,
               Seconds pace) const;
  // What its promise counts for a newcomer of this standing.
  double WeightOf(const Held& held, int standing) const;
  // Whether one more may matter to its promise while calm_ lasts.
  bool IsExposed(const Held& held) const;
  // Brings exposed_ up to date with one decoding request of which something has changed.
  void Examine(std::uint32_t slot);
  // For questions between these, for a while.
  void BeginCalm(const Line& best, const Line& worst, int standing);
  void Advance(Seconds now);
  void Accumulate(double steps);
  // Its prompt is prefilled, and so are those before it.
  void LeaveLine(std::uint32_t slot, Seconds at);
  // It will not be prefilled.
  void DropFromLine(std::uint32_t slot);
  void Leave(std::uint32_t slot);
  StepSample SampleOf(const Held& held, const Completion& completion) const;
  void Observe(const StepSample& sample);

  std::shared_ptr<EngineBelief> engine_;
  StepBelief belief_;  // The deployment's, scaled to this endpoint.
  double scale_ = 1;
  Seconds now_ = 0;
  int residents_ = 0;
  int decoding_ = 0;
  int replicas_ = 1;
  double held_ = 0;  // Tokens that the decoding requests hold.
  double step_ = 0;  // Steps made so far.
  double prefill_shares_ = 0;
  // Requests in line, in order of arrival. Places in it count prompt tokens since it was empty.
  std::vector<std::uint32_t> line_;
  double line_done_ = 0;
  double line_end_ = 0;
  double to_come_ = 0;  // OutputToCome(), as of this time:
  Seconds to_come_at_ = -kNever;
  double chunk_ = 0;     // Prompt tokens in the current step.
  Seconds overdue_ = 0;  // For how long the first in line should have its first token.
  std::vector<Held> slots_;
  std::vector<std::uint32_t> free_;
  // Most requests have so much time that one more does not matter, and some are lost anyway. So a
  // question looks only at the exposed ones of those that decode: all but those that keep their
  // promise even if nothing is decoded until calm_.until and then comes at the slowest pace after
  // calm_.stall, and those that break it at the fastest.
  struct Calm {
    Seconds until = 0;
    Seconds stall = 0;
    Seconds slowest = 0;
    Seconds fastest = 0;
    int standing = 0;  // The lowest of a newcomer.
  };
  Calm calm_;
  std::vector<std::uint32_t> exposed_;
  Counters counters_;
  // Since the last correction of the scale:
  Seconds window_from_ = 0;
  Seconds window_seen_ = 0;
  Seconds window_predicted_ = 0;
  int windows_ = 0;
};

}  // namespace headrace::fleet
