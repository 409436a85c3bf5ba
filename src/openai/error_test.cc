#include "openai/error.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace headrace::openai {
namespace {

TEST(ApiError, IsOpenAisErrorObject) {
  const ApiError error = MakeApiError(400, "bad \"value\"\n\x01 — ü", "max_tokens");
  const auto json = nlohmann::json::parse(error.ToJson());
  EXPECT_EQ(json["error"]["message"], "bad \"value\"\n\x01 — ü");
  EXPECT_EQ(json["error"]["type"], "invalid_request_error");
  EXPECT_EQ(json["error"]["param"], "max_tokens");
  EXPECT_TRUE(json["error"]["code"].is_null());
}

TEST(ApiError, EveryStatusHasItsType) {
  for (const int status : {400, 401, 403, 404, 408, 413, 429, 431, 500, 502, 503, 504, 529}) {
    const auto json = nlohmann::json::parse(MakeApiError(status, "x").ToJson());
    EXPECT_FALSE(json["error"]["type"].get<std::string>().empty()) << status;
    EXPECT_TRUE(json["error"]["param"].is_null());
  }
  EXPECT_EQ(MakeApiError(429, "x").type, "rate_limit_error");
  EXPECT_EQ(MakeApiError(503, "x").type, "server_error");
}

TEST(ApiError, UnknownModelsHaveTheCodeThatClientsKnow) {
  const ApiError error = ModelNotFound("gpt-x");
  EXPECT_EQ(error.status, 404);
  EXPECT_EQ(error.code, "model_not_found");
  EXPECT_NE(error.message.find("gpt-x"), std::string::npos);
}

}  // namespace
}  // namespace headrace::openai
