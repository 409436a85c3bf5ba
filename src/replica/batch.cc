#include "replica/batch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

namespace headrace::replica {
namespace {

// Another version is another language: such batches are not read, and the replicas do not hear each
// other.
constexpr std::uint8_t kVersion = 2;

constexpr double kAgeUnit = 1e-5;
constexpr double kSloUnit = 1e-6;
constexpr Seconds kMostSeconds = 1e6;
constexpr std::size_t kLongestName = 1024;
constexpr std::int64_t kMostStanding = std::numeric_limits<int>::max();

enum Flag : std::uint8_t { kWhole = 1, kLeaves = 2 };
enum StartFlag : std::uint8_t { kExact = 1, kReportsFirstToken = 2 };
enum class Tag : std::uint8_t { kState, kStarted, kFirstToken, kProgressed, kEnded };

// The latencies of an SLO, in the order in which they are written.
std::array<std::optional<Seconds> slo::Slo::*, 5> LatenciesOf() {
  return {&slo::Slo::ttft, &slo::Slo::tpot, &slo::Slo::tpat, &slo::Slo::ntpot, &slo::Slo::e2e};
}

class Writer {
 public:
  void Byte(std::uint8_t byte) { bytes_.push_back(static_cast<char>(byte)); }
  // Seven bits per byte, the lowest first.
  void Number(std::uint64_t number) {
    for (; number >= 0x80; number >>= 7) Byte(static_cast<std::uint8_t>(number) | 0x80);
    Byte(static_cast<std::uint8_t>(number));
  }
  void Signed(std::int64_t number) {
    Number((static_cast<std::uint64_t>(number) << 1) ^ static_cast<std::uint64_t>(number >> 63));
  }
  void Fixed(std::uint64_t number) {
    for (int i = 0; i < 8; ++i) Byte(static_cast<std::uint8_t>(number >> (8 * i)));
  }
  void Text(std::string_view text) {
    Number(text.size());
    bytes_ += text;
  }
  void Time(Seconds seconds, double unit) {
    Number(static_cast<std::uint64_t>(std::llround(std::clamp(seconds, 0.0, kMostSeconds) / unit)));
  }
  void Event(const Started& event) {
    Byte(static_cast<std::uint8_t>(Tag::kStarted));
    Number(event.serial);
    Fixed(event.endpoint);
    Time(event.age, kAgeUnit);
    Time(event.waited, kAgeUnit);
    Number(static_cast<std::uint64_t>(event.prompt_tokens));
    Number(static_cast<std::uint64_t>(event.output_tokens));
    Number(static_cast<std::uint64_t>(event.most_tokens));
    Byte((event.exact ? kExact : 0) | (event.reports_first_token ? kReportsFirstToken : 0));
    Signed(event.standing);
    Number(static_cast<std::uint64_t>(event.share));
    std::uint8_t set = 0;
    const auto latencies = LatenciesOf();
    for (std::size_t i = 0; i < latencies.size(); ++i) {
      set |= static_cast<std::uint8_t>(event.slo.*latencies[i] ? 1 << i : 0);
    }
    Byte(set);
    for (const auto latency : latencies) {
      if (event.slo.*latency) Time(*(event.slo.*latency), kSloUnit);
    }
  }
  void Event(const FirstToken& event) {
    Byte(static_cast<std::uint8_t>(Tag::kFirstToken));
    Number(event.serial);
    Time(event.age, kAgeUnit);
  }
  void Event(const Progressed& event) {
    Byte(static_cast<std::uint8_t>(Tag::kProgressed));
    Number(event.serial);
    Number(static_cast<std::uint64_t>(event.generated));
  }
  void Event(const Ended& event) {
    Byte(static_cast<std::uint8_t>(Tag::kEnded));
    Number(event.serial);
    Number(static_cast<std::uint64_t>(event.prompt_tokens));
    Number(static_cast<std::uint64_t>(event.output_tokens));
    Time(event.e2e, kAgeUnit);
  }
  void Queue(const replica::Queue& queue) {
    Number(queue.waiting);
    Number(queue.endpoints);
    Number(queue.heads.size());
    for (const replica::Queue::Head& head : queue.heads) {
      Signed(head.standing);
      Number(head.kind);
      Time(head.age, kAgeUnit);
    }
  }
  void Keys(std::span<const KeySpending> keys) {
    Number(keys.size());
    for (const KeySpending& key : keys) {
      Text(key.name);
      Signed(key.requests);
      Signed(key.tokens);
      Signed(key.in_flight);
    }
  }
  void Events(std::span<const replica::Event> events) {
    for (const replica::Event& event : events) {
      std::visit([this](const auto& one) { Event(one); }, event);
    }
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads zeros beyond the end, and says so.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  bool failed() const { return failed_; }

  std::uint8_t Byte() {
    if (bytes_.empty()) {
      failed_ = true;
      return 0;
    }
    const auto byte = static_cast<std::uint8_t>(bytes_.front());
    bytes_.remove_prefix(1);
    return byte;
  }
  std::uint64_t Number() {
    std::uint64_t number = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::uint8_t byte = Byte();
      number |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return number;
    }
    failed_ = true;
    return 0;
  }
  std::int64_t Signed() {
    const std::uint64_t number = Number();
    return static_cast<std::int64_t>(number >> 1) ^ -static_cast<std::int64_t>(number & 1);
  }
  std::uint64_t Fixed() {
    std::uint64_t number = 0;
    for (int i = 0; i < 8; ++i) number |= static_cast<std::uint64_t>(Byte()) << (8 * i);
    return number;
  }
  std::string Text() {
    const std::uint64_t size = Number();
    if (size > std::min(kLongestName, bytes_.size())) {
      failed_ = true;
      return {};
    }
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }
  int Standing() { return static_cast<int>(std::clamp(Signed(), -kMostStanding, kMostStanding)); }
  Seconds Time(double unit) { return std::min(static_cast<double>(Number()) * unit, kMostSeconds); }
  Tokens Count(Tokens least) {
    const std::uint64_t number = Number();
    return std::max(least, static_cast<Tokens>(std::min<std::uint64_t>(number, fleet::kNoLimit)));
  }

