#include "fleet/step_forecast.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace headrace::fleet {
namespace {

// Who is named as harmed: whose P(miss) rises by at least this.
constexpr double kLeastTold = 0.01;

double MeanLength(const Demand& demand) {
  return demand.lengths ? std::min<double>(demand.lengths->mean(), demand.most_tokens)
                        : demand.output_tokens;
}

// Falls from 1 to 0 as x rises from −1 to 1.
double Ramp(double x) { return std::clamp(0.5 - 0.5 * x, 0.0, 1.0); }

}  // namespace

StepForecast::Promise StepForecast::PromiseOf(const Demand& demand) {
  Promise promise;
  if (demand.slo == nullptr) return promise;
  const slo::Slo& slo = *demand.slo;
  promise.arrived = demand.arrived;
  if (slo.ttft) promise.first_token_by = demand.arrived + *slo.ttft;
  if (slo.tpot) promise.tpot = *slo.tpot;
  promise.end = slo::EndLimits(slo, demand.prompt_tokens);
  return promise;
}

Seconds StepForecast::LineTime(double tokens, Seconds decode) const {
  return tokens > 0 ? belief_.b * tokens + decode * LineSteps(tokens) : 0;
}

double StepForecast::LineSteps(double tokens) const {
  return tokens > 0 ? std::max(1.0, tokens / constants().chunk) : 0;
}

void StepForecast::Accumulate(double steps) {
  step_ += steps;
  counters_.steps += steps;
  counters_.sequence_steps += steps * decoding_ * replicas_;
  counters_.held_steps += steps * (held_ + steps * decoding_ / 2) * replicas_;
  held_ += steps * decoding_;
}

void StepForecast::LeaveLine(std::uint32_t slot, Seconds at) {
  Held& held = slots_[slot];
  line_.erase(std::ranges::find(line_, slot));
  line_done_ = std::max(line_done_, held.line_end);
  overdue_ = 0;
  if (line_.empty()) line_done_ = line_end_ = chunk_ = 0;
  counters_.prefilled += static_cast<double>(held.prompt) * replicas_;
  held.state = State::kDecoding;
  held.first_at = at;
  held.first_step = step_;
  decoding_ += 1;
  held_ += held.prompt + 1;
  Examine(slot);
}

void StepForecast::DropFromLine(std::uint32_t slot) {
  const Held& held = slots_[slot];
  // What is behind it moves up by what is left of its prompt.
  const double left = std::min<double>(held.prompt, held.line_end - line_done_);
  const auto at = line_.erase(std::ranges::find(line_, slot));
  for (auto behind = at; behind != line_.end(); ++behind) slots_[*behind].line_end -= left;
  line_end_ -= left;
  if (at == line_.begin()) overdue_ = 0;
  if (line_.empty()) line_done_ = line_end_ = chunk_ = 0;
}

void StepForecast::Advance(Seconds now) {
  belief_ = engine_->steps.belief().ScaledBy(scale_);
  while (now_ < now) {
    const Seconds decode = Decode();
    if (line_.empty()) {
      if (decoding_ > 0) Accumulate((now - now_) / decode);
      now_ = now;
      return;
    }
    Held& head = slots_[line_.front()];
    const Seconds step = decode + belief_.b * chunk_;
    const double left = head.line_end - line_done_;
    const Seconds done = now_ + left / chunk_ * step;
    const Seconds until = std::min(done, now);
    Accumulate((until - now_) / step);
    line_done_ += (until - now_) / step * chunk_;
    now_ = until;
    if (done > now) return;
    if (head.reports_first_token) {
      // It should have its first token by now, and has not: time goes on, the line does not.
      line_done_ = head.line_end;
      overdue_ += now - now_;
      Accumulate((now - now_) / step);
      now_ = now;
      return;
    }
    LeaveLine(line_.front(), now_);
  }
}

