#include "emulator/request.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/result.h"
#include "openai/json_text.h"

namespace headrace::emulator {
namespace {

using Json = nlohmann::json;
using ApiResult = tl::expected<EngineRequest, openai::ApiError>;

constexpr std::int64_t kMostTokens = std::numeric_limits<Tokens>::max();

tl::unexpected<openai::ApiError> Bad(std::string message, std::string param) {
  return tl::unexpected(openai::MakeApiError(400, std::move(message), std::move(param)));
}

// The value of a key that is there and not null.
const Json* Find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// Text given as a string or as a list of parts that carry one; anything else is no text.
Tokens TextTokens(const Json& content) {
  if (content.is_string()) return CountTokens(content.get_ref<const std::string&>());
  Tokens tokens = 0;
  if (content.is_array()) {
    for (const Json& part : content) {
      if (part.is_string()) tokens += TextTokens(part);
      if (!part.is_object()) continue;
      const Json* text = Find(part, "text");
      if (text != nullptr) tokens += TextTokens(*text);
    }
  }
  return tokens;
}

Tokens MessageTokens(const Json& messages) {
  Tokens tokens = 0;
  for (const Json& message : messages) {
    tokens += kTokensPerMessage;
    if (message.is_string()) tokens += TextTokens(message);
    if (!message.is_object()) continue;
    // Messages carry `content`; the Responses API's function results carry `output`.
    for (const char* key : {"content", "output"}) {
      const Json* text = Find(message, key);
      if (text != nullptr) tokens += TextTokens(*text);
    }
  }
  return tokens;
}

// Text, or token ids given as such.
std::optional<Tokens> PromptTokens(const Json& prompt) {
  if (prompt.is_string()) return TextTokens(prompt);
  if (!prompt.is_array() || prompt.empty()) return std::nullopt;
  for (const Json& id : prompt) {
    if (!id.is_number_integer()) return std::nullopt;
  }
  return static_cast<Tokens>(prompt.size());
}

class BodyReader {
 public:
  BodyReader(openai::ApiKind kind, const Json& body) : kind_(kind), body_(body) {}

  ApiResult Read() {
    const Json* model = Find(body_, "model");
    if (model == nullptr || !model->is_string()) {
      return Bad("you must provide a model parameter", "model");
    }
    request_.model = model->get<std::string>();
    for (const char* key : {"n", "best_of"}) {
      const Json* choices = Find(body_, key);
      if (choices != nullptr && *choices != 1) {
        return Bad(std::string(key) + " must be 1: this engine gives one answer a request", key);
      }
    }
    Flag("stream", body_, request_.stream);
    Flag("ignore_eos", body_, request_.ignore_eos);
    if (const Json* options = Find(body_, "stream_options"); options && options->is_object()) {
      Flag("include_usage", *options, request_.include_usage);
    }
    ReadMaxTokens();
    ReadStop();
    switch (kind_) {
      case openai::ApiKind::kMessages:
        if (const Json* system = Find(body_, "system")) {
          request_.prompt += kTokensPerMessage + TextTokens(*system);
        }
        [[fallthrough]];
      case openai::ApiKind::kChatCompletions:
        ReadChat();
        break;
      case openai::ApiKind::kOther:
        break;
      case openai::ApiKind::kCompletions:
        ReadCompletion();
        break;
      case openai::ApiKind::kEmbeddings:
        ReadEmbedding();
        break;
      case openai::ApiKind::kResponses:
        ReadResponse();
        break;
    }
    if (error_) return tl::unexpected(std::move(*error_));
    return std::move(request_);
  }

 private:
  void Fault(std::string message, std::string param) {
    if (!error_) error_ = openai::MakeApiError(400, std::move(message), std::move(param));
  }

