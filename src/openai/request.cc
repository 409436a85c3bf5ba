#include "openai/request.h"

// Errors are values here.
#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/json_writer.h"
#include "openai/form.h"
#include "openai/json_text.h"

namespace headrace::openai {
namespace {

namespace ondemand = simdjson::ondemand;
using simdjson::error_code;
using simdjson::SUCCESS;

static_assert(RequestScanner::kPadding >= simdjson::SIMDJSON_PADDING);

// The parser keeps about six bytes for each of the longest body it has seen; after a longer one
// than this it is replaced.
constexpr std::size_t kKeptCapacity = 4 << 20;

// Each is looked for among all of them.
constexpr std::size_t kMostAdapters = 64;

constexpr std::string_view kUsage = "\"include_usage\":true";

// Ends the function with the error of an expression, if it has one.
#define HEADRACE_TRY_JSON(expression)                                        \
  do {                                                                       \
    if (const error_code headrace_code = (expression)) return headrace_code; \
  } while (false)

// Releases of simdjson differ in the parameter, which says whether half a surrogate pair passes.
template <typename Field>
auto NameOf(Field& field) {
  if constexpr (requires { field.unescaped_key(); }) {
    return field.unescaped_key();
  } else {
    return field.unescaped_key(false);
  }
}

std::string_view WithoutTrailingSpace(std::string_view token) {
  while (!token.empty() && (token.back() == ' ' || token.back() == '\n' || token.back() == '\r' ||
                            token.back() == '\t')) {
    token.remove_suffix(1);
  }
  return token;
}

// simdjson tells a value's type by its first character alone.
bool IsWhole(ondemand::json_type type, std::string_view token) {
  switch (type) {
    case ondemand::json_type::null:
      return token == "null";
    case ondemand::json_type::boolean:
      return token == "true" || token == "false";
    case ondemand::json_type::number:
      return IsJsonNumber(token);
    default:
      return true;
  }
}

// The type of a value, once its whole token is known to be of it. Strings, arrays and objects are
// judged where they are read.
error_code TypeOf(ondemand::value value, ondemand::json_type& type) {
  if (const error_code code = value.type().get(type)) return code;
  if (type == ondemand::json_type::string || type == ondemand::json_type::object ||
      type == ondemand::json_type::array) {
    return SUCCESS;
  }
  return IsWhole(type, WithoutTrailingSpace(value.raw_json_token())) ? SUCCESS
                                                                     : simdjson::TAPE_ERROR;
}
// Of a value that is not read any further.
error_code Check(ondemand::value value) {
  ondemand::json_type type{};
  return TypeOf(value, type);
}

// One pass over one request. A field of a wrong type sets `fault_`, and the pass goes on: broken
// JSON is the more important news.
class RequestPass {
 public:
  RequestPass(ApiKind kind, const char* body) : kind_(kind), body_(body) {}

  error_code Run(ondemand::document& document) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(document.type().get(type));
    if (type != ondemand::json_type::object) {
      Fault("The request's body must be a JSON object.", "");
      return SUCCESS;
    }
    ondemand::object object;
    HEADRACE_TRY_JSON(document.get_object().get(object));
    bool empty = true;
    for (auto entry : object) {
      empty = false;
      ondemand::field field;
      HEADRACE_TRY_JSON(std::move(entry).get(field));
      std::string_view key;
      HEADRACE_TRY_JSON(NameOf(field).get(key));
      HEADRACE_TRY_JSON(Field(key, field.value()));
    }
    if (facts_.model_at.size == 0) {
      facts_.model_at = {.offset = BehindBrace(), .only_field = empty};
    }
    const bool at_end = document.current_location().error() == simdjson::OUT_OF_BOUNDS;
    return at_end ? SUCCESS : simdjson::TRAILING_CONTENT;
  }

