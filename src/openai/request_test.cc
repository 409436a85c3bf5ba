#include "openai/request.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/random.h"

namespace headrace::openai {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

tl::expected<RequestFacts, ApiError> Scan(ApiKind kind, std::string body) {
  static RequestScanner scanner;
  return scanner.Scan(kind, body);
}
RequestFacts Facts(ApiKind kind, const std::string& body) {
  const auto facts = Scan(kind, body);
  EXPECT_TRUE(facts) << body << ": " << (facts ? "" : facts.error().message);
  return facts.value_or(RequestFacts{});
}
std::string Apply(std::string body, const std::optional<BodySplice>& splice) {
  if (splice) body.replace(splice->offset, splice->erase, splice->insert);
  return body;
}

TEST(RequestScanner, ReadsAChatRequest) {
  const RequestFacts facts = Facts(ApiKind::kChatCompletions, R"({
    "model" : "llama2-7b", "temperature": 0.5, "stop": ["}"],
    "messages": [
      {"role": "system", "content": "be brief"},
      {"role": "user", "content": [
        {"type": "text", "text": "what is\nthis?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAAAAAAAAAAAAAA"}}]},
      {"role": "assistant", "content": null,
       "tool_calls": [{"id":"1"}]}],
    "max_tokens": 100, "n": 2, "stream": true})");
  EXPECT_EQ(facts.model, "llama2-7b");
  EXPECT_TRUE(facts.stream);
  EXPECT_EQ(facts.max_tokens, 100);
  EXPECT_EQ(facts.choices, 2);
  EXPECT_EQ(facts.messages, 3);
  EXPECT_EQ(facts.prompt_bytes, 8u + 13 + 12);
  EXPECT_EQ(facts.prompt_token_ids, 0u);
}

TEST(RequestScanner, CountsToolsWithTheirJson) {
  const RequestFacts facts = Facts(
      ApiKind::kChatCompletions,
      R"({"tools": [{"type":"function"}] , "model":"m","messages":[{"content":"x"}],"tools2":[]})");
  EXPECT_EQ(facts.prompt_bytes, 1u + 21);
  EXPECT_EQ(Facts(ApiKind::kChatCompletions, R"({"model":"m","tools":[]})").prompt_bytes, 0u);
}

TEST(RequestScanner, SaysWhatItCannotSize) {
  const auto chat = [](const std::string& content) {
    return Facts(ApiKind::kChatCompletions,
                 R"({"model":"m","messages":[{"role":"user","content":)" + content + "}]}");
  };
  EXPECT_EQ(chat(R"("hi")").unsized_parts, 0);
  EXPECT_EQ(chat(R"([{"type":"text","text":"hi"}])").unsized_parts, 0);
  EXPECT_EQ(chat("null").unsized_parts, 0);
  const RequestFacts media = chat(R"([{"type":"text","text":"hi"},
      {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
      {"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},
      {"type":"file","file":{"file_id":"f"}}, {"type":"something_new","bytes":"AAAA"}])");
  EXPECT_EQ(media.unsized_parts, 4);
  EXPECT_EQ(media.prompt_bytes, 2u);

  const auto of = [](ApiKind kind, const std::string& fields) {
    return Facts(kind, R"({"model":"m",)" + fields + "}").unsized_parts;
  };
  const ApiKind responses = ApiKind::kResponses;
  EXPECT_EQ(of(responses, R"("input":"hi","previous_response_id":"r1")"), 1);
  EXPECT_EQ(of(responses, R"("input":"hi","previous_response_id":null,"conversation":null)"), 0);
  EXPECT_EQ(of(responses, R"("input":"hi","conversation":{"id":"c"},"prompt":{"id":"p"})"), 2);
  EXPECT_EQ(of(responses, R"("input":[
      {"role":"user","content":[{"type":"input_image","file_id":"f"}]},
      {"type":"reasoning","summary":[],"encrypted_content":"AAAA"},
      {"type":"computer_call_output","output":{"image_url":"data:AAAA"}}])"),
            3);
  EXPECT_EQ(of(ApiKind::kChatCompletions,
               R"("messages":[{"role":"assistant","content":null,"audio":{"id":"a"}}])"),
            1);
  EXPECT_EQ(of(ApiKind::kCompletions, R"("prompt":"hi","prompt_embeds":"AAAA")"), 1);
  EXPECT_EQ(of(ApiKind::kCompletions, R"("prompt":"hi","truncate_prompt_tokens":8)"), 1);
}

