#include "config/option_form.h"

#include <algorithm>
#include <cctype>

#include "base/duration.h"
#include "base/nearest_name.h"
#include "base/text.h"
#include "config/quantity.h"
#include "system/http_url.h"
#include "system/url.h"

namespace headrace::config {
namespace {

constexpr std::size_t kLongestText = 256;

// A form for a number within bounds.
template <typename V, typename Parse, typename Print>
OptionForm<V> BoundedForm(std::string type, ValueSchema schema, V low, V high, Parse parse,
                          Print print) {
  OptionForm<V> form;
  form.type = std::move(type);
  form.schema = std::move(schema);
  form.bounds = print(low) + " to " + print(high);
  form.print = print;
  form.parse = [=, bounds = form.bounds](std::string_view text) -> Result<V> {
    HEADRACE_ASSIGN(const auto value, parse(text));
    if (!(value >= low && value <= high)) {
      return Fail("is out of bounds; " + bounds + " is allowed");
    }
    return static_cast<V>(value);
  };
  return form;
}

OptionForm<std::string> StringForm(std::string type,
                                   std::function<Result<std::string>(std::string_view)> parse) {
  OptionForm<std::string> form;
  form.type = std::move(type);
  form.parse = std::move(parse);
  form.print = [](const std::string& text) { return text; };
  return form;
}

// Empty if the text is allowed in an option, otherwise the rest of the sentence.
std::string WhyNotText(std::string_view text) {
  if (text.empty()) return "is empty; write a text or remove the option";
  if (text.size() > kLongestText) return "is longer than 256 bytes; write a shorter text";
  const bool control =
      std::any_of(text.begin(), text.end(), [](char c) { return std::iscntrl(c & 0xff) != 0; });
  return control ? "contains a line break or another control character; remove it" : "";
}

bool IsHostName(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return std::isalnum(c & 0xff) != 0 || c == '.' || c == '-' || c == '_';
  });
}

bool IsIpv6(std::string_view host) {
  return std::count(host.begin(), host.end(), ':') >= 2 &&
         std::all_of(host.begin(), host.end(),
                     [](char c) { return std::isxdigit(c & 0xff) != 0 || c == ':' || c == '.'; });
}

// Checks `host:port`; the fix of every fault is the same example.
Result<std::string> ParseListen(std::string_view text) {
  const std::string fix = "; write host:port like 127.0.0.1:8080, [::1]:8080 or :8080";
  if (text.find("://") != std::string_view::npos) return Fail("is a URL" + fix);
  if (text.find('/') != std::string_view::npos) return Fail("has a path" + fix);
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Fail("has no port" + fix);

  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    if (!IsIpv6(host.substr(1, host.size() - 2))) return Fail("contains no IPv6 address" + fix);
  } else if (host.find(':') != std::string_view::npos) {
    return Fail("does not show where the port begins" + fix);
  } else if (!host.empty() && !IsHostName(host)) {
    return Fail("has no valid host" + fix);
  }

  const Result<std::int64_t> port = ParseInteger(text.substr(colon + 1));
  if (!port || *port < 0 || *port > 65535) return Fail("has no port from 1 to 65535" + fix);
  return std::string(text);
}

}  // namespace

OptionForm<Seconds> DurationForm(Seconds low, Seconds high) {
  constexpr auto kPattern = R"(^([0-9]+(\.[0-9]+)? ?(us|ms|s|m|h|d) ?)+$|^0$)";
  return BoundedForm<Seconds>("duration",
                              {.kind = ValueSchema::Kind::kInteger,  // Only 0 needs no unit.
                               .low = "0",
                               .high = "0",
                               .pattern = kPattern},
                              low, high, ParseDuration, WriteDuration);
}

OptionForm<std::size_t> SizeForm(std::uint64_t low, std::uint64_t high) {
  return BoundedForm<std::size_t>("size",
                                  {.kind = ValueSchema::Kind::kInteger,
                                   .low = std::to_string(low),
                                   .high = std::to_string(high),
                                   .pattern = R"(^[0-9]+(\.[0-9]+)? ?([KMGT]i)?B?$)"},
                                  low, high, ParseSize, WriteSize);
}

