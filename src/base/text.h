// Numbers as people read them, for sentences, tables and axes; foreign text fit to be quoted.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/units.h"

namespace headrace {

// Three significant digits and never an exponent between 0.001 and 1e15: "62.5", "0.0421", "1200";
// "NaN" and "inf" for what is not finite.
std::string FormatNumber(double value);

// With this many decimals: "62.50". For columns whose digits should line up.
std::string FormatFixed(double value, int decimals);

// A share in percent with one decimal and without the sign: 0.975 is "97.5".
std::string FormatPercent(double share);

// With the unit that fits: "1.5 s", "50 ms", "17.5 µs", "0 s"; the sign is kept.
std::string FormatDuration(Seconds value);

// "2025-06-02 18:21 UTC"; "unknown" for 0 and for what is not a date before the year 10000.
std::string FormatDate(Seconds unix_time);

// The shortest decimal that reads back as the same double, in JSON's syntax; `null` for a value
// that is not finite, which JSON cannot write.
std::string FormatJsonNumber(double value);

// What came from outside, as a sentence may quote it: its first bytes, with an ellipsis for the
// rest, and "?" for each control character and each byte that is not valid UTF-8.
std::string Excerpt(std::string_view text, std::size_t most = 80);

// Without the blanks at its begin and its end.
std::string_view Trimmed(std::string_view text, std::string_view blanks = " \t\r\n");

// How many bytes at the beginning of `text`, which is not empty, are one character of UTF-8
// (RFC 3629); 0 if they are none.
std::size_t Utf8Length(std::string_view text);

}  // namespace headrace