  tl::expected<RequestFacts, ApiError> Finish() {
    if (fault_) return tl::unexpected(std::move(*fault_));
    if (max_completion_tokens_) facts_.max_tokens = max_completion_tokens_;
    const std::int64_t choices = std::max<std::int64_t>(std::max(n_, best_of_), 1) * prompts_;
    facts_.prompts = static_cast<int>(std::min<std::int64_t>(prompts_, 1 << 20));
    facts_.choices = static_cast<int>(std::min<std::int64_t>(choices, 1 << 20));
    const bool reports = kind_ == ApiKind::kChatCompletions || kind_ == ApiKind::kCompletions;
    if (facts_.stream && reports && !facts_.usage_asked) AskForUsage();
    return std::move(facts_);
  }

 private:
  enum class OptionsKind { kAbsent, kNull, kEmpty, kFilled };

  void Fault(std::string message, std::string param) {
    if (!fault_) fault_ = MakeApiError(400, std::move(message), std::move(param));
  }
  void WrongType(std::string_view key, std::string_view expected) {
    Fault("`" + std::string(key) + "` must be " + std::string(expected) + ".", std::string(key));
  }

  error_code Field(std::string_view key, ondemand::value value) {
    if (key == "lora_path") return Adapters(value);
    if (kind_ == ApiKind::kOther) return key == "model" ? Model(value) : Check(value);
    switch (key.size()) {
      case 1:
        if (key == "n") return Count(key, value, n_);
        break;
      case 5:
        if (key == "model") return Model(value);
        if (key == "tools") return Raw(value);
        if (key == "input") return Input(value);
        break;
      case 6:
        if (key == "stream") return Flag(key, value, facts_.stream);
        // Of a response: the name of a prompt that the engine keeps.
        if (key == "prompt") return kind_ == ApiKind::kResponses ? Unsized(value) : Prompt(value);
        if (key == "suffix") return Text(value);
        if (key == "system" && kind_ == ApiKind::kMessages) return Content(value);
        break;
      case 7:
        if (key == "best_of") return Count(key, value, best_of_);
        break;
      case 8:
        if (key == "messages") return Messages(value);
        break;
      case 9:
        if (key == "functions" || key == "documents") return Raw(value);
        break;
      case 10:
        if (key == "max_tokens") return Limit(key, value, facts_.max_tokens);
        break;
      case 12:
        if (key == "instructions") return Text(value);
        if (key == "conversation") return Unsized(value);
        break;
      case 13:
        if (key == "prompt_embeds" || key == "chat_template") return Unsized(value);
        break;
      case 14:
        if (key == "stream_options") return StreamOptions(value);
        break;
      case 17:
        if (key == "max_output_tokens") return Limit(key, value, facts_.max_tokens);
        break;
      case 20:
        if (key == "previous_response_id") return PreviousResponse(value);
        break;
      case 21:
        if (key == "max_completion_tokens") return Limit(key, value, max_completion_tokens_);
        break;
      case 22:
        if (key == "truncate_prompt_tokens") return Unsized(value);
        break;
      default:
        break;
    }
    return Check(value);
  }

  error_code Model(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    const std::string_view token = WithoutTrailingSpace(value.raw_json_token());
    facts_.model_at = {.offset = Offset(token), .size = token.size()};
    facts_.model.clear();
    if (type == ondemand::json_type::null) return SUCCESS;
    if (type != ondemand::json_type::string) {
      WrongType("model", "a string");
      return SUCCESS;
    }
    std::string_view model;
    HEADRACE_TRY_JSON(value.get_string().get(model));
    facts_.model = model;
    return SUCCESS;
  }