double StepForecast::Keeps(const Held& held, double generated, Seconds first_at, Seconds from,
                           Seconds pace) const {
  const Promise& promise = held.promise;
  double keeps = 1;
  if (promise.first_token_by != kNever) {
    if (held.state == State::kDecoding) {
      if (first_at > promise.first_token_by) return 0;
    } else {
      const Seconds spread = constants().ramp_spread * (first_at - now_) + constants().ramp_least;
      keeps = Ramp((first_at - promise.first_token_by) / spread);
      if (keeps == 0) return 0;
    }
  }
  // The lengths at which every limit is met: end(l) = from + (l − generated) · pace.
  double least = 0;
  double most = 1e18;
  const Seconds at_zero = from - generated * pace;
  const auto limit = [&](Seconds at, Seconds per_token) {
    const double over = at_zero - at;
    const double gain = per_token - pace;
    if (gain > 1e-9) {
      least = std::max(least, over / gain);
    } else if (gain < -1e-9) {
      most = std::min(most, over / gain);
    } else if (over > 0) {
      most = -1;
    }
  };
  for (const slo::EndLimit& end : promise.end) limit(promise.arrived + end.at, end.per_token);
  if (promise.tpot > 0) limit(first_at - promise.tpot, promise.tpot);
  if (most < least) return 0;
  if (held.exact > 0) {
    const double length = std::max<double>(held.exact, generated);
    return length >= least && length <= most ? keeps : 0;
  }
  const double next = std::floor(generated) + 1;
  if (next >= held.most) {
    return held.most >= least && held.most <= most ? keeps : 0;
  }
  // Mostly there is no need to ask how likely the lengths are: all are in time, or none.
  if (least <= next && most >= held.most) return keeps;
  if (most < next || least > held.most) return 0;
  const double alive = held.lengths->AtLeast(next);
  if (!(alive > 1e-6)) return least <= next ? keeps : 0;
  double in_time = least <= next ? alive : held.lengths->AtLeast(least);
  if (most < held.most) in_time -= held.lengths->AtLeast(std::floor(most) + 1);
  return keeps * std::clamp(in_time / alive, 0.0, 1.0);
}

StepForecast::Line StepForecast::LineOf(const Crowd& crowd) const {
  Line line;
  const double decoding_hold = held_ * replicas_;
  const double held = decoding_hold + crowd.line_held;
  line.pace = belief_.Decode(std::max(crowd.sequences, 1.0), held);
  line.time = LineTime(crowd.waiting, Decode());
  line.stall = std::max(0.0, line.time - LineSteps(crowd.waiting) * line.pace);
  const double room = engine_->kv_tokens;
  if (room == 0 || held <= room || crowd.line_held == 0) return line;
  // Only a part of the line fits into the KV cache now. The rest enters as others end, at the speed
  // of a full engine: so much of all the work there is has to be done before the last one is in.
  const double fits = std::clamp((room - decoding_hold) / crowd.line_held, 0.0, 1.0);
  const double batch = std::max(1.0, crowd.sequences * room / held);
  const Seconds step = belief_.Decode(batch, room);
  const Seconds prefill = belief_.b * crowd.waiting + step * crowd.waiting / constants().chunk;
  const Seconds decode = std::max(crowd.to_come, 1.0) * step / batch;
  line.time = std::max(line.time, (prefill + decode) * (held - room) / held);
  line.stall *= fits;
  line.pace =
      std::min(step * (1 + (1 - fits) * prefill / decode), step + belief_.b * constants().chunk);
  return line;
}

double StepForecast::OutputToCome() const {
  double tokens = 0;
  for (const Held& held : slots_) {
    if (held.state == State::kFree) continue;
    const double generated = held.state == State::kDecoding ? Generated(held) : 0;
    tokens += held.exact > 0 ? std::max(1.0, held.exact - generated)
                             : held.lengths->MeanBeyond(generated, held.most) - generated;
  }
  return tokens;
}

double StepForecast::Lasts(const Held& held, double generated, double then) {
  if (held.exact > 0) return then <= held.exact ? 1 : 0;
  if (then >= held.most) return 0;
  const double alive = held.lengths->AtLeast(generated);
  return alive > 1e-6 ? held.lengths->AtLeast(then) / alive : 0;
}

double StepForecast::HeldIn(Seconds seconds) const {
  const Seconds pace = Decode();
  const Seconds line = LineTime(line_end_ - line_done_, pace);
  double tokens = 0;
  for (const Held& held : slots_) {
    if (held.state == State::kFree) continue;
    double generated = 1;
    Seconds decodes = seconds;
    if (held.state == State::kDecoding) {
      generated = Generated(held);
    } else {
      const double ahead = std::max(1.0, held.line_end - line_done_);
      decodes -= line * ahead / std::max(ahead, line_end_ - line_done_);
    }
    const double then = generated + std::max(0.0, decodes) / pace;
    tokens += Lasts(held, generated, then) * (held.prompt + then);
  }
  return tokens;
}

