// Writes the JSON Schema from the declarations (config_schema.h).
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_writer.h"
#include "config/config.h"
#include "config/config_schema.h"

namespace headrace::config {
namespace {

using Kind = ValueSchema::Kind;

// A text, or one with a value from the environment, which nobody knows yet.
std::string TextPattern(const std::string& pattern) {
  return pattern.empty() ? "" : "(" + pattern + R"()|\$\{)";
}

void WriteType(JsonWriter& json, const char* type, const ValueSchema& schema) {
  json.BeginObject().Member("type", type);
  if (!schema.low.empty()) json.Key("minimum").Raw(schema.low);
  if (!schema.high.empty()) json.Key("maximum").Raw(schema.high);
  json.EndObject();
}

// The members of a single value's schema. YAML reads `7` as a number and `"7"` as a text; the
// gateway takes both.
void WriteValue(JsonWriter& json, const ValueSchema& schema) {
  json.Key("anyOf").BeginArray();
  std::string pattern = TextPattern(schema.pattern);
  switch (schema.kind) {
    case Kind::kText:
      if (schema.pattern.empty()) json.BeginObject().Member("type", "number").EndObject();
      break;
    case Kind::kInteger:
      WriteType(json, "integer", schema);
      break;
    case Kind::kNumber:
      WriteType(json, "number", schema);
      break;
    case Kind::kBoolean:
      WriteType(json, "boolean", {});
      [[fallthrough]];
    case Kind::kChoice:
      json.BeginObject().Key("enum").BeginArray();
      for (const std::string& choice : schema.choices) json.Value(choice);
      json.EndArray().EndObject();
      pattern = R"(\$\{)";
      break;
  }
  json.BeginObject().Member("type", "string");
  if (!pattern.empty()) json.Member("pattern", pattern);
  json.EndObject().EndArray();
}

void WriteOptions(JsonWriter& json, const std::vector<OptionDoc>& docs);
void WriteItem(JsonWriter& json, const std::vector<OptionDoc>& docs);

void WriteOption(JsonWriter& json, const OptionDoc& doc) {
  json.BeginObject().Member("description",
                            doc.prose + (doc.bounds.empty() ? "" : " (" + doc.bounds + ")"));
  if (!doc.fallback.empty()) json.Member("default", doc.fallback);
  switch (doc.kind) {
    case OptionDoc::Kind::kValue:
      WriteValue(json, doc.schema);
      break;
    case OptionDoc::Kind::kGroup:
      WriteItem(json, doc.children);
      break;
    case OptionDoc::Kind::kValues:
    case OptionDoc::Kind::kGroups:
      json.Member("type", "array").Member("minItems", 1).Key("items").BeginObject();
      if (doc.kind == OptionDoc::Kind::kValues) {
        WriteValue(json, doc.schema);
      } else {
        WriteItem(json, doc.children);
      }
      json.EndObject();
      break;
  }
  json.EndObject();
}

// The members of the schema of a group that may be written as one of its values.
void WriteItem(JsonWriter& json, const std::vector<OptionDoc>& docs) {
  const auto alone = std::ranges::find(docs, true, &OptionDoc::alone);
  if (alone == docs.end()) {
    WriteOptions(json, docs);
    return;
  }
  json.Key("anyOf").BeginArray().BeginObject();
  WriteValue(json, alone->schema);
  json.EndObject().BeginObject();
  WriteOptions(json, docs);
  json.EndObject().EndArray();
}

// The members of a group's schema. An empty group is the same as none.
void WriteOptions(JsonWriter& json, const std::vector<OptionDoc>& docs) {
  json.Key("type").BeginArray().Value("object").Value("null").EndArray();
  json.Key("properties").BeginObject();
  for (const OptionDoc& doc : docs) {
    json.Key(doc.name);
    WriteOption(json, doc);
  }
  json.EndObject();
  json.Member("additionalProperties", false);
  json.Key("required").BeginArray();
  for (const OptionDoc& doc : docs) {
    if (doc.required) json.Value(doc.name);
  }
  json.EndArray();
}

}  // namespace

std::string ConfigSchemaJson(std::span<const std::string_view> policies) {
  JsonWriter json(JsonWriter::Layout::kLines);
  json.BeginObject()
      .Member("$schema", "https://json-schema.org/draft/2020-12/schema")
      .Member("title", "Configuration of headrace serve");
  WriteOptions(json, ConfigSchema(policies).Docs());
  return json.EndObject().Take() + "\n";
}

}  // namespace headrace::config
