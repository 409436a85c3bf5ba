#include "openai/model_list.h"

#include <gmock/gmock.h>

namespace headrace::openai {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;

auto Listed(const char* id, Tokens max_model_len) {
  return AllOf(Field(&ListedModel::id, id), Field(&ListedModel::max_model_len, max_model_len));
}

TEST(ModelList, NamesAndContextsAsVllmLists) {
  const auto models = ParseModelList(
      R"({"object":"list","data":[{"id":"llama2-7b","object":"model","max_model_len":4096},)"
      R"({"id":"legal","parent":"llama2-7b","max_model_len":null},{"object":"model"},)"
      R"({"id":"odd","max_model_len":-3},{"id":"huge","max_model_len":99999999999999}]})");
  ASSERT_TRUE(models);
  EXPECT_THAT(*models, ElementsAre(Listed("llama2-7b", 4096), Listed("legal", 0), Listed("odd", 0),
                                   Listed("huge", 0)));
}

TEST(ModelList, AnythingElseIsNone) {
  for (const char* text : {"", "ok", "[]", "{}", R"({"data":{}})", R"({"data":[)"}) {
    EXPECT_EQ(ParseModelList(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace headrace::openai
