#include "net/chunk_decoder.h"

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"

namespace headrace::net {
namespace {

struct Decoded {
  std::string body;
  std::string rest;  // What was not consumed.
  bool done = false;
  bool failed = false;
  bool operator==(const Decoded&) const = default;
};

// Feeds `wire` in pieces of `step` bytes.
Decoded Decode(std::string wire, std::size_t step) {
  ChunkDecoder decoder;
  Decoded out;
  std::size_t at = 0;
  while (at < wire.size() && !decoder.done() && !decoder.failed()) {
    const std::size_t size = std::min(step, wire.size() - at);
    const ChunkDecoder::Step result = decoder.Decode(wire.data() + at, size);
    out.body.append(wire.data() + at, result.produced);
    at += result.consumed;
  }
  out.rest = wire.substr(at);
  out.done = decoder.done();
  out.failed = decoder.failed();
  return out;
}

TEST(ChunkDecoder, TakesTheFramingOffWhereverItIsCut) {
  const std::string wire =
      "4\r\nWiki\r\n6;name=\"v\"\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n000\r\n"
      "Trailer: x\r\nOther: y\r\n\r\nGET /next";
  const Decoded expected = {"Wikipedia in \r\n\r\nchunks.", "GET /next", true, false};
  for (std::size_t step = 1; step <= wire.size(); ++step) {
    EXPECT_EQ(Decode(wire, step), expected) << step;
  }
}

TEST(ChunkDecoder, ReadsHexOfBothCases) {
  const std::string body(0xaB, 'x');
  EXPECT_EQ(Decode("aB\r\n" + body + "\r\n0\r\n\r\n", 7).body, body);
}

TEST(ChunkDecoder, IsNotDoneBeforeTheVeryEnd) {
  const std::string wire = "1\r\nx\r\n0\r\n\r\n";
  for (std::size_t size = 0; size < wire.size(); ++size) {
    const Decoded out = Decode(wire.substr(0, size), 1);
    EXPECT_FALSE(out.done) << size;
    EXPECT_FALSE(out.failed) << size;
  }
}

TEST(ChunkDecoder, RefusesWhatIsNoChunk) {
  for (const std::string wire :
       {"\r\n", "x\r\n", "-1\r\n", " 1\r\nx\r\n", "1\nx\r\n", "1\r\nxy\r\n", "1\r\nx\n", "1\rx",
        "0\r\n\rx", "1x\r\n", "1;ext\n", "ffffffffffffffffff\r\n", "0\r\na: b\rc",
        // Blanks, of which some readers take the end for the size's, and extensions that are none.
        "1 \r\nx\r\n", "1\t\r\nx\r\n", "1 ;a\r\n", "1; a\r\n", "1;\r\n", "1;a;\r\n", "1;=b\r\n",
        "1;a=\r\n", "1;a=b c\r\n", "1;a=\"b\r\n", "1;a=\"b\"c\r\n", "1;a=\"\x01\"\r\n",
        // Trailers that are none.
        "0\r\nno colon\r\n", "0\r\nnocolon\r\n", "0\r\n: v\r\n", "0\r\na : b\r\n", "0\r\n a: b\r\n",
        "0\r\na: \x01\r\n", "0\r\na: b\n"}) {
    EXPECT_TRUE(Decode(wire, 1).failed) << wire;
    EXPECT_TRUE(Decode(wire, wire.size()).failed) << wire;
  }
  const std::string nul(1, '\0');
  for (const std::string& wire : {"1" + nul + "\r\n", "1;" + nul + "\r\n",
                                  "1;a=\"" + nul + "\"\r\n", "0\r\na: " + nul + "\r\n"}) {
    EXPECT_TRUE(Decode(wire, 1).failed) << wire;
  }
}

TEST(ChunkDecoder, SkipsEveryFormOfExtensionAndTrailer) {
  for (const std::string line :
       {"1", "0001", "1;a", "1;a=b", "1;a=\"b c;\\\"\"", "1;a;b=c;d=\"\""}) {
    EXPECT_EQ(Decode(line + "\r\nx\r\n0;last\r\na:\r\nb: c d\r\n\r\n", 1).body, "x") << line;
  }
}

TEST(ChunkDecoder, BoundsWhatIsNotBody) {
  EXPECT_TRUE(Decode("1;" + std::string(100'000, 'e'), 1000).failed);
  EXPECT_TRUE(Decode(std::string(100'000, '0'), 1000).failed);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 10'000; ++i) trailers += "a: bcdefgh\r\n";
  EXPECT_TRUE(Decode(trailers, 1000).failed);
}

TEST(ChunkDecoder, RandomBodiesCutAtRandom) {
  Rng rng(7);
  for (int round = 0; round < 300; ++round) {
    std::string body;
    std::string wire;
    for (auto chunks = rng.Below(6); chunks > 0; --chunks) {
      std::string chunk;
      for (auto n = 1 + rng.Below(40); n > 0; --n) chunk += "\r\n0a;"[rng.Below(5)];
      char size[8];
      std::snprintf(size, sizeof(size), "%zx", chunk.size());
      wire += std::string(size) + "\r\n" + chunk + "\r\n";
      body += chunk;
    }
    wire += "0\r\n\r\nrest";
    ChunkDecoder decoder;
    std::string decoded;
    std::size_t at = 0;
    while (!decoder.done()) {
      const std::size_t size = std::min<std::size_t>(1 + rng.Below(9), wire.size() - at);
      const auto step = decoder.Decode(wire.data() + at, size);
      decoded.append(wire.data() + at, step.produced);
      at += step.consumed;
      ASSERT_FALSE(decoder.failed());
    }
    EXPECT_EQ(decoded, body);
    EXPECT_EQ(wire.substr(at), "rest");
  }
}

}  // namespace
}  // namespace headrace::net