  replica::Queue Queue() {
    replica::Queue queue{.waiting = Number(), .endpoints = Number()};
    for (std::uint64_t left = Number(); left > 0 && !failed_; --left) {
      queue.heads.push_back({.standing = Standing(),
                             .kind = static_cast<std::uint32_t>(Number()),
                             .age = Time(kAgeUnit)});
    }
    return queue;
  }

  std::vector<KeySpending> Keys() {
    static constexpr std::int64_t kMost = std::int64_t{1} << 50;
    const auto number = [this] { return std::clamp(Signed(), std::int64_t{0}, kMost); };
    std::vector<KeySpending> keys;
    for (std::uint64_t left = Number(); left > 0 && !failed_; --left) {
      KeySpending& key = keys.emplace_back(KeySpending{.name = Text()});
      key.requests = number();
      key.tokens = number();
      key.in_flight = std::min<std::int64_t>(number(), std::numeric_limits<int>::max() / 1000);
    }
    return keys;
  }

  replica::Event Event(Tag tag) {
    switch (tag) {
      case Tag::kFirstToken: {
        FirstToken event{.serial = Number()};
        event.age = Time(kAgeUnit);
        return event;
      }
      case Tag::kProgressed: {
        Progressed event{.serial = Number()};
        event.generated = Count(0);
        return event;
      }
      case Tag::kEnded: {
        Ended event{.serial = Number()};
        event.prompt_tokens = Count(0);
        event.output_tokens = Count(0);
        event.e2e = Time(kAgeUnit);
        return event;
      }
      case Tag::kStarted:
      case Tag::kState:
        break;
    }
    Started event{.serial = Number()};
    event.endpoint = Fixed();
    event.age = Time(kAgeUnit);
    event.waited = Time(kAgeUnit);
    event.prompt_tokens = Count(1);
    event.output_tokens = Count(1);
    event.most_tokens = Count(1);
    const std::uint8_t flags = Byte();
    event.exact = (flags & kExact) != 0;
    event.reports_first_token = (flags & kReportsFirstToken) != 0;
    event.standing = Standing();
    event.share =
        static_cast<fleet::Load>(std::min(Number(), static_cast<std::uint64_t>(fleet::kCapacity)));
    const std::uint8_t set = Byte();
    const auto latencies = LatenciesOf();
    for (std::size_t i = 0; i < latencies.size(); ++i) {
      if ((set >> i & 1) != 0) event.slo.*latencies[i] = Time(kSloUnit);
    }
    return event;
  }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

}  // namespace

std::string Encode(const Batch& batch) {
  Writer writer;
  writer.Byte(kVersion);
  writer.Text(batch.from.name);
  writer.Fixed(batch.from.incarnation);
  writer.Text(batch.pool);
  writer.Number(batch.sequence);
  writer.Queue(batch.queue);
  writer.Byte((batch.whole ? kWhole : 0) | (batch.leaves ? kLeaves : 0));
  writer.Keys(batch.keys);
  writer.Events(batch.events);
  if (batch.whole) {
    writer.Byte(static_cast<std::uint8_t>(Tag::kState));
    writer.Events(batch.state);
  }
  return writer.Take();
}

Result<Batch> Decode(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.Byte() != kVersion) return Fail("it is of another version of Headrace");
  Batch batch;
  batch.from.name = reader.Text();
  batch.from.incarnation = reader.Fixed();
  batch.pool = reader.Text();
  batch.sequence = reader.Number();
  batch.queue = reader.Queue();
  const std::uint8_t flags = reader.Byte();
  batch.whole = (flags & kWhole) != 0;
  batch.leaves = (flags & kLeaves) != 0;
  batch.keys = reader.Keys();
  std::vector<Event>* events = &batch.events;
  while (!reader.empty() && !reader.failed()) {
    const std::uint8_t tag = reader.Byte();
    if (tag > static_cast<std::uint8_t>(Tag::kEnded)) return Fail("it has an event of no kind");
    if (tag == static_cast<std::uint8_t>(Tag::kState)) {
      if (!batch.whole || events == &batch.state) return Fail("it has a state where none can be");
      events = &batch.state;
      continue;
    }
    events->push_back(reader.Event(static_cast<Tag>(tag)));
  }
  if (reader.failed() || (batch.whole && events == &batch.events)) return Fail("it is cut short");
  return batch;
}

}  // namespace headrace::replica