bool StepForecast::Fits(const Demand& demand, const Crowd& crowd) {
  const double room = engine_->kv_tokens;
  if (room == 0 || residents_ == 0) return true;
  if (now_ - to_come_at_ > constants().to_come_lasts) {
    to_come_ = OutputToCome();
    to_come_at_ = now_;
  }
  // What is there grows before it ends, and so does the newcomer.
  const double grows = constants().kv_growth * (to_come_ * replicas_ + MeanLength(demand));
  const double needs = demand.prompt_tokens + grows;
  return held_ * replicas_ + crowd.line_held + needs <= room ||
         HeldIn(LineTime(crowd.waiting, Decode())) * replicas_ + needs <= room;
}

StepForecast::Question StepForecast::Ask(const Demand& demand) const {
  Question question{.length = MeanLength(demand)};
  const double held = demand.prompt_tokens + question.length / 2;
  Crowd& crowd = question.crowd;
  crowd.waiting = (line_end_ - line_done_) * replicas_;
  crowd.sequences = (decoding_ + static_cast<double>(line_.size())) * replicas_;
  for (const std::uint32_t slot : line_) crowd.line_held += slots_[slot].prompt;
  crowd.line_held *= replicas_;
  if (engine_->kv_tokens > 0 && held_ * replicas_ + crowd.line_held + held > engine_->kv_tokens) {
    crowd.to_come = OutputToCome() * replicas_;
  }
  question.before = LineOf(crowd);
  question.after = LineOf({.waiting = crowd.waiting + demand.prompt_tokens,
                           .line_held = crowd.line_held + held,
                           .sequences = crowd.sequences + 1,
                           .to_come = crowd.to_come + question.length});
  return question;
}

Outlook StepForecast::Assess(const Demand& demand, Seconds now) {
  Advance(now);
  const Question question = Ask(demand);
  Outlook outlook;
  // A busy engine is in the middle of a step. And nobody can say when a prompt that should be in by
  // now will be: say, in as long as it is overdue.
  const Seconds wait = question.after.time + (residents_ > 0 ? Decode() / 2 : 0) + overdue_;
  outlook.first_token = now + wait;
  outlook.pace = question.after.pace;
  outlook.end = outlook.first_token + outlook.pace * (question.length - 1);
  outlook.fits = Fits(demand, question.crowd);
  const Held newcomer{.state = State::kInLine,
                      .most = demand.most_tokens,
                      .exact = demand.lengths ? 0 : demand.output_tokens,
                      .promise = PromiseOf(demand),
                      .lengths = demand.lengths};
  if (newcomer.promise.empty()) return outlook;
  const auto keeps = [&](Seconds delay, int off) {
    const Seconds first = now + delay + wait * (1 + off * constants().first_token_spread);
    return Keeps(newcomer, 1, first, first, outlook.pace * (1 + off * constants().pace_spread));
  };
  // The worst of the four first: mostly there is nothing to fear.
  const double worst = keeps(constants().look_ahead, 1);
  if (worst < 1 - constants().negligible) {
    outlook.miss = 1 - (keeps(0, -1) + keeps(0, 1)) / 2;
    outlook.miss_later = 1 - (keeps(constants().look_ahead, -1) + worst) / 2;
  }
  return outlook;
}

double StepForecast::Harm(const Demand& demand, Seconds now, std::vector<Harmed>* harmed) {
  Advance(now);
  const Question question = Ask(demand);
  const Line& before = question.before;
  const Line& after = question.after;
  if (now_ > calm_.until || after.stall > calm_.stall || after.pace > calm_.slowest ||
      before.pace < calm_.fastest || demand.standing < calm_.standing) {
    BeginCalm(before, after, demand.standing);
  }
  double harm = 0;
  const auto is_safe = [&](const Held& held, double keeps_after) {
    return (1 - keeps_after) * WeightOf(held, demand.standing) <= constants().negligible;
  };
  const auto add = [&](const Held& held, double keeps, double keeps_after) {
    if (keeps == 0) return;
    harm += WeightOf(held, demand.standing) * (keeps - keeps_after);
    if (harmed != nullptr && held.tag != kNobodys && keeps - keeps_after >= kLeastTold) {
      harmed->push_back({held.tag, 1 - keeps, 1 - keeps_after});
    }
  };
  for (const std::uint32_t slot : exposed_) {
    const Held& held = slots_[slot];
    const double generated = Generated(held);
    const double keeps = Keeps(held, generated, held.first_at, now_ + after.stall, after.pace);
    if (is_safe(held, keeps)) continue;
    add(held, Keeps(held, generated, held.first_at, now_ + before.stall, before.pace), keeps);
  }
  for (const std::uint32_t slot : line_) {
    const Held& held = slots_[slot];
    if (held.promise.empty()) continue;
    // Its own prompt is before the new one. What is behind it stalls it.
    const double ahead = std::max(1.0, held.line_end - line_done_);
    const double part = ahead / std::max(ahead, question.crowd.waiting);
    const Seconds first = now_ + before.time * part;
    const Seconds stall_before = before.stall * (1 - part);
    const Seconds stall_after = std::max(stall_before, after.stall - before.stall * part);
    const double keeps = Keeps(held, 1, first, first + stall_after, after.pace);
    if (is_safe(held, keeps)) continue;
    add(held, Keeps(held, 1, first, first + stall_before, before.pace), keeps);
  }
  return std::max(0.0, harm);
}

