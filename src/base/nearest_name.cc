#include "base/nearest_name.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace headrace {
namespace {

char Lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// Optimal string alignment distance, by rows.
std::size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = Lower(a[i - 1]) == Lower(b[j - 1]);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && Lower(a[i - 1]) == Lower(b[j - 2]) &&
          Lower(a[i - 2]) == Lower(b[j - 1])) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

}  // namespace

std::string_view NearestName(std::string_view text, std::span<const std::string_view> names) {
  std::size_t best = std::max<std::size_t>(1, text.size() / 3) + 1;
  std::string_view nearest;
  for (const std::string_view name : names) {
    // Their lengths alone tell: a text may be very long.
    if (std::max(text.size(), name.size()) - std::min(text.size(), name.size()) >= best) continue;
    const std::size_t distance = Distance(text, name);
    if (distance < best) {
      best = distance;
      nearest = name;
    }
  }
  if (!nearest.empty() || text.size() < 3) return nearest;
  for (const std::string_view name : names) {
    if (!name.starts_with(text)) continue;
    if (!nearest.empty()) return "";
    nearest = name;
  }
  return nearest;
}

}  // namespace headrace
