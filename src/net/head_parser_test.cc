#include "net/head_parser.h"

#include <gmock/gmock.h>

namespace headrace::net {
namespace {

using ::testing::ElementsAre;

std::string Request(std::string_view fields, std::string_view line = "POST / HTTP/1.1") {
  std::string text = std::string(line) + "\r\nHost: h\r\n";
  for (const char c : fields) text += c == '\n' ? "\r\n" : std::string(1, c);
  return text + "\r\n";
}

int Refusal(std::string_view text) {
  ParsedHead head;
  return ParseRequestHead(text, head);
}

bool TakesResponse(std::string_view fields, std::string_view line = "HTTP/1.1 200 OK") {
  std::string text = std::string(line) + "\r\n";
  for (const char c : fields) text += c == '\n' ? "\r\n" : std::string(1, c);
  ParsedHead head;
  return ParseResponseHead(text + "\r\n", head);
}

TEST(HeadParser, ReadsARequest) {
  const std::string text = Request("A:  b c \t\nEmpty:\nA: \x80\n", "GET /p?q=1|2 HTTP/1.1");
  ParsedHead head;
  ASSERT_EQ(ParseRequestHead(text, head), 0);
  EXPECT_EQ(head.method, "GET");
  EXPECT_EQ(head.target, "/p?q=1|2");
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.chunked);
  EXPECT_EQ(head.content_length, std::nullopt);
  ASSERT_EQ(head.fields.size(), 4U);
  EXPECT_EQ(head.fields[1].name, "A");
  EXPECT_EQ(head.fields[1].value, "b c");
  EXPECT_EQ(head.fields[2].value, "");
  EXPECT_EQ(head.fields[3].value, "\x80");
}

TEST(HeadParser, OnlyExactlyChunkedIsChunked) {
  for (const std::string_view value : {"chunked", "Chunked", " chunked\t"}) {
    const std::string text = Request("Transfer-Encoding:" + std::string(value) + "\n");
    ParsedHead head;
    EXPECT_EQ(ParseRequestHead(text, head), 0) << value;
    EXPECT_TRUE(head.chunked) << value;
  }
  for (const std::string_view value :
       {"", ",", "xchunked", "chunkedx", "chunked;q=1", "\"chunked\"", "chunked, gzip", "gzip",
        "identity", "chunked,", ",chunked", "chunked, chunked", "chun ked",
        "chunked\nTransfer-Encoding: gzip", "chunked\nTransfer-Encoding: chunked",
        "chunked\nTransfer-Encoding:"}) {
    EXPECT_EQ(Refusal(Request("Transfer-Encoding: " + std::string(value) + "\n")), 400) << value;
  }
  for (const std::string_view value : {"gzip, chunked", "identity, chunked",
                                       "gzip\nTransfer-Encoding: chunked", "x;y=\"z\",chunked"}) {
    EXPECT_EQ(Refusal(Request("Transfer-Encoding: " + std::string(value) + "\n")), 501) << value;
  }
  EXPECT_EQ(Refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(Refusal(Request("Transfer-Encoding: chunked\nContent-Length: 3\n")), 400);
}

TEST(HeadParser, TheLengthIsOneNumber) {
  for (const std::string_view value :
       {"", "+3", "-3", "3 3", "3, 3", "3;", "0x3", "3.0", "3\nContent-Length: 3",
        "3\nContent-Length: 4", "99999999999999999999", "9223372036854775807"}) {
    EXPECT_EQ(Refusal(Request("Content-Length: " + std::string(value) + "\n")), 400) << value;
  }
  EXPECT_EQ(Refusal(Request("Content-Length: 003\n")), 0);
}

TEST(HeadParser, AHostIsANameAndAPort) {
  for (const std::string_view host :
       {"h", "h:80", "h:", "a-b.c_d~e:65535", "127.0.0.1:1", "[::1]", "[fe80::1]:80", "%41"}) {
    EXPECT_TRUE(IsHost(host)) << host;
  }
  for (const std::string_view host :
       {"",        ":80",  "h/",    "h/path", "user@h",  "a,b",
        "a b",     "h:x",  "h:80x", "h:-1",   "h:65536", "h:999999999999",
        "h:80:80", "[::1", "[]",    "[x]",    "[::1]80", "::1",
        "h?",      "h#",   "%4",    "%zz",    "h\\",     "h\x80"}) {
    EXPECT_FALSE(IsHost(host)) << host;
    EXPECT_EQ(Refusal("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n"), 400) << host;
  }
  EXPECT_EQ(Refusal("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(Refusal("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(Refusal("GET / HTTP/1.0\r\n\r\n"), 0);
}

TEST(HeadParser, ATargetIsWhatAnOriginServerIsAsked) {
  const auto target = [](const std::string& line) {
    const std::string text = Request("", line);
    ParsedHead head;
    return ParseRequestHead(text, head) == 0 ? std::string(head.target) : "refused";
  };
  EXPECT_EQ(target("GET http://h:80/a/b?c HTTP/1.1"), "/a/b?c");
  EXPECT_EQ(target("GET HTTPS://h HTTP/1.1"), "/");
  EXPECT_EQ(target("GET http://h?x=/ HTTP/1.1"), "/?x=/");
  EXPECT_EQ(target("GET /a?u=http://h HTTP/1.1"), "/a?u=http://h");
  EXPECT_EQ(target("OPTIONS * HTTP/1.1"), "*");
  for (const std::string bad :
       {"* ", "a", "", "//", "ftp://h/", "http:/h", "http://", "http:///a", "http://u@h/", "h:80",
        "/a\\b", "/a#b", "/a\"b", "/<", "/a\x80", "/a\x01", "/a\x7F", "/a b", "/a\tb"}) {
    if (bad == "//") continue;  // A path.
    EXPECT_EQ(Refusal(Request("", "GET " + bad + " HTTP/1.1")), 400) << bad;
  }
  EXPECT_EQ(Refusal(Request("", "GET * HTTP/1.1")), 400);
  EXPECT_EQ(Refusal(Request("", "CONNECT h:80 HTTP/1.1")), 400);
  EXPECT_EQ(Refusal(Request("", "CONNECT / HTTP/1.1")), 400);
}

TEST(HeadParser, MethodsAndVersions) {
  for (const std::string method : {"get", "Post", "BREW", "PROPFIND", "GETT", "M-SEARCH"}) {
    EXPECT_EQ(Refusal(Request("", method + " / HTTP/1.1")), 501) << method;
  }
  for (const std::string method : {"G@T", "", " GET", "GET,", "G\x80T"}) {
    EXPECT_EQ(Refusal(Request("", method + " / HTTP/1.1")), 400) << method;
  }
  for (const std::string version : {"HTTP/2.0", "HTTP/0.9", "HTTP/3.1"}) {
    EXPECT_EQ(Refusal(Request("", "GET / " + version)), 505) << version;
  }
  for (const std::string version : {"", "HTTP/1", "HTTP/1.", "HTTP/1.10", "http/1.1", "HTTP/1.x",
                                    "HTTP 1.1", "HTTP/1.1 ", "1.1"}) {
    EXPECT_EQ(Refusal(Request("", "GET / " + version)), 400) << version;
  }
  EXPECT_EQ(Refusal(Request("", "GET / HTTP/1.2")), 0);
  EXPECT_EQ(Refusal(Request("", "GET /")), 400);
}

TEST(HeadParser, RefusesFieldsThatAreNone) {
  for (const std::string fields : {"a : b\n", " a: b\n", "a: b\n c\n", "a\n", ": b\n", "a\tb: c\n",
                                   "a: b\x01\n", "a: b\x7F\n", "a\x80: b\n", "(a): b\n"}) {
    EXPECT_EQ(Refusal(Request(fields)), 400) << fields;
  }
  const std::string nul(1, '\0');
  EXPECT_EQ(Refusal(Request("a: " + nul + "\n")), 400);
  EXPECT_EQ(Refusal("GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n"), 400);
  EXPECT_EQ(Refusal("GET / HTTP/1.1\r\nHost: h\rA: b\r\n\r\n"), 400);
  std::string many;
  for (int i = 0; i < 300; ++i) many += "a: b\n";
  EXPECT_EQ(Refusal(Request(many)), 431);
}

TEST(HeadParser, MarksWhatEndsAtThisHop) {
  const std::string text = Request(
      "Keep-Alive: x\nConnection: close, X-One\nX-One: 1\nX-Two: 2\nX-Three: 3\nTE: trailers\n"
      "connection: , x-TWO ,\nProxy-Connection: x\nUpgrade: h2c\n");
  ParsedHead head;
  ASSERT_EQ(ParseRequestHead(text, head), 0);
  std::vector<std::string_view> passed;
  for (const HeaderField& field : head.fields) {
    if (!field.hop_by_hop) passed.push_back(field.name);
  }
  EXPECT_THAT(passed, ElementsAre("Host", "X-Three"));
  EXPECT_FALSE(head.keep_alive);
}

// Each option is looked for among all fields.
TEST(HeadParser, TakesSoManyFieldsAndOptionsAndNoMore) {
  const auto head_with = [](int fields, int options) {
    std::string text = "Connection: x";
    for (int i = 1; i < options; ++i) text += ",x";
    text += "\n";
    for (int i = 2; i < fields; ++i) text += "a: b\n";  // Beside Host and Connection.
    return Refusal(Request(text));
  };
  EXPECT_EQ(head_with(256, 256), 0);
  EXPECT_EQ(head_with(257, 1), 431);
  EXPECT_NE(head_with(2, 257), 0);
}

TEST(HeadParser, FindsLinesThatEndInALoneLineFeed) {
  EXPECT_TRUE(HasBareLineFeed("GET / HTTP/1.1\nHost: h\n\n", 0));
  EXPECT_TRUE(HasBareLineFeed("a\r\nb\n", 3));
  EXPECT_FALSE(HasBareLineFeed("a\r\nb\r", 0));
  EXPECT_FALSE(HasBareLineFeed("a\r\nb", 2));
}

TEST(HeadParser, ReadsResponsesAsStrictly) {
  ParsedHead head;
  ASSERT_TRUE(
      ParseResponseHead("HTTP/1.1 529\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", head));
  EXPECT_EQ(head.status, 529);
  EXPECT_EQ(head.content_length, 5U);
  EXPECT_TRUE(TakesResponse("", "HTTP/1.0 200 "));
  EXPECT_TRUE(TakesResponse("Transfer-Encoding: chunked\n"));
  for (const std::string line :
       {"HTTP/2.0 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK",
        "HTTP/1.1 200OK", "HTTP/1.1 099 OK", "HTTP/1.1 600 OK", "HTTP/1.1 +20 OK",
        "http/1.1 200 OK", "nonsense"}) {
    EXPECT_FALSE(TakesResponse("", line)) << line;
  }
  for (const std::string fields :
       {"Transfer-Encoding: gzip\n", "Transfer-Encoding: gzip, chunked\n",
        "Transfer-Encoding: chunked\nContent-Length: 5\n", "Content-Length: 5\nContent-Length: 6\n",
        "Content-Length: 5, 5\n", "Content-Length: x\n", "a : b\n", "a: b\n c\n", "a\n"}) {
    EXPECT_FALSE(TakesResponse(fields)) << fields;
  }
  EXPECT_FALSE(TakesResponse("Transfer-Encoding: chunked\n", "HTTP/1.0 200 OK"));
}

}  // namespace
}  // namespace headrace::net