  void Flag(const char* key, const Json& object, bool& flag) {
    const Json* value = Find(object, key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return Fault(std::string(key) + " must be true or false", key);
    flag = value->get<bool>();
  }

  void ReadMaxTokens() {
    for (const char* key : {"max_completion_tokens", "max_tokens", "max_output_tokens"}) {
      if (kind_ == openai::ApiKind::kResponses && std::string_view(key) != "max_output_tokens")
        continue;
      const Json* limit = Find(body_, key);
      if (limit == nullptr) continue;
      std::optional<double> number;
      if (limit->is_number_integer()) number = limit->get<double>();
      if (limit->is_string()) number = openai::LaxInteger(limit->get_ref<const std::string&>());
      if (!number || *number < 1 || *number > kMostTokens) {
        return Fault(std::string(key) + " must be an integer of at least 1", key);
      }
      request_.max_tokens = static_cast<Tokens>(*number);
      return;
    }
  }

  void ReadStop() {
    const Json* stop = Find(body_, "stop");
    if (stop == nullptr) return;
    const Json list = stop->is_array() ? *stop : Json::array({*stop});
    for (const Json& text : list) {
      if (!text.is_string() || text.get_ref<const std::string&>().empty()) {
        return Fault("stop must be a string or a list of strings, none of them empty", "stop");
      }
      request_.stop.push_back(text.get<std::string>());
    }
  }

  void ReadTools() {
    const Json* tools = Find(body_, "tools");
    if (tools != nullptr) request_.prompt += CountTokens(tools->dump());
  }

  void ReadChat() {
    const Json* messages = Find(body_, "messages");
    if (messages == nullptr || !messages->is_array() || messages->empty()) {
      return Fault("messages must be a list of at least one message", "messages");
    }
    request_.prompt += MessageTokens(*messages);
    ReadTools();
  }

  void ReadCompletion() {
    const Json* prompt = Find(body_, "prompt");
    const bool single_list = prompt != nullptr && prompt->is_array() && prompt->size() == 1 &&
                             !prompt->front().is_number();
    const auto tokens = prompt == nullptr ? std::nullopt
                        : single_list     ? PromptTokens(prompt->front())
                                          : PromptTokens(*prompt);
    if (!tokens) {
      return Fault(
          "prompt must be one string or one list of token ids: this engine takes one "
          "prompt a request",
          "prompt");
    }
    // A beginning-of-text token is there even for an empty prompt.
    request_.prompt = std::max<Tokens>(*tokens, 1);
  }

  void ReadEmbedding() {
    const Json* input = Find(body_, "input");
    const bool list =
        input != nullptr && input->is_array() && !input->empty() && !input->front().is_number();
    const Json inputs = list ? *input : input != nullptr ? Json::array({*input}) : Json::array();
    for (const Json& one : inputs) {
      const auto tokens = PromptTokens(one);
      if (!tokens) {
        return Fault("input must be a string, a list of token ids or a list of either", "input");
      }
      request_.inputs.push_back(std::max<Tokens>(*tokens, 1));
      request_.texts.push_back(one.dump());
      request_.prompt += request_.inputs.back();
    }
    if (request_.inputs.empty()) return Fault("input must not be empty", "input");
    if (const Json* format = Find(body_, "encoding_format")) {
      if (*format != "base64" && *format != "float") {
        return Fault("encoding_format must be \"float\" or \"base64\"", "encoding_format");
      }
      request_.base64 = *format == "base64";
    }
    if (const Json* dimensions = Find(body_, "dimensions")) {
      if (!dimensions->is_number_integer() || *dimensions < 1 || *dimensions > 4096) {
        return Fault("dimensions must be an integer from 1 to 4096", "dimensions");
      }
      request_.dimensions = dimensions->get<int>();
    }
  }

  void ReadResponse() {
    const Json* input = Find(body_, "input");
    if (input == nullptr || !(input->is_string() || input->is_array()) || input->empty()) {
      return Fault("input must be a string or a list of items", "input");
    }
    request_.prompt =
        input->is_string() ? kTokensPerMessage + TextTokens(*input) : MessageTokens(*input);
    if (const Json* instructions = Find(body_, "instructions")) {
      request_.prompt += kTokensPerMessage + TextTokens(*instructions);
    }
    ReadTools();
  }

  openai::ApiKind kind_;
  const Json& body_;
  EngineRequest request_;
  std::optional<openai::ApiError> error_;
};

tl::expected<Json, openai::ApiError> ParseObject(std::string_view text) {
  Json body = Json::parse(text, nullptr, false);
  if (body.is_discarded()) return Bad("the request's body is not valid JSON", "");
  if (!body.is_object()) return Bad("the request's body must be a JSON object", "");
  return body;
}

}  // namespace

ApiResult ReadEngineRequest(openai::ApiKind kind, std::string_view text) {
  HEADRACE_ASSIGN(const Json body, ParseObject(text));
  return BodyReader(kind, body).Read();
}

tl::expected<Tokens, openai::ApiError> ReadTokenizeRequest(std::string_view text) {
  HEADRACE_ASSIGN(const Json body, ParseObject(text));
  if (const Json* messages = Find(body, "messages"); messages && messages->is_array()) {
    return MessageTokens(*messages);
  }
  const Json* prompt = Find(body, "prompt");
  const auto tokens = prompt == nullptr ? std::nullopt : PromptTokens(*prompt);
  if (!tokens) return Bad("give a prompt or messages to tokenize", "prompt");
  return *tokens;
}

}  // namespace headrace::emulator
