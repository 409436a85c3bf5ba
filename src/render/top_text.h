// A running gateway at a glance, for people at a terminal.
#pragma once

#include <string>
#include <string_view>

#include "base/units.h"
#include "render/terminal.h"

namespace headrace::render {

// What the admin pages /status and /timeline said, when, and what is to be said of that now.
struct TopPicture {
  std::string address;  // Of the pages.
  std::string status;
  std::string timeline;
  Seconds asked = 0;   // Unix time.
  std::string notice;  // A sentence: nothing newer comes.
};

// The configuration's state, then of each model: the last five minutes, half an hour of attainment
// and latency, the queue by size, the endpoints; then the last refusals and failures. At most
// `style.height` lines: what is not well is shown before what is.
std::string TopText(const TopPicture& picture, const TextStyle& style);

}  // namespace headrace::render
