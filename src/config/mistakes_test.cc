// Typical mistakes in a configuration: each message names a fix, and the fix works.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <regex>
#include <string>
#include <vector>

#include "config/config.h"

namespace headrace::config {
namespace {

using ::testing::HasSubstr;

// How a fix gets into the text.
enum class Paste {
  kOver,       // What the message suggests takes the place of `wrong`.
  kRemove,     // The line goes.
  kIndent,     // The line gets so many spaces.
  kSpace,      // A space follows the line's first colon.
  kQuote,      // The value gets quotes.
  kAtEnd,      // What the message suggests is written at the end of the line.
  kElsewhere,  // `wrong` is what a person writes instead, as "old=new".
};

struct Mistake {
  const char* name;
  std::string text;
  std::string said;
  Paste paste = Paste::kOver;
  std::string wrong = {};
};

constexpr const char* kRest =
    "models:\n  - name: m\n    deployments: [{ name: d, endpoints: [127.0.0.1:9001] }]\n";

std::string With(const std::string& text) { return text + kRest; }
// A model with more options.
std::string Model(const std::string& text) {
  return "models:\n  - name: m\n" + text +
         "    deployments: [{ name: d, endpoints: [127.0.0.1:9001] }]\n";
}

const std::vector<Mistake>& Mistakes() {
  static const std::vector<Mistake> kMistakes = {
      {"misspelt option", With("limts: { body: 1MiB }\n"), "did you mean limits?", Paste::kOver,
       "limts"},
      {"misspelt option inside a group", With("timeouts: { conect: 1s }\n"),
       "did you mean connect?", Paste::kOver, "conect"},
      {"model for models",
       "model:\n  - { name: m, deployments: [{ name: d, endpoints: [e:1] }] }\n",
       "did you mean models?", Paste::kOver, "model"},
      {"an option that there is not", With("workers: 4\n"), "choose one of listen, admin",
       Paste::kRemove},
      {"an option in the wrong group", With("policy: slo\n"),
       "is not known here; it belongs to models[], check its indentation", Paste::kElsewhere,
       "policy: slo\nmodels:\n  - name: m\n=models:\n  - name: m\n    policy: slo\n"},
      {"misspelt policy", Model("    policy: least-requests\n"), "did you mean least-request?",
       Paste::kOver, "least-requests"},
      {"misspelt choice", With("log: { level: warn }\n"), "did you mean", Paste::kOver, "warn"},
      {"duration without a unit", With("timeouts: { connect: 5 }\n"), "has no unit; write 5ms",
       Paste::kOver, "5 "},
      {"duration in words", With("timeouts: { connect: 5 seconds }\n"), "write `5s`", Paste::kOver,
       "5 seconds"},
      {"duration in capitals", With("timeouts: { connect: 500MS }\n"), "write `500ms`",
       Paste::kOver, "500MS"},
      {"size in megabytes", With("limits: { body: 8MB }\n"), "write `8MiB`", Paste::kOver, "8MB"},
      {"size in one letter", With("limits: { body: 8m }\n"), "write `8MiB`", Paste::kOver, "8m"},
      {"yes", With("request_trace: yes\nredis: redis://r\n"), "write `true`", Paste::kOver, "yes"},
      {"True", Model("    ejection: { enabled: True }\n"), "write `true`", Paste::kOver, "True"},
      {"share above the whole", Model("    length: { quantile: 90 }\n"), "write `90%`",
       Paste::kOver, "90"},
      {"number in words", With("threads: all\n"), "write it like 4", Paste::kOver, "all"},
      {"number out of bounds", With("limits: { connections: 0 }\n"), "1 to 1000000 is allowed",
       Paste::kOver, "0 "},
      {"no port to listen on", With("listen: 0.0.0.0\n"), "write host:port like", Paste::kOver,
       "0.0.0.0"},
      {"a URL to listen on", With("listen: http://0.0.0.0:8080\n"), "write host:port like",
       Paste::kOver, "http://0.0.0.0:8080"},
      {"one value for a list", Model("    aliases: llama\n"), "like `aliases: [llama]`",
       Paste::kOver, "aliases: llama"},
      {"several values for a list", Model("    aliases: a, b\n"), "like `aliases: [a, b]`",
       Paste::kOver, "aliases: a, b"},
      {"a list for one value", With("threads: [4]\n"), "write one like `threads: 0`", Paste::kOver,
       "threads: [4]"},
      {"a value for a group", With("log: debug\n"), "write options like `level: ", Paste::kOver,
       "log: debug"},
      {"no value", With("threads:\n"), "write one like `threads: 0`", Paste::kOver, "threads:"},
      {"no name", "models:\n  - deployments: [{ name: d, endpoints: [e:1] }]\n    # here\n",
       "add it, like `name: llama2-7b`", Paste::kOver, "# here"},
      {"no models", "threads: 1\n# here\n", "add it, like `models: [", Paste::kOver, "# here"},
      {"an option twice", With("threads: 1\nthreads: 2\n"), "remove one of the two",
       Paste::kRemove},
      {"an endpoint twice",
       "models:\n  - { name: m, deployments: [{ name: d, endpoints: [e:1, e:1] }] }\n",
       "already used", Paste::kElsewhere, ", e:1="},
      {"an endpoint without a port",
       "models: [{ name: m, deployments: [{ name: d, endpoints: [engine-3] }] }]\n", "has no port",
       Paste::kElsewhere, "engine-3=engine-3:8000"},
      {"a misspelt scheme",
       "models: [{ name: m, deployments: [{ name: d, endpoints: [htp://e:8000] }] }]\n",
       "; write h", Paste::kElsewhere, "htp://="},
      {"one endpoint for a list",
       "models:\n  - name: m\n    deployments:\n      - name: d\n"
       "        endpoints: 127.0.0.1:9001\n",
       "like `endpoints: [127.0.0.1:9001", Paste::kOver, "endpoints: 127.0.0.1:9001"},
      {"not a path", With("health: { path: health }\n"), "write it like /health", Paste::kOver,
       "path: health"},
      {"listeners that collide", With("listen: \":9090\"\n# here\n"), "give it another port",
       Paste::kElsewhere, "# here=admin: 127.0.0.1:9091"},
      {"admin pages for everybody", With("admin: \":9091\"\n"), "asks nobody for a token",
       Paste::kOver, "admin: \":9091\""},
      {"a gateway that is its own engine", With("listen: \":9001\"\n"),
       "which is this gateway itself", Paste::kElsewhere, ":9001\"=:8080\""},
      {"a tab in an item",
       "models:\n  - name: m\n\tdeployments: [{ name: a10, endpoints: [127.0.0.1:1] }]\n",
       "a tab; indent this line by 4 spaces", Paste::kIndent},
      {"a tab", "log:\n\tlevel: info\n" + std::string(kRest), "a tab; indent this line by 4 spaces",
       Paste::kIndent},
      {"one space too few",
       "models:\n  - name: m\n   policy: slo\n    deployments: [{ name: d, "
       "endpoints: [e:1] }]\n",
       "indent this line by 4 spaces", Paste::kIndent},
      {"a space before an option", With("listen: 127.0.0.1:8080\n threads: 1\n"),
       "begin this line without spaces", Paste::kIndent},
      {"no space after a colon", With("threads:1\nlog: { level: info }\n"),
       "write a space after the colon", Paste::kSpace},
      {"an IPv6 address without quotes", With("admin: [::1]:9090\n"), "put the value in quotes",
       Paste::kQuote},
      {"an open bracket", With("limits: { body: 1MiB\n"), "with `}` at the end of this line",
       Paste::kAtEnd},
      {"an open quote", With("admin: \"[::1]:9090\n"), "with `\"` at the end of this line",
       Paste::kAtEnd},
      {"two documents", "threads: 1\n---\n" + std::string(kRest), "remove the `---`",
       Paste::kRemove},
      {"a tag", With("threads: !env 4\n"), "a YAML tag (!…) is here", Paste::kElsewhere, "!env ="},
      {"a byte order mark", "\xEF\xBB\xBF" + With(""), "save it as UTF-8 without one",
       Paste::kElsewhere, "\xEF\xBB\xBF="},
      {"a variable that is not set", With("threads: ${THREADS}\n"), "write `${THREADS:-default}`",
       Paste::kElsewhere, "${THREADS}=${THREADS:-4}"},
      {"a variable in brackets without quotes",
       "models: [{ name: m, deployments: [{ name: d, endpoints: [${HOST}:80] }] }]\n",
       "put `${…}` in quotes", Paste::kElsewhere, "${HOST}:80=\"${HOST}:80\""},
      {"redis that is not used", With("redis: redis://r\n"), "or remove it", Paste::kRemove},
      {"redis that is not given", With("request_trace: true\n# here\n"),
       "add `redis: redis://redis-1:6379/0`", Paste::kOver, "# here"},
      {"a timeout above its interval", With("health: { interval: 1s, timeout: 2s }\n"),
       "shorten it", Paste::kElsewhere, "timeout: 2s=timeout: 1s"},
  };
  return kMistakes;
}

Result<Config> Load(const std::string& text) {
  constexpr std::array<std::string_view, 3> kPolicies = {"slo-headroom", "slo", "least-request"};
  return LoadConfig(text, "h.yaml", kPolicies,
                    [](const std::string& name) -> std::optional<std::string> {
                      if (name == "HOST") return "engine-1";
                      return std::nullopt;
                    });
}

// What the message says to write.
std::string FixOf(const std::string& message) {
  for (const char* pattern :
       {"`([^`]+)`", "did you mean (\\S+)\\?", "write host:port like (\\S+),",
        "write it like (\\S+)", "; write (\\S+),", "; (\\S+) to \\S+ is allowed"}) {
    std::smatch found;
    if (std::regex_search(message, found, std::regex(pattern))) return found[1];
  }
  return "";
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The text with `old` replaced once.
std::string Replaced(std::string text, const std::string& old, const std::string& by) {
  const std::size_t at = text.find(old);
  EXPECT_NE(at, text.npos) << old;
  return at == text.npos ? text : text.replace(at, old.size(), by);
}

std::string Mended(const Mistake& mistake, const std::string& message) {
  const std::string fix = FixOf(message);
  std::string wrong = mistake.wrong;
  if (mistake.paste == Paste::kOver) {
    // A value keeps what follows it, and an option its group.
    std::string by = fix;
    if (wrong.ends_with(' ')) by += ' ';
    if (wrong == "path: health") by = "path: " + fix;
    if (wrong == "log: debug") by = "log: { level: debug }";
    return Replaced(mistake.text, wrong, by);
  }
  if (mistake.paste == Paste::kElsewhere) {
    const std::size_t equals = wrong.find('=');
    return Replaced(mistake.text, wrong.substr(0, equals), wrong.substr(equals + 1));
  }
  std::smatch place;
  EXPECT_TRUE(std::regex_search(message, place, std::regex("^h.yaml:(\\d+): "))) << message;
  std::vector<std::string> lines = LinesOf(mistake.text);
  std::string& line = lines[std::stoul(place[1]) - 1];
  switch (mistake.paste) {
    case Paste::kRemove:
      line = "";
      break;
    case Paste::kIndent: {
      std::smatch spaces;
      const bool some =
          std::regex_search(message, spaces, std::regex("indent this line by (\\d+) spaces"));
      line = std::string(some ? std::stoul(spaces[1]) : 0, ' ') +
             line.substr(line.find_first_not_of(" \t"));
      break;
    }
    case Paste::kSpace:
      line.insert(line.find(':') + 1, " ");
      break;
    case Paste::kQuote:
      line.insert(line.find(": ") + 2, "\"").append("\"");
      break;
    default:
      line += fix;
  }
  std::string text;
  for (const std::string& each : lines) text += each + "\n";
  return text;
}

TEST(Mistakes, EachMessageNamesAFixThatWorks) {
  EXPECT_TRUE(Load(kRest));
  for (const Mistake& mistake : Mistakes()) {
    const auto config = Load(mistake.text);
    ASSERT_FALSE(config) << mistake.name << "\n" << mistake.text;
    const std::string& message = config.error().message;
    EXPECT_THAT(message, HasSubstr(mistake.said)) << mistake.name << "\n" << mistake.text;
    EXPECT_EQ(message.find('\n'), message.npos) << mistake.name << ": one fault, one sentence\n"
                                                << message;
    const std::string mended = Mended(mistake, message);
    const auto again = Load(mended);
    EXPECT_TRUE(again) << mistake.name << "\n"
                       << message << "\n"
                       << mended << "\n"
                       << again.error().message;
  }
}

}  // namespace
}  // namespace headrace::config
