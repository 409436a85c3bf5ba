// A study as a page to read: figures and tables.
#pragma once

#include <string>
#include <vector>

#include "scenario/goodput.h"
#include "scenario/study.h"

namespace headrace::scenario {

struct Figure {
  std::string file;  // attainment.svg
  std::string svg;
};

// Attainment against rate with 95 % bands; at each rate the CDF of latency per token and the
// deployments that served each class; at the rate nearest to 1 the timeline of attainment, and of
// requests in flight for each policy.
std::vector<Figure> RenderFigures(const Study& study);

// One self-contained page with the figures and the tables of attainment, P99 and, unless it is
// null, goodput.
std::string RenderReport(const Study& study, const GoodputSearch* goodput);

}  // namespace headrace::scenario
