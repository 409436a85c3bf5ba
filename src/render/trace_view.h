// Shows a trace to people: in a terminal and as a web page.
#pragma once

#include <string>
#include <vector>

#include "workload/trace_summary.h"

namespace headrace::render {

struct TraceView {
  std::string name;  // Of the file.
  std::string format;
  workload::TraceSummary summary;
  std::vector<std::string> notes;  // What was left out; sentences.
};

// Requests, span and rate, the rate over time, bursts, and lengths with their distribution.
std::string RenderText(const TraceView& view, std::size_t width);

// The same as one self-contained page, with inline SVG.
std::string RenderHtml(const TraceView& view);

}  // namespace headrace::render