TEST(RequestScanner, SaysWhatIsJson) {
  const auto json = [](const std::string& fields) {
    return Facts(ApiKind::kChatCompletions, R"({"model":"m",)" + fields + "}").prompt_has_json;
  };
  EXPECT_FALSE(json(R"("messages":[{"role":"user","content":"hi"}])"));
  EXPECT_FALSE(json(R"("messages":[{"role":"user","content":"hi"}],"tools":[])"));
  EXPECT_TRUE(json(R"("tools":[{"type":"function"}])"));
  EXPECT_TRUE(json(R"("messages":[{"role":"assistant","tool_calls":[{"id":"1"}]}])"));
  EXPECT_TRUE(json(R"("documents":[{"text":"a"}])"));
}

TEST(RequestScanner, ReadsLimits) {
  const auto limit = [](ApiKind kind, const std::string& fields) {
    return Facts(kind, R"({"model":"m",)" + fields + "}").max_tokens;
  };
  const ApiKind chat = ApiKind::kChatCompletions;
  EXPECT_EQ(limit(chat, R"("max_completion_tokens": 7, "max_tokens": 9)"), 7);
  EXPECT_EQ(limit(chat, R"("max_tokens": 9, "max_completion_tokens": null)"), 9);
  EXPECT_EQ(limit(chat, R"("max_tokens": 16.0)"), 16);
  EXPECT_EQ(limit(chat, R"("max_tokens": null)"), std::nullopt);
  EXPECT_EQ(limit(chat, R"("max_tokens": 0)"), std::nullopt);
  EXPECT_EQ(limit(chat, R"("max_tokens": 99999999999)"), 2147483647);
  EXPECT_EQ(limit(ApiKind::kResponses, R"("max_output_tokens": 5)"), 5);
}

TEST(RequestScanner, CountsPromptsOfEveryForm) {
  const auto facts = [](const std::string& prompt) {
    return Facts(ApiKind::kCompletions, R"({"model":"m","best_of":3,"prompt":)" + prompt + "}");
  };
  EXPECT_EQ(facts(R"("hello")").prompt_bytes, 5u);
  EXPECT_EQ(facts(R"("hello")").choices, 3);
  EXPECT_EQ(facts(R"(["he", "llo", ""])").prompt_bytes, 5u);
  EXPECT_EQ(facts(R"(["he", "llo", ""])").choices, 9);
  EXPECT_EQ(facts("[1, 22, 333]").prompt_token_ids, 3u);
  EXPECT_EQ(facts("[1, 22, 333]").choices, 3);
  EXPECT_EQ(facts("[[1], [22, 333], []]").prompt_token_ids, 3u);
  EXPECT_EQ(facts("[[1], [22, 333], []]").choices, 9);
  EXPECT_EQ(facts("[]").choices, 3);
  EXPECT_EQ(facts("null").prompt_bytes, 0u);
}

TEST(RequestScanner, ReadsEmbeddingsAndResponses) {
  const RequestFacts embeddings =
      Facts(ApiKind::kEmbeddings, R"({"input":["one","three"],"model":"e"})");
  EXPECT_EQ(embeddings.prompt_bytes, 8u);
  EXPECT_EQ(embeddings.choices, 1);
  EXPECT_EQ(Facts(ApiKind::kEmbeddings, R"({"input":[[1,2],[3]],"model":"e"})").prompt_token_ids,
            3u);
  const RequestFacts plain =
      Facts(ApiKind::kResponses, R"({"model":"m","input":"hi","instructions":"be good"})");
  EXPECT_EQ(plain.prompt_bytes, 2u + 7);
  EXPECT_EQ(plain.messages, 1);
  const RequestFacts items = Facts(ApiKind::kResponses, R"({"model":"m","stream":true,"input":[
      {"role":"user","content":[{"type":"input_text","text":"abc"},
                                {"type":"input_image","image_url":"data:AAAAAAAA"}]},
      {"type":"function_call","arguments":"{}"},
      {"type":"function_call_output","output":"done"}]})");
  EXPECT_EQ(items.prompt_bytes, 3u + 2 + 4);
  EXPECT_EQ(items.messages, 3);
  EXPECT_FALSE(items.ask_for_usage);
}

