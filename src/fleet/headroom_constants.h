// Every constant of slo-headroom and of the forecasts that it decides by, in one place. (How much
// of a large fleet it looks at is in routing/headroom.cc.)
#pragma once

#include "base/units.h"

namespace headrace::fleet {

// Nobody configures these: only experiments of the simulator change them, to show what each is
// worth (docs/evaluation.md).
struct HeadroomConstants {
  // --- Decisions (routing/headroom.cc)

  // The broken promises, in expectation, that a request may cost where it is sent at once: at rest,
  // and when the queue says that the fleet cannot keep up.
  double allowed_at_rest = 0.02;
  double allowed_under_pressure = 0.5;
  // What a promise broken to a request that is there already counts beside the newcomer's own.
  double harm_weight = 1;
  // The same of a promise to a request that stands higher; one that stands lower counts as much
  // less.
  double standing_weight = 10;
  // One who yields (a priority below 0, or a tenant above its share) gets in no line that takes
  // more of the time that it has than this.
  double yield_share = 0.25;
  // Pressure is full when so many requests wait per running one.
  double full_pressure = 0.25;
  // Under pressure, a request whose best chance is below this gives up: others can still be in
  // time.
  double least_chance = 0.7;
  // Waiting costs something if it makes a miss more likely by this.
  double rise = 0.02;
  // Under pressure, endpoints whose cost is this close to the least are alike, and a request goes
  // to where most of its kind are: prefill-bound or decode-bound. So partitions (long prompts here,
  // chat there) appear and move by themselves, and long prompts do not spread to more endpoints
  // than they need.
  double alike = 0.05;
  double pack_from = 0.05;
  // A request that is late anyway goes where no more than this is in line.
  Seconds idle_backlog = 0.5;
  // A request without an SLO may cost one more broken promise after each such time.
  Seconds patience = 30;
  // Newcomers pass those that wait (scheduler/backlog.cc) from so many waiting per running request
  // on.
  double pass_from = 0.2;

  // --- Predictions (step_forecast.cc)

  // Prompt tokens that an engine takes into one step at most (vLLM's default).
  double chunk = 2048;
  // How far Outlook::miss_later looks ahead.
  Seconds look_ahead = 0.5;
  // Predictions for one more request are this far off, up or down: of the time to its first token,
  // and of its pace.
  double first_token_spread = 0.15;
  double pace_spread = 0.045;
  // The same of a first token that is still to come, as a ramp: of the time until then, and of any.
  double ramp_spread = 0.1;
  Seconds ramp_least = 0.005;
  // Of the output that is still to come, the part that KV room has to be left for.
  double kv_growth = 0.25;
  // For so long the sum of it over the requests at an endpoint is not taken again.
  Seconds to_come_lasts = 0.2;
  // What is less likely than this counts for nothing, and is not worked out.
  double negligible = 1e-4;
  // Who may be harmed is looked up once for so long, and for a pace that changes by such a share.
  Seconds calm_lasts = 0.2;
  double calm_pace = 0.05;
  // Sequences that share a step, for the share of prefill in a request's time.
  double usual_batch = 32;

  // --- How much slower an endpoint is than its deployment (step_forecast.cc)

  // Once per window, a fifth of the difference of what ended there, at most 50 % of it (e^0.4),
  // within a factor of 4. So a pause of the engine moves it by a tenth, and a lasting change is
  // learned in seconds. What lasts moves on to the learner: a share is forgotten each time.
  Seconds scale_window = 1;
  double scale_step = 0.2;
  double scale_farthest = 0.4;
  double scale_most = 4;
  double scale_forget = 0.01;

  // --- What a deployment's steps take (step_learner.cc)

  // Standard deviations of the prior, as shares of it: of what is common to all terms, and of each.
  double common_spread = 0.7;
  double own_spread = 0.3;
  // The relative error of one sample, and the most that one counts as off.
  double sample_noise = 0.2;
  double sample_farthest = 0.5;
  // An estimate stays within this factor of the prior.
  double belief_most = 8;
  // About so many samples count.
  double samples = 2000;
};

}  // namespace headrace::fleet
