// Numbers as people read them, for sentences, tables and axes.
#pragma once

#include <string>

#include "base/units.h"

namespace headrace {

// Three significant digits and never an exponent between 0.001 and 1e15: "62.5", "0.0421", "1200";
// "NaN" and "inf" for what is not finite.
std::string FormatNumber(double value);

// With the unit that fits: "1.5 s", "50 ms", "17.5 µs", "0 s"; the sign is kept.
std::string FormatDuration(Seconds value);

// The shortest decimal that reads back as the same double, in JSON's syntax; `null` for a value
// that is not finite, which JSON cannot write.
std::string FormatJsonNumber(double value);

}  // namespace headrace