TEST(RequestScanner, EscapesDoNotDistortTheCount) {
  const std::string text = "line\n\"quoted\" \\ — ü 🙂";
  for (const bool ascii : {false, true}) {
    Json body = {{"model", "m"}, {"messages", {{{"role", "user"}, {"content", text}}}}};
    EXPECT_EQ(Facts(ApiKind::kChatCompletions, body.dump(-1, ' ', ascii)).prompt_bytes,
              text.size());
  }
}

TEST(RequestScanner, AsksForUsageWithoutTouchingTheRest) {
  struct Case {
    std::string body;
    std::string expected;
  };
  const std::string ask = R"("include_usage":true)";
  const Case cases[] = {
      {R"( {"stream":true,"model":"m"})",
       " {\"stream_options\":{" + ask + R"(},"stream":true,"model":"m"})"},
      {R"({"model":"m","stream_options":null,"stream":true})",
       R"({"model":"m","stream_options":{)" + ask + R"(},"stream":true})"},
      {R"({"model":"m","stream_options": {} ,"stream":true})",
       R"({"model":"m","stream_options": {)" + ask + R"(} ,"stream":true})"},
      {R"({"model":"m","stream_options":{ "x":1},"stream":true})",
       R"({"model":"m","stream_options":{)" + ask + R"(, "x":1},"stream":true})"},
      {R"({"model":"m","stream":true,"stream_options":{"include_usage" : false }})",
       R"({"model":"m","stream":true,"stream_options":{"include_usage" : true }})"},
      {R"({"model":"m","stream":true,"stream_options":{"include_usage":null,"y":2}})",
       R"({"model":"m","stream":true,"stream_options":{"include_usage":true,"y":2}})"},
      // The last one counts, as in the engines' parsers.
      {R"({"model":"m","stream":true,"stream_options":{"include_usage":true},"stream_options":{}})",
       R"({"model":"m","stream":true,"stream_options":{"include_usage":true},"stream_options":{)" +
           ask + "}}"},
  };
  for (const ApiKind kind : {ApiKind::kChatCompletions, ApiKind::kCompletions}) {
    for (const Case& c : cases) {
      const RequestFacts facts = Facts(kind, c.body);
      EXPECT_FALSE(facts.usage_asked);
      ASSERT_TRUE(facts.ask_for_usage) << c.body;
      EXPECT_EQ(Apply(c.body, facts.ask_for_usage), c.expected);
    }
  }
}