Alone AloneOn(const StepBelief& step, double chunk, double prompt_tokens, double output_tokens) {
  return {.first_token = step.b * prompt_tokens + step.a * std::max(1.0, prompt_tokens / chunk),
          .decode = step.Decode(1, prompt_tokens + output_tokens / 2) * (output_tokens - 1)};
}

double StepForecast::WeightOf(const Held& held, int standing) const {
  if (held.standing == standing) return 1;
  return held.standing > standing ? constants().standing_weight : 1 / constants().standing_weight;
}

bool StepForecast::IsExposed(const Held& held) const {
  const double generated = Generated(held);
  const auto keeps = [&](Seconds from, Seconds pace) {
    return Keeps(held, generated, held.first_at, from, pace);
  };
  const double negligible = constants().negligible / WeightOf(held, calm_.standing);
  return keeps(calm_.until + calm_.stall, calm_.slowest) < 1 - negligible &&
         keeps(now_, calm_.fastest) > negligible;
}

void StepForecast::Examine(std::uint32_t slot) {
  const auto at = std::ranges::find(exposed_, slot);
  const bool exposed = !slots_[slot].promise.empty() && IsExposed(slots_[slot]);
  if (at == exposed_.end()) {
    if (exposed) exposed_.push_back(slot);
  } else if (!exposed) {
    *at = exposed_.back();
    exposed_.pop_back();
  }
}

void StepForecast::BeginCalm(const Line& best, const Line& worst, int standing) {
  calm_ = {.until = now_ + constants().calm_lasts,
           .stall = worst.stall,
           .slowest = worst.pace * (1 + constants().calm_pace),
           .fastest = best.pace / (1 + constants().calm_pace),
           .standing = standing};
  exposed_.clear();
  for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) {
    const Held& held = slots_[slot];
    if (held.state == State::kDecoding && !held.promise.empty() && IsExposed(held)) {
      exposed_.push_back(slot);
    }
  }
}

Seconds StepForecast::LatestStart(const Demand& demand, const EngineBelief& engine) {
  const Promise promise = PromiseOf(demand);
  const double length = MeanLength(demand);
  const Alone alone =
      AloneOn(engine.steps.belief(), engine.constants.chunk, demand.prompt_tokens, length);
  Seconds latest = promise.first_token_by - alone.first_token;
  latest = std::min(
      latest, promise.arrived + promise.end.Earliest(length) - alone.first_token - alone.decode);
  // A promised pace can be kept whenever it starts, but somebody waits for the response.
  if (promise.tpot > 0) latest = std::min(latest, demand.arrived + promise.tpot * length);
  return latest;
}

StepForecast::Work StepForecast::WorkOf(const Demand& demand) const {
  const double length = MeanLength(demand);
  return {.prefill = belief_.b * demand.prompt_tokens,
          .decode = length * (belief_.a / constants().usual_batch + belief_.c +
                              belief_.d * (demand.prompt_tokens + length / 2))};
}

double StepForecast::PrefillShare(const Demand& demand) const {
  const Work work = WorkOf(demand);
  return work.prefill / (work.prefill + work.decode);
}