OptionForm<int> IntegerForm(int low, int high) {
  return BoundedForm<int>("integer",
                          {.kind = ValueSchema::Kind::kInteger,
                           .low = std::to_string(low),
                           .high = std::to_string(high),
                           .pattern = "^-?[0-9]+$"},
                          low, high, ParseInteger, [](int value) { return std::to_string(value); });
}

OptionForm<std::size_t> CountForm(std::size_t low, std::size_t high) {
  const auto parse = [](std::string_view text) -> Result<std::size_t> {
    HEADRACE_ASSIGN(const std::int64_t value, ParseInteger(text));
    if (value < 0) return Fail("is negative; write 0 or more");
    return static_cast<std::size_t>(value);
  };
  return BoundedForm<std::size_t>("integer",
                                  {.kind = ValueSchema::Kind::kInteger,
                                   .low = std::to_string(low),
                                   .high = std::to_string(high),
                                   .pattern = "^[0-9]+$"},
                                  low, high, parse,
                                  [](std::size_t value) { return std::to_string(value); });
}

OptionForm<double> NumberForm(double low, double high) {
  return BoundedForm<double>("number",
                             {.kind = ValueSchema::Kind::kNumber,
                              .low = FormatJsonNumber(low),
                              .high = FormatJsonNumber(high),
                              .pattern = "^[-+0-9.eE]+$"},
                             low, high, ParseNumber, FormatNumber);
}

OptionForm<double> ShareForm(double low, double high) {
  const auto parse = [high](std::string_view text) -> Result<double> {
    HEADRACE_ASSIGN(const double share, ParseShare(text));
    const bool percent = share > 1 && share <= 100 && share / 100 <= high;
    if (percent && !text.ends_with('%')) {
      return Fail("is more than the whole; write `" + std::string(text) + "%`");
    }
    return share;
  };
  return BoundedForm<double>("share",
                             {.kind = ValueSchema::Kind::kNumber,
                              .low = FormatJsonNumber(low),
                              .high = FormatJsonNumber(high),
                              .pattern = R"(^[0-9]+(\.[0-9]+)? ?%?$)"},
                             low, high, parse, FormatJsonNumber);
}

OptionForm<std::string> TextForm(std::string type) {
  return StringForm(std::move(type), [](std::string_view text) -> Result<std::string> {
    std::string why = WhyNotText(text);
    if (!why.empty()) return Fail(std::move(why));
    return std::string(text);
  });
}

OptionForm<std::string> NameForm() {
  return StringForm("name", [](std::string_view text) -> Result<std::string> {
    std::string why = WhyNotText(text);
    if (!why.empty()) return Fail(std::move(why));
    if (text.find(' ') != std::string_view::npos) return Fail("contains a space; remove it");
    return std::string(text);
  });
}

OptionForm<std::string> OneOfForm(std::string type, std::span<const std::string_view> names) {
  const std::vector<std::string> kept(names.begin(), names.end());
  auto form = StringForm(std::move(type), [kept](std::string_view text) -> Result<std::string> {
    if (std::find(kept.begin(), kept.end(), text) != kept.end()) return std::string(text);
    const std::vector<std::string_view> views(kept.begin(), kept.end());
    return Fail(NotOneOf(text, views));
  });
  if (!kept.empty()) form.schema = {.kind = ValueSchema::Kind::kChoice, .choices = kept};
  return form;
}

OptionForm<bool> BooleanForm() {
  OptionForm<bool> form = ChoiceForm<bool>({{"true", true}, {"false", false}});
  form.type = "boolean";
  form.schema.kind = ValueSchema::Kind::kBoolean;
  form.parse = [parse = form.parse](std::string_view text) -> Result<bool> {
    std::string small(text);
    for (char& c : small) c = static_cast<char>(std::tolower(c & 0xff));
    const bool yes = small == "yes" || small == "on" || small == "y" || small == "true";
    const bool no = small == "no" || small == "off" || small == "n" || small == "false";
    if ((yes || no) && text != "true" && text != "false") {
      return Fail(std::string("is neither true nor false; write `") + (yes ? "true`" : "false`"));
    }
    return parse(text);
  };
  return form;
}