TEST(RequestScanner, DoesNotAskForUsageInVain) {
  const ApiKind chat = ApiKind::kChatCompletions;
  EXPECT_FALSE(Facts(chat, R"({"model":"m"})").ask_for_usage);
  EXPECT_FALSE(Facts(chat, R"({"model":"m","stream":false})").ask_for_usage);
  const RequestFacts asked =
      Facts(chat, R"({"model":"m","stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_FALSE(asked.ask_for_usage);
  EXPECT_TRUE(asked.usage_asked);
}

TEST(RequestScanner, RefusesAsOpenAiDoes) {
  struct Case {
    std::string body;
    std::string message;
    std::string param;
  };
  const Case cases[] = {
      {"", "not valid JSON: it is empty", ""},
      {"{nonsense}", "not valid JSON: at byte 2: unexpected 'o'", ""},
      {"[]", "must be a JSON object", ""},
      {"\"model\"", "must be a JSON object", ""},
      {R"({"model":"m")", "not valid JSON: at byte 12: it ends too early", ""},
      {R"({"model":"m"} x)", "not valid JSON: at byte 14: unexpected 'x'", ""},
      {R"({"model":"m",})", "not valid JSON: at byte 13: unexpected '}'", ""},
      {R"({"model":"m)", "not valid JSON: at byte 11", ""},
      {R"({"model" "m"})", "not valid JSON: at byte 11", ""},
      {"{\"model\":\"\xff\"}", "not valid JSON: at byte 10", ""},
      {"\xEF\xBB\xBF{}", "begins with a byte order mark", ""},
      {R"({"model":7})", "`model` must be a string", "model"},
      {R"({"model":"m","stream":"maybe"})", "`stream` must be true or false", "stream"},
      {R"({"model":"m","stream":2})", "`stream` must be true or false", "stream"},
      {R"({"model":"m","max_tokens":"1e1"})", "`max_tokens` must be an integer", "max_tokens"},
      {R"({"model":"m","max_tokens":"16.5"})", "`max_tokens` must be an integer", "max_tokens"},
      {R"({"model":"m","max_tokens":"many"})", "`max_tokens` must be an integer", "max_tokens"},
      {R"({"model":"m","max_tokens":1.5})", "`max_tokens` must be an integer", "max_tokens"},
      {R"({"model":"m","n":[]})", "`n` must be an integer", "n"},
      {R"({"model":"m","messages":"hi"})", "`messages` must be an array", "messages"},
      {R"({"model":"m","stream_options":1})", "`stream_options` must be an object",
       "stream_options"},
  };
  for (const Case& c : cases) {
    const auto facts = Scan(ApiKind::kChatCompletions, c.body);
    ASSERT_FALSE(facts) << c.body;
    EXPECT_EQ(facts.error().status, 400);
    EXPECT_THAT(facts.error().message, HasSubstr(c.message)) << c.body;
    EXPECT_EQ(facts.error().param, c.param) << c.body;
  }
  EXPECT_FALSE(Scan(ApiKind::kCompletions, R"({"model":"m","prompt":{}})"));
}

// A value's first character does not make it one: in every place that is read, what only begins
// like a literal or a number is refused, whatever follows, and so is its every beginning.
// What pydantic 2.14 makes of these, and so vLLM.
TEST(RequestScanner, TakesNumbersAndFlagsAsStrings) {
  const auto limit = [](const std::string& value) {
    return Facts(ApiKind::kCompletions, R"({"model":"m","max_tokens":)" + value + "}").max_tokens;
  };
  for (const char* sixteen : {"16", "16.0", R"("16")", R"(" 16 ")", R"("16.0")", R"("1_6")",
                              R"("+16")", R"("016")", R"("\t16\n")", R"("1_6.000")"}) {
    EXPECT_EQ(limit(sixteen), 16) << sixteen;
  }
  EXPECT_EQ(limit("true"), 1);
  EXPECT_EQ(limit(R"("-3")"), std::nullopt) << "the engine judges";
  const auto stream = [](const std::string& value) {
    return Facts(ApiKind::kCompletions, R"({"model":"m","stream":)" + value + "}").stream;
  };
  for (const char* yes : {"true", "1", "1.0", R"("true")", R"("Yes")", R"("on")", R"("1")"}) {
    EXPECT_TRUE(stream(yes)) << yes;
  }
  for (const char* no : {"false", "0", "null", R"("FALSE")", R"("n")", R"("0")"}) {
    EXPECT_FALSE(stream(no)) << no;
  }
  for (const char* none : {R"("")", R"("16.")", R"(".0")", R"("1__6")", R"("_1")", R"("1_")",
                           R"("0x10")", R"("- 3")", "[]"}) {
    EXPECT_FALSE(Scan(ApiKind::kCompletions, R"({"max_tokens":)" + std::string(none) + "}"))
        << none;
  }
}

TEST(RequestScanner, SizesAnthropicsMessages) {
  const RequestFacts facts = Facts(ApiKind::kMessages, R"({
    "model": "m", "max_tokens": 5, "stream": true, "system": [{"type": "text", "text": "brief"}],
    "messages": [
      {"role": "user", "content": "hello"},
      {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "xxxxxxxxxxx"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
      {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "yes"}]},
        {"type": "image", "source": {"type": "base64", "data": "AAAAAAAAAAAA"}}]}]})");
  EXPECT_EQ(facts.prompt_bytes, 5u + 5 + 2 + 8 + 3);
  EXPECT_EQ(facts.unsized_parts, 1);
  EXPECT_EQ(facts.max_tokens, 5);
  EXPECT_TRUE(facts.stream);
  EXPECT_FALSE(facts.ask_for_usage) << "such streams bring their usage";
}

