#include "system/inflate.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace headrace::system {
namespace {

using Result = Unpacker::Result;

std::string Pack(std::string_view text, int window) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}
std::string Gzip(std::string_view text) { return Pack(text, 15 + 16); }
std::string Zlib(std::string_view text) { return Pack(text, 15); }

// In steps of this many bytes.
Result Unpack(std::string_view packed, std::string& unpacked, std::size_t step = 1 << 20) {
  Unpacker unpacker(packed);
  unpacked.clear();
  for (;;) {
    const Result result = unpacker.UnpackTo(unpacked.size() + step, unpacked);
    if (result != Result::kFull) return result;
  }
}

TEST(Unpack, GivesBackWhatWasPacked) {
  for (const std::size_t size : {0, 1, 1000, 65536, 1'000'000}) {
    std::string text(size, 'x');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * i >> 3);
    for (const std::string& packed : {Gzip(text), Zlib(text), Gzip(text) + Gzip("")}) {
      std::string unpacked;
      for (const std::size_t step : {1, 1000, 65536, 1 << 20}) {
        if (step == 1 && size > 1000) continue;
        EXPECT_EQ(Unpack(packed, unpacked, step), Result::kDone);
        EXPECT_EQ(unpacked, text);
      }
    }
  }
}

TEST(Unpack, WhatIsCutOrHasMoreBehindItIsBroken) {
  const std::string packed = Gzip("some text, some text");
  std::string unpacked;
  for (std::size_t size = 0; size < packed.size(); ++size) {
    EXPECT_EQ(Unpack(packed.substr(0, size), unpacked), Result::kBroken) << size;
  }
  EXPECT_EQ(Unpack(packed + "x", unpacked), Result::kBroken);
  EXPECT_EQ(Unpack("{}", unpacked), Result::kBroken);
}

TEST(Unpack, ABombGrowsNoFurtherThanItMay) {
  const std::string bomb = Gzip(std::string(std::size_t{64} << 20, '\0'));
  ASSERT_LT(bomb.size(), 100'000u);
  Unpacker unpacker(bomb);
  std::string unpacked;
  EXPECT_EQ(unpacker.UnpackTo(1 << 20, unpacked), Result::kFull);
  EXPECT_EQ(unpacked.size(), std::size_t{1} << 20);
  EXPECT_LE(unpacked.capacity(), std::size_t{2} << 20);
}

}  // namespace
}  // namespace headrace::system
