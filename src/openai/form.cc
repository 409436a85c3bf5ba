#include "openai/form.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace headrace::openai {
namespace {

constexpr std::size_t kMostParts = 1024;
constexpr std::size_t kMostPartHeadBytes = std::size_t{16} << 10;
constexpr std::size_t kMostValueBytes = std::size_t{64} << 10;
constexpr std::size_t kMostBoundaryBytes = 70;  // RFC 2046 §5.1.1.

// ASCII, any case.
bool StartsWith(std::string_view text, std::string_view lower) {
  if (text.size() < lower.size()) return false;
  return std::ranges::equal(text.substr(0, lower.size()), lower, {}, [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
}

// The parameter of a field like `form-data; name="model"`.
struct Parameter {
  std::optional<std::string_view> value;  // Without its quotes.
  // There is more than one, or one in a form of RFC 2231 (`name*=utf-8''model`): readers differ
  // in which one they take.
  bool ambiguous = false;
};
Parameter FindParameter(std::string_view field, std::string_view name) {
  Parameter found;
  for (;;) {
    bool quoted = false;
    std::size_t at = 0;
    for (; at < field.size() && (quoted || field[at] != ';'); ++at) {
      if (quoted && field[at] == '\\') {
        ++at;
      } else if (field[at] == '"') {
        quoted = !quoted;
      }
    }
    if (at >= field.size()) return found;
    field = Trimmed(field.substr(at + 1));
    if (!StartsWith(field, name)) continue;
    std::string_view value = Trimmed(field.substr(name.size()));
    if (value.starts_with('*')) found.ambiguous = true;
    if (!value.starts_with('=')) continue;
    found.ambiguous = found.ambiguous || found.value;
    value = Trimmed(value.substr(1));
    if (value.starts_with('"')) {
      value.remove_prefix(1);
      found.value = value.substr(0, value.find('"'));
    } else {
      found.value = Trimmed(value.substr(0, value.find(';')));
    }
  }
}

enum class PartKind { kOther, kField, kAmbiguous };

// Whether the part's head (with the line end of its last line) is that of a text field of this
// name.
PartKind KindOf(std::string_view head, std::string_view name) {
  constexpr std::string_view kDisposition = "content-disposition:";
  std::optional<PartKind> kind;
  while (!head.empty()) {
    const std::size_t end = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(end + 2, head.size()));
    if (!StartsWith(line, kDisposition)) continue;
    if (kind) return PartKind::kAmbiguous;
    const std::string_view value = line.substr(kDisposition.size());
    const Parameter named = FindParameter(value, "name");
    if (named.ambiguous) return PartKind::kAmbiguous;
    // Files have names in both forms.
    const Parameter file = FindParameter(value, "filename");
    const bool is_file = file.value || file.ambiguous;
    kind = named.value == name && !is_file ? PartKind::kField : PartKind::kOther;
  }
  return kind.value_or(PartKind::kOther);
}

}  // namespace

Result<FormField> FindFormField(std::string_view content_type, std::string_view body,
                                std::string_view name) {
  if (!StartsWith(content_type, "multipart/form-data")) {
    return Fail("its content type is not multipart/form-data");
  }
  const Parameter named = FindParameter(content_type, "boundary");
  if (named.ambiguous) return Fail("its content type names several boundaries");
  const std::string_view boundary = named.value.value_or("");
  if (boundary.empty() || boundary.size() > kMostBoundaryBytes) {
    return Fail("its content type names no boundary");
  }
  const std::string delimiter = "--" + std::string(boundary);
  // A part's delimiter begins a line; what is before the first one is no part.
  std::size_t at = body.starts_with(delimiter) ? 0 : body.find("\r\n" + delimiter);
  if (at == body.npos) return Fail("its boundary is not in it");
  if (at > 0) at += 2;
  FormField field{.offset = at, .boundary = std::string(boundary)};
  for (std::size_t parts = 0;; ++parts) {
    at += delimiter.size();
    const std::string_view rest = body.substr(at);
    if (rest.starts_with("--")) return field;
    if (parts == kMostParts) return Fail("it has more than 1,024 parts");
    const std::size_t line_end = rest.find("\r\n");
    if (line_end == rest.npos) return Fail("it has no end");
    const std::size_t head = at + line_end;  // With the line end before it, as an empty head has.
    const std::size_t head_end = body.substr(head, kMostPartHeadBytes).find("\r\n\r\n");
    if (head_end == body.npos) return Fail("the head of a part has no end, or is too long");
    const std::size_t value = head + head_end + 4;
    const std::size_t value_end = body.find("\r\n" + delimiter, value);
    if (value_end == body.npos) return Fail("it has no end");
    const std::size_t size = value_end - value;
    const PartKind kind = KindOf(body.substr(head + 2, head_end > 0 ? head_end : 0), name);
    if (kind == PartKind::kAmbiguous) return Fail("a part of it is named twice");
    if (kind == PartKind::kField && size > 0 && size <= kMostValueBytes) {
      if (field.size > 0) return Fail("it has the field `" + std::string(name) + "` twice");
      field.offset = value;
      field.size = size;
    }
    at = value_end + 2;
  }
}

}  // namespace headrace::openai