TEST(RequestScanner, OfOtherRequestsOnlyTheModelIsRead) {
  const RequestFacts facts =
      Facts(ApiKind::kOther, R"({"query":"x","documents":["a"],"model":"m","stream":{},"n":[]})");
  EXPECT_EQ(facts.model, "m");
  EXPECT_EQ(facts.prompt_bytes, 0u);
}

TEST(NameModel, ChangesNothingElse) {
  const auto named = [](const std::string& body) {
    return Apply(body, NameModel(Facts(ApiKind::kOther, body).model_at, "a\"b"));
  };
  EXPECT_EQ(named(R"({"x":1, "model" : "old" , "y":2})"), R"({"x":1, "model" : "a\"b" , "y":2})");
  EXPECT_EQ(named(R"({"model":null})"), R"({"model":"a\"b"})");
  EXPECT_EQ(named(R"( { "x":1})"), R"( {"model":"a\"b", "x":1})");
  EXPECT_EQ(named("{ }"), R"({"model":"a\"b" })");
  // An engine takes the last one, too.
  EXPECT_EQ(named(R"({"model":"a","model":"b"})"), R"({"model":"a","model":"a\"b"})");
}

TEST(RequestScanner, ReadsTheModelOfAForm) {
  const std::string type = "Multipart/Form-Data; charset=utf-8; boundary=\"x y\"";
  const std::string file =
      "--x y\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\n"
      "Content-Type: audio/wav\r\n\r\nRIFF\r\n--x\r\nname=\"model\"\r\n\r\n\r\n";
  const std::string model =
      "--x y\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n";
  const auto whole = RequestScanner::ScanForm(type, file + model + "--x y--\r\n");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->model, "whisper");
  EXPECT_THAT(Apply(file + model + "--x y--\r\n", NameModel(whole->model_at, "tiny")),
              HasSubstr("\r\n\r\ntiny\r\n--x y--"));

  const auto without = RequestScanner::ScanForm(type, file + "--x y--\r\n");
  ASSERT_TRUE(without);
  EXPECT_EQ(without->model, "");
  const std::string named = Apply(file + "--x y--\r\n", NameModel(without->model_at, "tiny"));
  EXPECT_EQ(RequestScanner::ScanForm(type, named)->model, "tiny");

  for (const std::string& broken :
       {std::string(), std::string("{}"), file, file + model, file + "--x y", model + "--x y\r\n",
        "--x y\r\n" + std::string(20000, 'a') + "\r\n\r\n\r\n--x y--"}) {
    const auto facts = RequestScanner::ScanForm(type, broken);
    ASSERT_FALSE(facts) << broken;
    EXPECT_THAT(facts.error().message, HasSubstr("not a valid form: "));
  }
  EXPECT_FALSE(RequestScanner::ScanForm("multipart/form-data", file + model));
  EXPECT_FALSE(RequestScanner::ScanForm("application/json", file + model));
}

