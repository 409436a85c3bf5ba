#include "net/router.h"

#include <gmock/gmock.h>

#include "net/test_peers.h"

namespace headrace::net {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Each route responds with its name and its parameter.
class RouterTest : public ::testing::Test {
 protected:
  RouterTest()
      : router_(
            {
                {"GET", "/models", Named("models")},
                {"GET", "/models/best", Named("best")},
                {"GET", "/models/{id}", WithParameter("model")},
                {"POST", "/models", Named("new model")},
                {"DELETE", "/models/{id}", WithParameter("deleted")},
                {"POST", "/chat", Named("chat")},
            },
            [](HttpExchange& exchange, ResponseHead head, std::string message) -> Task<void> {
              head.Add("content-type", "text/x-error");
              co_await exchange.Respond(head, message);
            }) {
    auto server = HttpServer::Listen(threads_, AnyLoopbackPort(), {},
                                     [this](HttpExchange& e) { return router_.Handle(e); });
    if (!server) throw std::runtime_error(server.error().message);
    server_ = std::move(*server);
  }

  std::string Ask(const std::string& method, const std::string& target) {
    RawPeer client(server_->address());
    client.Send(method + " " + target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    return client.ReadAll();
  }

 private:
  static Task<void> Say(HttpExchange& exchange, std::string text) {
    const ResponseHead head(200);
    co_await exchange.Respond(head, text);
  }
  static HttpHandler Named(const std::string& name) {
    return [name](HttpExchange& exchange) { return Say(exchange, name); };
  }
  static ParameterHandler WithParameter(const std::string& name) {
    return [name](HttpExchange& exchange, std::string_view parameter) {
      return Say(exchange, name + "=" + std::string(parameter));
    };
  }

  Router router_;
  IoThreads threads_{1};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(RouterTest, ServesByMethodAndPath) {
  EXPECT_THAT(Ask("GET", "/models?x=/chat"), EndsWith("\r\n\r\nmodels"));
  EXPECT_THAT(Ask("POST", "/models"), EndsWith("\r\n\r\nnew model"));
  EXPECT_THAT(Ask("POST", "/chat"), EndsWith("\r\n\r\nchat"));
}

TEST_F(RouterTest, TheParameterTakesTheRestOfThePath) {
  EXPECT_THAT(Ask("GET", "/models/org/llama%202?x=1"), EndsWith("\r\n\r\nmodel=org/llama%202"));
  EXPECT_THAT(Ask("DELETE", "/models/a"), EndsWith("\r\n\r\ndeleted=a"));
  EXPECT_THAT(Ask("GET", "/models/"), StartsWith("HTTP/1.1 404 "));
}

TEST_F(RouterTest, TheFirstRouteThatMatchesServes) {
  EXPECT_THAT(Ask("GET", "/models/best"), EndsWith("\r\n\r\nbest"));
  EXPECT_THAT(Ask("GET", "/models/bestest"), EndsWith("\r\n\r\nmodel=bestest"));
  EXPECT_THAT(Ask("DELETE", "/models/best"), EndsWith("\r\n\r\ndeleted=best"));
}

TEST_F(RouterTest, HeadIsServedAsGetWithoutTheBody) {
  const std::string response = Ask("HEAD", "/models");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(response, HasSubstr("content-length: 6\r\n"));
  EXPECT_THAT(response, EndsWith("\r\n\r\n"));
}

TEST_F(RouterTest, AnUnknownPathIs404) {
  const std::string response = Ask("GET", "/chat/x");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(response, HasSubstr("content-type: text/x-error\r\n"));
  EXPECT_THAT(response, Not(HasSubstr("allow:")));
  EXPECT_THAT(response, EndsWith("\r\n\r\nThere is nothing at /chat/x."));
}

TEST_F(RouterTest, DoesNotEchoALongPath) {
  EXPECT_THAT(Ask("GET", "/" + std::string(10'000, 'x')),
              EndsWith("There is nothing at /" + std::string(79, 'x') + "…."));
}

TEST_F(RouterTest, AnotherMethodIs405WithTheMethodsThatAreAllowed) {
  const std::string chat = Ask("GET", "/chat");
  EXPECT_THAT(chat, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(chat, HasSubstr("\r\nallow: POST, OPTIONS\r\n"));
  EXPECT_THAT(chat, EndsWith("\r\n\r\nUse POST for /chat."));
  EXPECT_THAT(Ask("HEAD", "/chat"), StartsWith("HTTP/1.1 405 "));

  const std::string models = Ask("PUT", "/models");
  EXPECT_THAT(models, HasSubstr("\r\nallow: GET, HEAD, POST, OPTIONS\r\n"));
  EXPECT_THAT(models, EndsWith("\r\n\r\nUse GET or POST for /models."));
  EXPECT_THAT(Ask("DELETE", "/chat"), HasSubstr("\r\nallow: POST, OPTIONS\r\n"));
  EXPECT_THAT(Ask("TRACE", "/chat"), HasSubstr("\r\nallow: POST, OPTIONS\r\n"));
  // All routes that match the path count, with a parameter or without.
  EXPECT_THAT(Ask("PUT", "/models/best"), HasSubstr("\r\nallow: GET, HEAD, DELETE, OPTIONS\r\n"));
}

TEST_F(RouterTest, OptionsTellsWhatIsAllowed) {
  const std::string chat = Ask("OPTIONS", "/chat");
  EXPECT_THAT(chat, StartsWith("HTTP/1.1 204 "));
  EXPECT_THAT(chat, HasSubstr("\r\nallow: POST, OPTIONS\r\n"));
  EXPECT_THAT(chat, Not(HasSubstr("content-length")));
  EXPECT_THAT(chat, EndsWith("\r\n\r\n"));
  // Of the whole server.
  EXPECT_THAT(Ask("OPTIONS", "*"), HasSubstr("\r\nallow: GET, HEAD, POST, DELETE, OPTIONS\r\n"));
  EXPECT_THAT(Ask("OPTIONS", "/nothing"), StartsWith("HTTP/1.1 404 "));
}

}  // namespace
}  // namespace headrace::net