Resident StepForecast::Start(const Demand& demand, Seconds now) {
  Advance(now);
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    // By an eighth, instead of to twice the size: there are many endpoints.
    if (slots_.size() == slots_.capacity()) slots_.reserve(slots_.size() + slots_.size() / 8 + 4);
    slots_.emplace_back();
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  Held& held = slots_[slot];
  held = {.state = State::kInLine};
  held.reports_first_token = demand.reports_first_token;
  held.tag = demand.tag;
  held.prompt = demand.prompt_tokens;
  held.most = demand.most_tokens;
  held.exact = demand.lengths ? 0 : demand.output_tokens;
  held.lengths = demand.lengths;
  held.promise = PromiseOf(demand);
  held.standing = demand.standing;
  held.prefill_share = static_cast<float>(PrefillShare(demand));
  held.started = now;
  held.since = counters_;
  line_end_ += held.prompt;
  held.line_end = line_end_;
  chunk_ = std::min(constants().chunk, std::max(chunk_, line_end_ - line_done_));
  line_.push_back(slot);
  residents_ += 1;
  prefill_shares_ += held.prefill_share;
  return static_cast<Resident>(slot);
}

void StepForecast::FirstToken(Resident resident, Seconds now) {
  Advance(now);
  const auto slot = static_cast<std::uint32_t>(resident);
  Held& held = slots_[slot];
  if (held.first_token_seen) return;
  if (held.state == State::kInLine) {
    LeaveLine(slot, now);
  } else {
    // It was believed to have tokens already.
    held_ -= step_ - held.first_step;
    held.first_at = now;
    held.first_step = step_;
    Examine(slot);
  }
  held.first_token_seen = true;
  held.since = counters_;
}

void StepForecast::Progress(Resident resident, Tokens generated, Seconds now) {
  Advance(now);
  const auto slot = static_cast<std::uint32_t>(resident);
  Held& held = slots_[slot];
  if (held.state != State::kDecoding) return;
  const double believed = Generated(held);
  held.first_step += believed - generated;
  held_ += generated - believed;
  Examine(slot);
}

void StepForecast::End(Resident resident, const Completion& completion, Seconds now) {
  Advance(now);
  const auto slot = static_cast<std::uint32_t>(resident);
  Held& held = slots_[slot];
  if (held.state == State::kInLine && completion.output_tokens == 0) {
    // Cancelled or failed in line: its prompt is not prefilled, and those before it are not done.
    DropFromLine(slot);
    Leave(slot);
    return;
  }
  if (held.state == State::kInLine) LeaveLine(slot, now);
  // A response of one token says nothing of a step: how many it waited for is not known.
  if (completion.output_tokens > 1) Observe(SampleOf(held, completion));
  held_ -= held.prompt + Generated(held);
  decoding_ -= 1;
  if (decoding_ == 0 || held_ < 0) held_ = 0;
  Leave(slot);
}

void StepForecast::Leave(std::uint32_t slot) {
  Held& held = slots_[slot];
  residents_ -= 1;
  prefill_shares_ = residents_ > 0 ? prefill_shares_ - held.prefill_share : 0;
  held.state = State::kFree;
  held.lengths.reset();
  std::erase(exposed_, slot);
  free_.push_back(slot);
}

StepSample StepForecast::SampleOf(const Held& held, const Completion& completion) const {
  StepSample sample{.steps = completion.output_tokens - 1.0,
                    .prefilled = counters_.prefilled - held.since.prefilled,
                    .seconds = held.started + completion.e2e - held.first_at};
  if (!held.first_token_seen) {
    sample.steps += LineSteps(held.prompt);
    sample.seconds = completion.e2e;
  }
  // The steps are counted, what a step had to do is the mean over the believed ones.
  const double believed = counters_.steps - held.since.steps;
  if (believed > 0) {
    const double steps = sample.steps / believed;
    sample.sequence_steps = steps * (counters_.sequence_steps - held.since.sequence_steps);
    sample.held_steps = steps * (counters_.held_steps - held.since.held_steps);
  }
  return sample;
}

void StepForecast::Observe(const StepSample& sample) {
  if (!(sample.seconds > 0)) return;
  engine_->steps.Learn(sample);
  window_seen_ += sample.seconds;
  window_predicted_ += sample.Predicted(belief_);
  if (now_ - window_from_ < constants().scale_window) return;
  const double off = std::clamp(std::log(window_seen_ / window_predicted_),
                                -constants().scale_farthest, constants().scale_farthest);
  scale_ *= std::exp(std::max(constants().scale_step, 1.0 / (2 + windows_)) * off);
  scale_ = std::clamp(std::pow(scale_, 1 - constants().scale_forget), 1 / constants().scale_most,
                      constants().scale_most);
  ++windows_;
  window_from_ = now_;
  window_seen_ = window_predicted_ = 0;
}

}  // namespace headrace::fleet