  // A name, or one for each prompt. SGLang takes the last field of several; here all count.
  error_code Adapters(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    if (type == ondemand::json_type::string) {
      std::string_view name;
      HEADRACE_TRY_JSON(value.get_string().get(name));
      if (std::ranges::find(facts_.adapters, name) == facts_.adapters.end()) {
        if (facts_.adapters.size() == kMostAdapters) {
          Fault("`lora_path` names more than 64 adapters.", "lora_path");
        } else {
          facts_.adapters.emplace_back(name);
        }
      }
    }
    if (type != ondemand::json_type::array || std::exchange(in_adapters_, true)) return SUCCESS;
    ondemand::array names;
    HEADRACE_TRY_JSON(value.get_array().get(names));
    for (auto entry : names) {
      ondemand::value name;
      HEADRACE_TRY_JSON(std::move(entry).get(name));
      HEADRACE_TRY_JSON(Adapters(name));
    }
    in_adapters_ = false;
    return SUCCESS;
  }

  error_code PreviousResponse(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    if (type != ondemand::json_type::null) ++facts_.unsized_parts;
    if (type != ondemand::json_type::string) return SUCCESS;
    std::string_view id;
    HEADRACE_TRY_JSON(value.get_string().get(id));
    facts_.previous_response = id;
    return SUCCESS;
  }

  error_code Flag(std::string_view key, ondemand::value value, bool& flag) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    flag = false;
    if (type == ondemand::json_type::boolean) return value.get_bool().get(flag);
    if (type == ondemand::json_type::null) return SUCCESS;
    std::optional<bool> lax;
    if (type == ondemand::json_type::number) {
      double number = 0;
      HEADRACE_TRY_JSON(value.get_double().get(number));
      if (number == 0 || number == 1) lax = number == 1;
    } else if (type == ondemand::json_type::string) {
      std::string_view text;
      HEADRACE_TRY_JSON(value.get_string().get(text));
      lax = LaxFlag(text);
    }
    if (!lax) WrongType(key, "true or false");
    flag = lax.value_or(false);
    return SUCCESS;
  }

  // A count that is absent, null or not positive stays 1: the engine judges what it thinks of 0.
  error_code Count(std::string_view key, ondemand::value value, std::int64_t& count) {
    std::optional<Tokens> number;
    HEADRACE_TRY_JSON(Limit(key, value, number));
    count = number.value_or(1);
    return SUCCESS;
  }

