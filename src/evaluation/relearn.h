// How long forecasts are wrong after an engine has changed its speed.
#pragma once

#include "render/table.h"
#include "scenario/study.h"

namespace headrace::evaluation {

// Of the own policy at one rate, over all seeds: the median of real over predicted time from
// dispatch to end, and attainment, by the time of the dispatch after the scenario's first fault;
// apart for the endpoints that change their speed and for the others.
render::Table RelearnTable(const scenario::Scenario& scenario, double rate);

}  // namespace headrace::evaluation
