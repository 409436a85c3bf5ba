// Writes docs/configuration.md from the declarations (config_schema.h).
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/config_schema.h"

namespace headrace::config {
namespace {

constexpr std::size_t kColumns = 90;

constexpr std::string_view kIntroduction =
    R"(<!-- Generated (`make docs`, `headrace config reference`). Do not edit. -->
# Configuration

`headrace serve --config FILE` reads one YAML file. `headrace config check FILE` reads it the same
way and prints every fault with its line and the fix. It starts nothing.

Every option may be left out, except those marked *required*. An option that is not listed here is
an error.

A running gateway reads this file again when it changes, and changed profiles too
([operations](operations.md#reload)). The column *change* says what a change of the option needs: a
running gateway takes over those marked *live*; those marked *restart* need a new process.

How values are written:

| type | example | |
|---|---|---|
| duration | `50ms`, `2s`, `1h30m` | a number and one of `us`, `ms`, `s`, `m`, `h`, `d`, or several such parts; only `0` needs no unit |
| size | `64KiB`, `32MiB`, `1GiB` | a number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`; without a unit, bytes |
| share | `0.9`, `90%` | both mean the same |
| address | `127.0.0.1:8080`, `engine-3:8000`, `"[::1]:8080"` | host and port; `":8080"` to listen on all addresses |
| path | `profiles` | relative to the configuration file's folder |

A value may hold `${NAME}`, the environment variable of that name, or `${NAME:-default}` for one that
may be missing; `$${` is the text `${`. What a variable holds is text, never YAML, and no message
repeats it. Inside `[]` and `{}` YAML needs quotes around it: `endpoints: ["${HOST}:8000"]`.

What several items have in common can be written once: `- &a10 { … }`, then `- { <<: *a10, name: b }`
takes what it does not say itself from the first. A file has at most 4 MiB, 250 000 values and 32
levels, with what such aliases repeat. It is UTF-8. JSON is YAML, too.

Editors check and complete the file while it is written, with a JSON Schema:
`headrace config schema > headrace.schema.json`, and as the file's first line, for every editor with
[yaml-language-server](https://github.com/redhat-developer/yaml-language-server) (VS Code, Neovim,
Helix, …):

    # yaml-language-server: $schema=headrace.schema.json

`headrace config diff BEFORE AFTER` lists the options in which two files differ, and says which of
them a running gateway takes over. Its exit status is that of `diff`.

## Smallest example

```yaml
models:
  - name: llama2-7b
    deployments:
      - { name: llama2-7b-a10, endpoints: [127.0.0.1:9001] }
```

## Every option

```yaml
)";

// In lines that begin with `start`.
void WriteProse(const std::string& prose, const std::string& start, std::string& out) {
  std::string line;
  std::size_t at = 0;
  while (at < prose.size()) {
    const std::size_t end = std::min(prose.find(' ', at), prose.size());
    const std::string word = prose.substr(at, end - at);
    if (!line.empty() && start.size() + line.size() + word.size() + 1 > kColumns) {
      out += start + line + "\n";
      line.clear();
    }
    line.append(line.empty() ? "" : " ").append(word);
    at = end + 1;
  }
  if (!line.empty()) out += start + line + "\n";
}

// The example: each option with its prose above it. With `bullet`, a "- " before the first option
// replaces the last two columns of the indent.
void WriteExample(const std::vector<OptionDoc>& docs, const std::string& indent, bool bullet,
                  std::string& out) {
  for (const OptionDoc& doc : docs) {
    const bool nested = !doc.children.empty();
    if (indent.empty() && nested) out += '\n';
    const std::string outer = bullet ? indent.substr(2) : indent;
    WriteProse(doc.prose, outer + "# ", out);
    out += outer + (bullet ? "- " : "") + doc.name + ":" + (nested ? "" : " " + doc.example) + "\n";
    bullet = false;
    const bool list = doc.kind == OptionDoc::Kind::kGroups;
    if (nested) WriteExample(doc.children, indent + (list ? "    " : "  "), list, out);
  }
}

std::string Escape(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) {
    text.insert(at, "\\");
  }
  return text;
}

std::string DefaultOf(const OptionDoc& doc) {
  if (doc.required) return "*required*";
  return doc.fallback.empty() ? "–" : "`" + doc.fallback + "`";
}

// What a change of the option needs; of a list of groups, an item that is added or removed.
std::string ChangeOf(const OptionDoc& doc) {
  if (doc.kind == OptionDoc::Kind::kGroup) return "–";
  return doc.live ? "live" : "restart";
}

// One table for the options of a group, then a heading and a table for each group inside it.
void WriteTables(const std::vector<OptionDoc>& docs, const std::string& path, std::string& out) {
  out += "| option | type | default | change | meaning |\n|---|---|---|---|---|\n";
  for (const OptionDoc& doc : docs) {
    if (!doc.children.empty()) {
      const bool list = doc.kind == OptionDoc::Kind::kGroups;
      out += "| `" + doc.name + "` | " + (list ? "list of groups" : "group") + " | " +
             (doc.required ? "*required*" : "–") + " | " + ChangeOf(doc) + " | " +
             Escape(doc.prose) + " See below. |\n";
      continue;
    }
    out += "| `" + doc.name + "` | " + doc.type +
           (doc.bounds.empty() ? "" : ": " + Escape(doc.bounds)) + " | " + DefaultOf(doc) + " | " +
           ChangeOf(doc) + " | " + Escape(doc.prose) + " |\n";
  }
  for (const OptionDoc& doc : docs) {
    if (doc.children.empty()) continue;
    const std::string inner = path + doc.name + (doc.kind == OptionDoc::Kind::kGroups ? "[]" : "");
    out += "\n### `" + inner + "`\n\n";
    WriteProse(doc.prose, "", out);
    out += "\n";
    WriteTables(doc.children, inner + ".", out);
  }
}

}  // namespace

std::string ConfigReferenceMarkdown() {
  const OptionGroup<Config> schema = ConfigSchema({});
  std::string out(kIntroduction);
  WriteExample(schema.Docs(), "", false, out);
  out += "```\n\n## Meaning and bounds\n\n";
  WriteTables(schema.Docs(), "", out);
  return out;
}

}  // namespace headrace::config