  error_code Limit(std::string_view key, ondemand::value value, std::optional<Tokens>& limit) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    limit.reset();
    if (type == ondemand::json_type::null) return SUCCESS;
    std::optional<double> number;
    if (type == ondemand::json_type::number) {
      HEADRACE_TRY_JSON(value.get_double().get(number.emplace()));
    } else if (type == ondemand::json_type::string) {
      std::string_view text;
      HEADRACE_TRY_JSON(value.get_string().get(text));
      number = LaxInteger(text);
    } else if (type == ondemand::json_type::boolean) {
      bool flag = false;
      HEADRACE_TRY_JSON(value.get_bool().get(flag));
      number = flag ? 1 : 0;
    }
    if (!number || *number != std::floor(*number)) {
      WrongType(key, "an integer");
    } else if (*number > 0) {
      const double most = std::numeric_limits<Tokens>::max();
      limit = static_cast<Tokens>(std::min(*number, most));
    }
    return SUCCESS;
  }

  error_code StreamOptions(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    facts_.usage_asked = false;
    flag_size_ = 0;
    const std::string_view token = value.raw_json_token();
    options_at_ = Offset(token);
    if (type == ondemand::json_type::null) {
      options_ = OptionsKind::kNull;
      return SUCCESS;
    }
    if (type != ondemand::json_type::object) {
      WrongType("stream_options", "an object");
      return SUCCESS;
    }
    options_ = OptionsKind::kEmpty;
    ondemand::object object;
    HEADRACE_TRY_JSON(value.get_object().get(object));
    for (auto entry : object) {
      options_ = OptionsKind::kFilled;
      ondemand::field field;
      HEADRACE_TRY_JSON(std::move(entry).get(field));
      std::string_view key;
      HEADRACE_TRY_JSON(NameOf(field).get(key));
      if (key != "include_usage") {
        HEADRACE_TRY_JSON(Check(field.value()));
        continue;
      }
      const std::string_view flag = WithoutTrailingSpace(field.value().raw_json_token());
      flag_at_ = Offset(flag);
      flag_size_ = flag.size();
      HEADRACE_TRY_JSON(Flag("stream_options.include_usage", field.value(), facts_.usage_asked));
    }
    return SUCCESS;
  }

  void AskForUsage() {
    BodySplice splice;
    if (flag_size_ > 0) {
      splice = {flag_at_, flag_size_, "true"};
    } else if (options_ == OptionsKind::kNull) {
      splice = {options_at_, 4, "{" + std::string(kUsage) + "}"};
    } else if (options_ == OptionsKind::kAbsent) {
      splice = {BehindBrace(), 0, "\"stream_options\":{" + std::string(kUsage) + "},"};
    } else {
      const bool filled = options_ == OptionsKind::kFilled;
      splice = {options_at_ + 1, 0, std::string(kUsage) + (filled ? "," : "")};
    }
    facts_.ask_for_usage = std::move(splice);
  }

  // --- What becomes prompt

  // A part that cannot be sized, unless it is null.
  error_code Unsized(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    if (type != ondemand::json_type::null) ++facts_.unsized_parts;
    return SUCCESS;
  }

  // A string's decoded length; anything else counts nothing.
  error_code Text(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    if (type != ondemand::json_type::string) return SUCCESS;
    const std::string_view token = WithoutTrailingSpace(value.raw_json_token());
    if (token.size() < 2 || token.back() != '"') return simdjson::STRING_ERROR;
    facts_.prompt_bytes += DecodedLength(token.substr(1, token.size() - 2));
    return SUCCESS;
  }

  // JSON that is put into the prompt as such.
  error_code Raw(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    std::string_view json;
    if (type == ondemand::json_type::array) {
      ondemand::array array;
      HEADRACE_TRY_JSON(value.get_array().get(array));
      HEADRACE_TRY_JSON(array.raw_json().get(json));
    } else if (type == ondemand::json_type::object) {
      ondemand::object object;
      HEADRACE_TRY_JSON(value.get_object().get(object));
      HEADRACE_TRY_JSON(object.raw_json().get(json));
    } else {
      return Text(value);
    }
    const std::size_t empty = 2;  // [] or {}
    json = WithoutTrailingSpace(json);
    if (json.size() > empty) {
      facts_.prompt_bytes += json.size();
      facts_.prompt_has_json = true;
    }
    return SUCCESS;
  }

  error_code Messages(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    if (type != ondemand::json_type::array) {
      if (type != ondemand::json_type::null) WrongType("messages", "an array");
      return SUCCESS;
    }
    ondemand::array messages;
    HEADRACE_TRY_JSON(value.get_array().get(messages));
    for (auto entry : messages) {
      ondemand::value message;
      HEADRACE_TRY_JSON(std::move(entry).get(message));
      ++facts_.messages;
      HEADRACE_TRY_JSON(Message(message));
    }
    return SUCCESS;
  }

  // A chat message, or an item of a response's input: the text of its parts, the tool calls that it
  // made and what the tools gave.
  error_code Message(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    if (type != ondemand::json_type::object) return Text(value);
    ondemand::object object;
    HEADRACE_TRY_JSON(value.get_object().get(object));
    for (auto entry : object) {
      ondemand::field field;
      HEADRACE_TRY_JSON(std::move(entry).get(field));
      std::string_view key;
      HEADRACE_TRY_JSON(NameOf(field).get(key));
      if (key == "content" || key == "output") {
        HEADRACE_TRY_JSON(Content(field.value()));
      } else if (key == "tool_calls") {
        HEADRACE_TRY_JSON(Raw(field.value()));
      } else if (key == "text" || key == "arguments" || key == "reasoning_content") {
        HEADRACE_TRY_JSON(Text(field.value()));
      } else if (key == "audio" || key == "image_url" || key == "file_id" || key == "file_data" ||
                 key == "encrypted_content" || key == "result" || key == "results") {
        HEADRACE_TRY_JSON(Unsized(field.value()));
      } else {
        HEADRACE_TRY_JSON(Check(field.value()));
      }
    }
    return SUCCESS;
  }

  // A string, or parts: the text of those that have it counts, the others cannot be sized.
  error_code Content(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    if (type == ondemand::json_type::object) return Unsized(value);
    if (type != ondemand::json_type::array) return Text(value);
    ondemand::array parts;
    HEADRACE_TRY_JSON(value.get_array().get(parts));
    for (auto entry : parts) {
      ondemand::value part;
      HEADRACE_TRY_JSON(std::move(entry).get(part));
      ondemand::json_type part_type{};
      HEADRACE_TRY_JSON(TypeOf(part, part_type));
      if (part_type != ondemand::json_type::object) {
        HEADRACE_TRY_JSON(Text(part));
        continue;
      }
      ondemand::object object;
      HEADRACE_TRY_JSON(part.get_object().get(object));
      bool has_text = false;
      for (auto part_entry : object) {
        ondemand::field field;
        HEADRACE_TRY_JSON(std::move(part_entry).get(field));
        std::string_view key;
        HEADRACE_TRY_JSON(NameOf(field).get(key));
        if (key == "text" || key == "refusal") {
          has_text = true;
          HEADRACE_TRY_JSON(Text(field.value()));
        } else if (kind_ == ApiKind::kMessages && IsMessagesText(key)) {
          has_text = true;
          HEADRACE_TRY_JSON(key == "input"      ? Raw(field.value())
                            : key == "thinking" ? Text(field.value())
                                                : Result(field.value()));
        } else {
          HEADRACE_TRY_JSON(Check(field.value()));
        }
      }
      if (!has_text) ++facts_.unsized_parts;
    }
    return SUCCESS;
  }

  // What parts of Anthropic's messages have beside `text`: thoughts, a tool's arguments, what a
  // tool gave.
  static bool IsMessagesText(std::string_view key) {
    return key == "thinking" || key == "input" || key == "content";
  }
  // What a tool gave: a text, or parts, which have no results in them.
  error_code Result(ondemand::value value) {
    if (inside_result_) return Check(value);
    inside_result_ = true;
    const error_code code = Content(value);
    inside_result_ = false;
    return code;
  }

  error_code Input(ondemand::value value) {
    if (kind_ == ApiKind::kEmbeddings) return Prompt(value);
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    if (type == ondemand::json_type::array) return Messages(value);
    facts_.messages = 1;
    return Text(value);
  }

  // A string, an array of strings, of token ids, or of arrays of token ids.
  error_code Prompt(ondemand::value value) {
    ondemand::json_type type{};
    HEADRACE_TRY_JSON(TypeOf(value, type));
    if (type == ondemand::json_type::string) return Text(value);
    if (type == ondemand::json_type::null) return SUCCESS;
    if (type != ondemand::json_type::array) {
      WrongType(kind_ == ApiKind::kEmbeddings ? "input" : "prompt",
                "a string, an array of strings or an array of token ids");
      return SUCCESS;
    }
    ondemand::array prompts;
    HEADRACE_TRY_JSON(value.get_array().get(prompts));
    std::int64_t texts = 0;
    for (auto entry : prompts) {
      ondemand::value prompt;
      HEADRACE_TRY_JSON(std::move(entry).get(prompt));
      HEADRACE_TRY_JSON(TypeOf(prompt, type));
      if (type == ondemand::json_type::number) {
        ++facts_.prompt_token_ids;
      } else if (type == ondemand::json_type::array) {
        ++texts;
        ondemand::array ids;
        HEADRACE_TRY_JSON(prompt.get_array().get(ids));
        for (auto id : ids) {
          ondemand::value skipped;
          HEADRACE_TRY_JSON(std::move(id).get(skipped));
          HEADRACE_TRY_JSON(Check(skipped));
          ++facts_.prompt_token_ids;
        }
      } else {
        ++texts;
        HEADRACE_TRY_JSON(Text(prompt));
      }
    }
    if (kind_ == ApiKind::kCompletions) prompts_ = std::max<std::int64_t>(texts, 1);
    return SUCCESS;
  }

  // Where the object's first field begins.
  std::size_t BehindBrace() const { return Offset({std::strchr(body_, '{'), 1}) + 1; }
  std::size_t Offset(std::string_view token) const {
    return static_cast<std::size_t>(token.data() - body_);
  }

  ApiKind kind_;
  const char* body_;
  RequestFacts facts_;
  std::optional<ApiError> fault_;
  std::optional<Tokens> max_completion_tokens_;
  std::int64_t n_ = 1;
  std::int64_t best_of_ = 1;
  std::int64_t prompts_ = 1;
  bool inside_result_ = false;
  bool in_adapters_ = false;
  OptionsKind options_ = OptionsKind::kAbsent;
  std::size_t options_at_ = 0;
  std::size_t flag_at_ = 0;    // The value of include_usage,
  std::size_t flag_size_ = 0;  // 0 when there is none.
};