OptionForm<std::string> UrlPathForm() {
  auto form = StringForm("URL path", [](std::string_view text) -> Result<std::string> {
    std::string why = WhyNotText(text);
    if (!why.empty()) return Fail(std::move(why));
    if (!system::IsPathAndQuery(text)) {
      return Fail("is not the path of a URL; write it like /health");
    }
    return std::string(text);
  });
  form.schema.pattern = "^/";
  return form;
}

OptionForm<std::string> ListenForm() {
  auto form = StringForm("address", [](std::string_view text) { return ParseListen(text); });
  form.schema.pattern = "^[^/]*:[0-9]+$";
  return form;
}

OptionForm<std::string> ListenOrNoneForm() {
  auto form = StringForm("address or `none`", [](std::string_view text) -> Result<std::string> {
    if (text == "none") return std::string(text);
    return ParseListen(text);
  });
  form.schema.pattern = "^([^/]*:[0-9]+|none)$";
  return form;
}

OptionForm<std::string> UrlPathOrNoneForm() {
  auto form = StringForm("URL path or `none`", [](std::string_view text) -> Result<std::string> {
    if (text == "none") return std::string(text);
    return UrlPathForm().parse(text);
  });
  form.schema.pattern = "^(/.*|none)$";
  return form;
}

OptionForm<std::string> HttpUrlForm() {
  return StringForm("URL", [](std::string_view text) -> Result<std::string> {
    std::string why = text.empty() ? "" : WhyNotText(text);
    if (!why.empty()) return Fail(std::move(why));
    HEADRACE_ASSIGN(const auto url, system::ParseHttpUrl(text));
    return url.ToString();
  });
}

OptionForm<std::string> HeaderForm() {
  return StringForm("header", [](std::string_view text) -> Result<std::string> {
    const auto is_token = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
             std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
    };
    const std::size_t colon = text.find(':');
    if (colon == 0 || colon == std::string_view::npos ||
        !std::ranges::all_of(text.substr(0, colon), is_token)) {
      return Fail("is not a header; write it like \"X-Team: search\"");
    }
    std::string name(text.substr(0, colon));
    for (char& c : name) c = static_cast<char>(std::tolower(c & 0xff));
    for (const char* own : {"connection", "content-length", "host", "keep-alive", "te", "trailer",
                            "transfer-encoding", "upgrade"}) {
      if (name == own) return Fail("is a header that the gateway writes itself; remove it");
    }
    if (!std::ranges::all_of(text, [](unsigned char c) { return c >= ' ' && c != 127; })) {
      return Fail("contains a control character; remove it");
    }
    return std::string(text);
  });
}

OptionForm<std::string> KeyForm() {
  return StringForm("key", [](std::string_view text) -> Result<std::string> {
    constexpr std::size_t kLongest = 16384;
    if (text.empty()) return Fail("is empty; write the key or remove the option");
    if (text.size() > kLongest) return Fail("is longer than 16 KiB; write a shorter key");
    if (!std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c < 127; })) {
      return Fail("contains a space or another character that no key has; remove it");
    }
    return std::string(text);
  });
}

std::string NotOneOf(std::string_view text, std::span<const std::string_view> names) {
  const std::string_view nearest = NearestName(text, names);
  if (!nearest.empty()) {
    return "is not known; did you mean " + std::string(nearest) + "?";
  }
  std::string sentence = "is not known; choose one of";
  for (std::size_t i = 0; i < names.size(); ++i) {
    sentence += i == 0 ? " " : i + 1 == names.size() ? " or " : ", ";
    sentence += names[i];
  }
  return sentence;
}

}  // namespace headrace::config
