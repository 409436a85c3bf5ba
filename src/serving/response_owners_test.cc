#include "serving/response_owners.h"

#include <gtest/gtest.h>

namespace headrace::serving {
namespace {

TEST(ResponseOwners, RemembersTheLastOnesForADay) {
  ResponseOwners owners;
  const auto endpoint = std::make_shared<const EndpointInfo>();
  owners.Note("resp_old", {.pool = "llama", .endpoint = endpoint}, 0);
  EXPECT_EQ(owners.Find("resp_old", 10).pool, "llama");
  EXPECT_EQ(owners.Find("resp_old", 10).endpoint.lock(), endpoint);
  EXPECT_EQ(owners.Find("resp_other", 10).pool, "");
  EXPECT_EQ(owners.Find("resp_old", ResponseOwners::kKept + 1).pool, "");
  for (std::size_t i = 0; i < ResponseOwners::kMost; ++i) {
    owners.Note("resp_" + std::to_string(i), {.pool = "llama", .endpoint = endpoint}, 20);
  }
  EXPECT_EQ(owners.Find("resp_old", 20).pool, "") << "more came after it than are kept";
  EXPECT_EQ(owners.Find("resp_0", 20).pool, "llama");
  owners.Note(std::string(ResponseOwners::kMostIdBytes + 1, 'x'),
              {.pool = "llama", .endpoint = endpoint}, 20);
  EXPECT_EQ(owners.Find("resp_0", 20).pool, "llama") << "an id of any length is not taken";
}

TEST(ResponseOwners, AnEndpointThatHasLeftIsNotHeld) {
  ResponseOwners owners;
  auto endpoint = std::make_shared<const EndpointInfo>();
  owners.Note("resp_1", {.pool = "llama", .endpoint = endpoint}, 0);
  endpoint.reset();
  EXPECT_EQ(owners.Find("resp_1", 0).endpoint.lock(), nullptr);
}

}  // namespace
}  // namespace headrace::serving