// A key for one model must not open another one to an engine that reads the form in another way.
TEST(RequestScanner, RefusesAFormThatNamesItsModelInTwoWays) {
  const auto scan = [](const std::string& dispositions, const std::string& boundary) {
    return RequestScanner::ScanForm(
        "multipart/form-data; " + boundary,
        "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nsmall\r\n--x\r\n" +
            dispositions + "\r\n\r\nlarge\r\n--x--\r\n");
  };
  const std::string field = "Content-Disposition: form-data; ";
  const std::string plain = "boundary=x";
  const auto other = scan(field + "name=\"prompt\"", plain);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->model, "small");
  EXPECT_TRUE(scan(field + R"(name="file"; filename="a"; filename*=utf-8''model)", plain));
  EXPECT_TRUE(scan(field + R"(name="model"; filename*=utf-8''a)", plain)) << "a file";
  EXPECT_TRUE(scan(field + R"(name="names*=")", plain));
  for (const char* twice :
       {R"(name="model")", R"(name*=utf-8''model)", R"(name="a"; name="model")",
        R"(name*0="mo"; name*1="del")", R"(NAME="a"; name="model")",
        "name=\"a\"\r\nContent-Disposition: form-data; name=\"model\"",
        "name=\"a\"\r\n--x\r\nContent-Disposition: form-data; name=\"model\""}) {
    EXPECT_FALSE(scan(field + twice, plain)) << twice;
  }
  EXPECT_FALSE(scan(field + "name=\"a\"", "boundary=x; boundary=y"));
  EXPECT_FALSE(scan(field + "name=\"a\"", "boundary=x; boundary*=utf-8''y"));
}

TEST(RequestScanner, JudgesValuesByTheirWholeToken) {
  const std::pair<ApiKind, std::string> places[] = {
      {ApiKind::kChatCompletions, R"({"model":"m","stream":true,"stream_options":@})"},
      {ApiKind::kChatCompletions, R"({"model":"m","stream_options":{"include_usage":@}})"},
      {ApiKind::kChatCompletions, R"({"model":"m","stream_options":{"other":@}})"},
      {ApiKind::kChatCompletions, R"({"model":"m","stream":@})"},
      {ApiKind::kChatCompletions, R"({"model":"m","max_tokens":@})"},
      {ApiKind::kChatCompletions, R"({"model":"m","max_completion_tokens":@})"},
      {ApiKind::kChatCompletions, R"({"model":"m","n":@})"},
      {ApiKind::kChatCompletions, R"({"model":"m","temperature":@})"},
      {ApiKind::kChatCompletions, R"({"model":"m","tools":@})"},
      {ApiKind::kChatCompletions, R"({"model":"m","messages":@})"},
      {ApiKind::kChatCompletions, R"({"model":"m","messages":[@]})"},
      {ApiKind::kChatCompletions, R"({"model":"m","messages":[{"role":@}]})"},
      {ApiKind::kChatCompletions, R"({"model":"m","messages":[{"content":@}]})"},
      {ApiKind::kChatCompletions, R"({"model":"m","messages":[{"content":[@]}]})"},
      {ApiKind::kChatCompletions, R"({"model":"m","messages":[{"content":[{"text":@}]}]})"},
      {ApiKind::kChatCompletions, R"({"model":"m","messages":[{"content":[{"type":@}]}]})"},
      {ApiKind::kChatCompletions, R"({"model":"m","messages":[{"audio":@}]})"},
      {ApiKind::kChatCompletions, R"({"model":@})"},
      {ApiKind::kCompletions, R"({"model":"m","prompt":@})"},
      {ApiKind::kCompletions, R"({"model":"m","prompt":[@]})"},
      {ApiKind::kCompletions, R"({"model":"m","prompt":[[1,@,3]]})"},
      {ApiKind::kEmbeddings, R"({"model":"m","input":@})"},
      {ApiKind::kResponses, R"({"model":"m","input":@})"},
      {ApiKind::kResponses, R"({"model":"m","previous_response_id":@})"},
  };
  for (const auto& [kind, form] : places) {
    for (const std::string value : {"n",    "nu", "nul",  "nulL",  "nulls", "nil",   "t",    "tru",
                                    "tRue", "f",  "fals", "falsy", "truee", "-",     "-x",   "01",
                                    "1x",   "1.", "1e",   "1..2",  "12-",   "null1", "1true"}) {
      for (const std::string space : {"", " ", "\n"}) {
        std::string body = form;
        body.replace(body.find('@'), 1, value + space);
        const auto facts = Scan(kind, body);
        ASSERT_FALSE(facts) << body;
        EXPECT_EQ(facts.error().status, 400) << body;
        EXPECT_THAT(facts.error().message, HasSubstr("not valid JSON: at byte ")) << body;
      }
    }
  }
}

