// For tests: numbers that nobody means, as they come from flags and files.
#pragma once

#include <string_view>

namespace headrace {

// No option takes any of these: each has to be refused with a sentence.
inline constexpr std::string_view kNeverNumbers[] = {"nan",    "inf",   "-inf", "1e308",
                                                     "-1e308", "1e400", "five", ""};
// These may be within an option's range, or not.
inline constexpr std::string_view kExtremeNumbers[] = {"0",
                                                       "-0",
                                                       "-1",
                                                       "1e-300",
                                                       "1e-170",
                                                       "0.5",
                                                       "2147483647",
                                                       "2147483648",
                                                       "-2147483649",
                                                       "4294967296",
                                                       "9223372036854775807",
                                                       "9223372036854775808",
                                                       "18446744073709551616"};

}  // namespace headrace