#undef HEADRACE_TRY_JSON

}  // namespace

BodySplice NameModel(const ModelPlace& place, std::string_view model) {
  if (!place.boundary.empty()) {
    if (place.size > 0) return {place.offset, place.size, std::string(model)};
    return {place.offset, 0,
            "--" + place.boundary + "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" +
                std::string(model) + "\r\n"};
  }
  std::string name;
  AppendJsonString(model, name);
  if (place.size > 0) return {place.offset, place.size, name};
  return {place.offset, 0, "\"model\":" + name + (place.only_field ? "" : ",")};
}

struct RequestScanner::Impl {
  ondemand::parser parser;
};

RequestScanner::RequestScanner() : impl_(std::make_unique<Impl>()) {}
RequestScanner::~RequestScanner() = default;

tl::expected<RequestFacts, ApiError> RequestScanner::Scan(ApiKind kind, const char* body,
                                                          std::size_t size, std::size_t capacity) {
  if (impl_->parser.capacity() > kKeptCapacity && size <= kKeptCapacity) {
    impl_ = std::make_unique<Impl>();
  }
  if (std::string_view(body, size).starts_with("\xEF\xBB\xBF")) {
    return tl::unexpected(MakeApiError(
        400, "The request's body begins with a byte order mark (BOM); send its JSON without one."));
  }
  RequestPass pass(kind, body);
  ondemand::document document;
  error_code code =
      impl_->parser.iterate(simdjson::padded_string_view(body, size, capacity)).get(document);
  if (code == SUCCESS) code = pass.Run(document);
  if (code != SUCCESS) {
    return tl::unexpected(MakeApiError(
        400, "The request's body is not valid JSON: " + DescribeJsonFault({body, size}) + "."));
  }
  return pass.Finish();
}

tl::expected<RequestFacts, ApiError> RequestScanner::Scan(ApiKind kind, std::string& body) {
  body.reserve(body.size() + kPadding);
  return Scan(kind, body.data(), body.size(), body.capacity());
}

tl::expected<RequestFacts, ApiError> RequestScanner::ScanForm(std::string_view content_type,
                                                              std::string_view body) {
  auto place = FindFormField(content_type, body, "model");
  if (!place) {
    return tl::unexpected(MakeApiError(
        400, "The request's body is not a valid form: " + place.error().message + "."));
  }
  RequestFacts facts;
  facts.model = body.substr(place->offset, place->size);
  facts.model_at = {
      .offset = place->offset, .size = place->size, .boundary = std::move(place->boundary)};
  return facts;
}

}  // namespace headrace::openai