TEST(RequestScanner, SurvivesAdversaries) {
  const ApiKind chat = ApiKind::kChatCompletions;
  EXPECT_FALSE(Scan(chat, std::string(200'000, '[')));
  EXPECT_FALSE(Scan(chat, R"({"model":"m","messages":)" + std::string(100'000, '[')));
  EXPECT_FALSE(Scan(chat, R"({"model":"m","messages":[{"content":)" + std::string(2000, '{')));
  EXPECT_FALSE(Scan(chat, std::string("{\"model\":\"m\",\"\0\":1", 18)));
  // Keys in disguise count as what they mean to the engine.
  EXPECT_EQ(Facts(chat, R"({"model":"a","mod\u0065l":"b"})").model, "b");
  // A name inside another value is no field.
  EXPECT_EQ(Facts(chat, R"({"x":{"model":"inner"},"y":"\"model\":\"no\"","model":"m"})").model,
            "m");
}

TEST(RequestScanner, EveryPrefixOfARequestIsRefused) {
  const std::string body =
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a\u00e4"}]}],)"
      R"("stream":true,"stream_options":{"include_usage":false},"max_tokens":12,"tools":[{}]})";
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(Scan(ApiKind::kChatCompletions, body.substr(0, size))) << size;
  }
  EXPECT_TRUE(Scan(ApiKind::kChatCompletions, body));
}

// Random requests: the counts are those of a full parser, and the edit gives valid JSON that
// differs in include_usage alone.
TEST(RequestScanner, AgreesWithAFullParser) {
  Rng rng(5);
  const auto text = [&] {
    const std::string alphabet[] = {"word ", "\"", "\\", "\n", "ü", "🙂", "{", "]", ",", "model"};
    std::string out;
    for (auto n = rng.Below(40); n > 0; --n) out += alphabet[rng.Below(std::size(alphabet))];
    return out;
  };
  for (int round = 0; round < 1000; ++round) {
    Json body = {{"model", "m"}};
    std::uint64_t bytes = 0;
    for (auto n = rng.Below(5); n > 0; --n) {
      const std::string content = text();
      bytes += content.size();
      if (rng.Below(2) == 0) {
        body["messages"].push_back({{"role", "user"}, {"content", content}});
      } else {
        body["messages"].push_back(
            {{"role", "user"},
             {"content", {{{"type", "text"}, {"text", content}}, {{"image_url", text()}}}}});
      }
    }
    if (rng.Below(2) == 0) body["stream"] = rng.Below(4) != 0;
    if (rng.Below(3) == 0) body["stream_options"] = Json::object();
    if (rng.Below(3) == 0) body["stream_options"]["include_usage"] = rng.Below(2) == 0;
    if (rng.Below(3) == 0) body["stream_options"]["other"] = text();
    const std::string json = body.dump(static_cast<int>(rng.Below(3)) - 1, ' ', rng.Below(2) == 0);
    const RequestFacts facts = Facts(ApiKind::kChatCompletions, json);
    EXPECT_EQ(facts.prompt_bytes, bytes);
    EXPECT_EQ(facts.messages, body.contains("messages") ? body["messages"].size() : 0);
    const bool stream = body.value("stream", false);
    EXPECT_EQ(facts.stream, stream);
    Json edited = Json::parse(Apply(json, facts.ask_for_usage));
    if (stream) {
      EXPECT_EQ(edited["stream_options"]["include_usage"], true);
      body["stream_options"]["include_usage"] = true;
    }
    EXPECT_EQ(edited, body);
  }
}

}  // namespace
}  // namespace headrace::openai
