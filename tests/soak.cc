// `make soak`: a gateway under load for as long as one likes, while its engines are killed, paused,
// restarted and replaced, its profiles break and its Redis stops; then under ten times the load
// that its engines can carry; then drained. Every request is answered, the gateway's ledger is that
// of its clients, and what it holds (load, memory, descriptors) does not grow.
//
// Processes of their own: the gateway, its engines, Redis. In this one: the clients and the watch.
#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <map>

#include "base/duration.h"
#include "base/histogram.h"
#include "discovery/redis_profiles.h"
#include "net/test_fault_engine.h"
#include "soak_client.h"
#include "soak_fleet.h"
#include "store/test_redis.h"

namespace headrace {
namespace {

// --- What is asserted

// Between the first third and the last of a phase, as medians. The allocator keeps what a burst
// needed, so there is a constant beside the share.
constexpr double kMemoryGrowth = 0.05;
constexpr std::int64_t kMemorySlack = 4 << 20;
constexpr int kDescriptorSlack = 64;  // As many as connections to engines.
// A sanitizer keeps freed memory, or beside each byte what it knows of it.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HEADRACE_SANITIZED
#endif
#endif
#ifdef HEADRACE_SANITIZED
constexpr bool kMemoryTells = false;
#else
constexpr bool kMemoryTells = true;
#endif
// Only on a machine that does nothing else (not --untimed).
constexpr Seconds kRefusalP99 = 0.010;
constexpr double kLeastAttained = 0.95;  // Of the requests that were accepted under overload.

// --- What is set up

constexpr double kSpeed = 2;  // Of the engines: requests are some 0.3 s long.
constexpr int kMaxInFlight = 8;
constexpr int kMaxQueue = 75;
constexpr slo::Slo kSlo{.ttft = 1, .tpot = 0.05};
constexpr int kClients = 256;
constexpr double kUsualLoad = 0.7;
constexpr double kOverload = 10;

struct Options {
  Seconds duration = 1800;
  std::uint64_t seed = 20261128;
  bool timed = true;
};

void Say(const char* format, ...) __attribute__((format(printf, 1, 2)));
void Say(const char* format, ...) {
  static const Seconds begin = system::MonotonicNow();
  std::printf("%7.1f s  ", system::MonotonicNow() - begin);
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::printf("\n");
  std::fflush(stdout);
}

// --- Load

// Requests that arrive as a Poisson process, whatever becomes of those before.
class Load {
 public:
  enum class Mixture { kEverything, kPlain };
  // What came of the requests of one phase.
  struct Outcome {
    Histogram ttft;                            // Of those that were served in full.
    int attained = 0;                          // Of these.
    std::map<std::string, Histogram> refused;  // By reason.
    Seconds most_late = 0;  // That a request was sent after its time, as all clients were busy.
  };

  Load(const system::SocketAddress& gateway, std::uint64_t seed)
      : gateway_(gateway), seed_(seed), arrivals_(seed) {
    for (int i = 0; i < kClients; ++i) clients_.emplace_back([this] { Run(); });
  }
  ~Load() { End(); }

  // From now on; a rate of 0 is a pause.
  void Set(double rate, Mixture mixture) {
    const system::MutexLock lock(mutex_);
    rate_ = rate;
    mixture_ = mixture;
    next_ = system::MonotonicNow();
    outcome_ = {};
  }
  Outcome Taken() const {
    const system::MutexLock lock(mutex_);
    return outcome_;
  }
  // Connections may be closed unanswered from now on.
  void GatewayStops() { stopping_ = true; }
  // Once all requests that were sent have been answered.
  void End() {
    over_ = true;
    for (std::thread& client : clients_) client.join();
    clients_.clear();
  }

  const SoakLedger& ledger() const { return ledger_; }
  // Requests that have been sent and have no answer yet.
  int open() const { return begun_ - ledger_.all(); }

 private:
  struct Ticket {
    int number = 0;
    Mixture mixture{};
  };

  void Run() {
    SoakClient client(gateway_, true);
    while (const std::optional<Ticket> ticket = Next()) {
      const std::uint64_t seed = seed_ + static_cast<std::uint64_t>(ticket->number);
      const Plan plan = ticket->mixture == Mixture::kPlain ? MakePlainPlan(seed) : MakePlan(seed);
      const Sight sight = client.Perform(plan, [this] { return stopping_.load(); });
      ledger_.Add(ticket->number, sight);
      const system::MutexLock lock(mutex_);
      if (sight.seen == Seen::kWhole) {
        outcome_.ttft.Add(sight.ttft);
        const slo::RequestLatency latency{
            .ttft = sight.ttft, .e2e = sight.e2e, .output_tokens = plan.tokens};
        if (slo::Attained(kSlo, latency)) ++outcome_.attained;
      }
      if (sight.seen == Seen::kRefused) outcome_.refused[sight.reason].Add(sight.e2e);
    }
  }

  // One client waits for the next arrival, the others for their turn.
  std::optional<Ticket> Next() {
    const system::MutexLock turn(turn_mutex_);
    while (!over_) {
      {
        const system::MutexLock lock(mutex_);
        const Seconds now = system::MonotonicNow();
        if (rate_ > 0 && now >= next_) {
          outcome_.most_late = std::max(outcome_.most_late, now - next_);
          next_ += arrivals_.Exponential(1 / rate_);
          return Ticket{begun_++, mixture_};
        }
      }
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    return std::nullopt;
  }

  const system::SocketAddress gateway_;
  const std::uint64_t seed_;
  system::Mutex turn_mutex_;
  mutable system::Mutex mutex_;
  double rate_ HEADRACE_GUARDED_BY(mutex_) = 0;
  Mixture mixture_ HEADRACE_GUARDED_BY(mutex_) = Mixture::kPlain;
  Seconds next_ HEADRACE_GUARDED_BY(mutex_) = 0;
  Rng arrivals_ HEADRACE_GUARDED_BY(mutex_);
  Outcome outcome_ HEADRACE_GUARDED_BY(mutex_);
  std::atomic<int> begun_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> over_ = false;
  SoakLedger ledger_;
  std::vector<std::thread> clients_;
};

// --- The watch

// The median of a process's samples in the first and in the last third of a phase.
struct Trend {
  double first = 0;
  double last = 0;

  static Trend Of(const std::vector<double>& samples) {
    const std::size_t third = samples.size() / 3;
    if (third == 0) return {};
    const auto median = [](std::vector<double> of) {
      std::ranges::nth_element(of, of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2));
      return of[of.size() / 2];
    };
    return {median({samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(third)}),
            median({samples.end() - static_cast<std::ptrdiff_t>(third), samples.end()})};
  }
};

// Looks at the gateway's pages, as an operator does, and at its memory and descriptors.
class Watch {
 public:
  struct Phase {
    std::vector<double> memory;       // Bytes.
    std::vector<double> descriptors;  // But those of clients' connections.
  };

  Watch(pid_t gateway, const system::SocketAddress& admin)
      : gateway_(gateway), admin_(admin), thread_([this] { Run(); }) {}
  ~Watch() { End(); }

  void End() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // Of the phase that ends now.
  Phase NextPhase() {
    const system::MutexLock lock(mutex_);
    return std::exchange(phase_, {});
  }
  double Metric(const std::string& name) const {
    return gateway::SumOf(gateway::Get(admin_, "/metrics").body, name);
  }
  nlohmann::json Status() const {
    return nlohmann::json::parse(gateway::Get(admin_, "/status").body)["models"][0];
  }

 private:
  void Run() {
    while (!over_) {
      Status();
      const double clients = Metric("headrace_client_connections");
      {
        const system::MutexLock lock(mutex_);
        phase_.memory.push_back(static_cast<double>(ResidentBytes(gateway_)));
        phase_.descriptors.push_back(OpenDescriptors(gateway_) - clients);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
  }

  const pid_t gateway_;
  const system::SocketAddress admin_;
  std::atomic<bool> over_ = false;
  mutable system::Mutex mutex_;
  Phase phase_ HEADRACE_GUARDED_BY(mutex_);
  std::thread thread_;
};

// --- An engine that answers health checks and fails all else

net::FaultAnswer BadAnswer(int way, const net::FaultRequest& request) {
  const std::string error =
      R"({"error":{"message":")" + std::string(kFaultMark) + R"(","code":500}})";
  switch (way % 8) {
    case 0:
      return net::WholeAnswer(500, error);
    case 1:
      return net::WholeAnswer(503, error, {"Retry-After: 1"});
    case 2:
      return net::WholeAnswer(502, error);
    case 3:
      return net::WholeAnswer(200, error);
    case 4:
      return net::FaultAnswer{"\x16\x03\x01 no HTTP"}.ThenClose();
    case 5:
      return net::FaultAnswer{}.ThenReset();
    case 6:
      return net::FaultAnswer{}.ThenHang();
    default: {
      const net::FaultAnswer answer =
          request.streams() ? net::StreamAnswer({"data: {\"choices\":[]}\n\n", "data: [DONE]\n\n"})
                            : net::WholeAnswer(200, R"({"choices":[],"usage":{}})");
      return answer.CutTo(answer.body() + 9).ThenClose();
    }
  }
}

// Says in the file `bad` where it listens.
int ServeBadly(const std::filesystem::path& folder) {
  system::Termination termination;
  const net::FaultEngine engine(
      [](int number, const net::FaultRequest& request) { return BadAnswer(number, request); });
  Publish(folder / "bad", engine.address());
  termination.Wait();
  return 0;
}

// --- The soak

class Soak {
 public:
  explicit Soak(const Options& options, std::string program)
      : options_(options),
        program_(std::move(program)),
        bad_([this] { return ServeBadly(folder_.path()); }, folder_.path() / "bad.log"),
        redis_({"--notify-keyspace-events", "KEA"}),
        random_(options.seed) {
    for (const char* gpu : {"a10", "a10", "l4"}) engines_.push_back(Engine("127.0.0.1", gpu));
    named_ = Engine("127.0.0.2", "l20");
    // Where the engine behind the same name is next: another address, the same port.
    const std::string port = named_->address().substr(named_->address().find(':'));
    next_named_ = std::make_unique<EngineProcess>(program_, "127.0.0.3" + port, "l20", kSpeed);
    folder_.Write("hosts", "127.0.0.2\n");
    WriteFileProfile();
    WriteRedisProfile();
  }

  // What went wrong, a sentence each.
  std::vector<std::string> Run() {
    Say("seed %llu", static_cast<unsigned long long>(options_.seed));
    std::vector<discovery::NamedDeployment> deployments;
    const config::Config config = Configure(deployments);
    GatewayProcess gateway(folder_.path(), config, deployments);
    for (const auto& engine : engines_) engine->Start();
    named_->Start();
    system::SocketAddress clients;
    system::SocketAddress admin;
    if (!gateway.Find(clients, admin)) return {"the gateway does not start: " + gateway.Log()};
    Watch watch(gateway.pid(), admin);
    watch_ = &watch;
    Expect(Until([&] { return Up() == 5; }), "not all engines come up");

    Load load(clients, options_.seed);
    load_ = &load;
    Calibrate();
    Disturb();
    Overload();
    Quiet();
    Drain(gateway);
    for (const std::string& fault : load.ledger().faults()) Expect(false, fault);
    Expect(gateway.Log().find("Sanitizer") == std::string::npos, "a sanitizer reports a fault");
    if (!faults_.empty()) std::fputs(gateway.Log().c_str(), stderr);
    return faults_;
  }

 private:
  using Mixture = Load::Mixture;

  std::unique_ptr<EngineProcess> Engine(const std::string& host, const std::string& gpu) {
    const std::string port = std::to_string(net::RawListener().address().port());
    return std::make_unique<EngineProcess>(program_, host + ":" + port, gpu, kSpeed);
  }

  config::Config Configure(std::vector<discovery::NamedDeployment>& deployments) {
    config::Config config;
    config.listen = "127.0.0.1:0";
    config.admin = "127.0.0.1:0";
    config.threads = 2;
    config.timeouts = {
        .connect = 1, .request = 15, .first_byte = 2, .whole = 5, .idle = 2, .drain = 20};
    config.health.interval = 0.5;
    config.health.timeout = 0.5;
    config.redis = redis_.url();
    config.profiles.source = config::ProfilesConfig::Source::kRedis;
    config::ModelConfig& model = config.models.emplace_back();
    model.name = "llama2-7b";
    model.policy = "slo-headroom";
    model.slo = kSlo;
    model.queue.max_length = kMaxQueue;
    model.queue.timeout = 5;
    const auto add = [&](const std::string& name, const std::vector<std::string>& endpoints,
                         bool every_address = false) {
      config::DeploymentConfig& deployment = model.deployments.emplace_back();
      deployment.name = name;
      deployment.max_in_flight = kMaxInFlight;
      discovery::NamedDeployment& named = deployments.emplace_back();
      named.name = name;
      named.max_in_flight = kMaxInFlight;
      for (const std::string& endpoint : endpoints) {
        deployment.endpoints.emplace_back(endpoint);
        named.endpoints.push_back(
            {.url = *system::ParseHttpUrl(endpoint), .every_address = every_address});
      }
    };
    if (!Until([&] { return std::filesystem::exists(folder_.path() / "bad"); })) std::abort();
    add("a10", {engines_[0]->address(), engines_[1]->address(), ReadText(folder_.path() / "bad")});
    add("l4", {engines_[2]->address()});
    add("l20", {"engines:" + named_->address().substr(named_->address().find(':') + 1)}, true);
    model.deployments[0].profile = (folder_.path() / "a10.json").string();
    return config;
  }

  // --- Events

  void WriteFileProfile() {
    folder_.Write("a10.json", ProfileText("a10", ++created_, kMaxInFlight));
  }
  void WriteRedisProfile(const std::string& text) {
    store::Redis redis(redis_.url());
    Expect(redis.Set(discovery::ProfileKey("llama2-7b", "l20"), text).has_value(),
           "Redis takes no profile");
  }
  void WriteRedisProfile() { WriteRedisProfile(ProfileText("l20", ++created_, kMaxInFlight)); }

  double Up() const { return watch_->Metric("headrace_endpoint_up{"); }
  double IsUp(const std::string& address) const {
    double up = 0;
    const nlohmann::json status = watch_->Status();
    for (const auto& deployment : status["deployments"]) {
      for (const auto& endpoint : deployment["endpoints"]) {
        if (endpoint["address"] == address) up += endpoint["up"].get<bool>() ? 1 : 0;
      }
    }
    return up;
  }
  bool Current(const std::string& deployment) const {
    return watch_->Metric("headrace_profile_current{deployment=\"" + deployment + '"') == 1;
  }

  static bool Until(const std::function<bool()>& holds) {
    for (const Seconds end = system::MonotonicNow() + 20; !holds();) {
      if (system::MonotonicNow() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return true;
  }
  static void Sleep(Seconds seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }
  void Expect(bool holds, const std::string& what) {
    if (holds) return;
    Say("WRONG: %s", what.c_str());
    faults_.push_back(what);
  }

  // Something happens to an engine, which is then down, and is undone.
  void Fail(EngineProcess& engine, const std::string& what, const std::function<void()>& begin,
            const std::function<void()>& end) {
    begin();
    Expect(Until([&] { return IsUp(engine.address()) == 0; }), what + ", but not seen as down");
    Sleep(1);
    end();
    Expect(Until([&] { return IsUp(engine.address()) == 1; }), what + ", but not back");
  }
  void Break(const std::string& deployment, const std::string& what,
             const std::function<void()>& begin, const std::function<void()>& end) {
    begin();
    Expect(Until([&] { return !Current(deployment); }), what + ", but not seen");
    Sleep(1);
    end();
    Expect(Until([&] { return Current(deployment); }), what + ", but not used once it was right");
  }
  void ReplaceNamed() {
    next_named_->Start();
    folder_.Write("hosts", next_named_->address().substr(0, next_named_->address().find(':')));
    Expect(Until([&] { return IsUp(next_named_->address()) == 1; }), "a new address is not found");
    named_->Stop();
    std::swap(named_, next_named_);
  }

  struct Event {
    const char* name;
    std::function<void()> happen;
  };
  std::vector<Event> Events() {
    EngineProcess& first = *engines_[0];
    EngineProcess& second = *engines_[1];
    return {
        {"an engine is killed",
         [&] { Fail(first, "killed", [&] { first.Kill(); }, [&] { first.Start(); }); }},
        {"an engine is paused",
         [&] { Fail(second, "paused", [&] { second.Pause(); }, [&] { second.Continue(); }); }},
        {"an engine is restarted",
         [&] { Fail(second, "restarted", [&] { second.Stop(); }, [&] { second.Start(); }); }},
        {"another engine at the same address",
         [&] {
           Fail(first, "another", [&] { first.Kill(); }, [&] { first.Start("l4", 2048); });
           Sleep(2);
           Fail(first, "the first", [&] { first.Kill(); }, [&] { first.Start(); });
         }},
        {"the engine behind a name is replaced", [&] { ReplaceNamed(); }},
        {"a profile's file breaks",
         [&] {
           Break(
               "a10", "a file", [&] { folder_.Write("a10.json", R"({"gpu": "a10", )"); },
               [&] { WriteFileProfile(); });
         }},
        {"a profile in Redis breaks",
         [&] {
           Break("l20", "a key", [&] { WriteRedisProfile("[1, 2"); }, [&] { WriteRedisProfile(); });
         }},
        {"Redis stops",
         [&] {
           Break(
               "l20", "Redis stopped", [&] { redis_.Stop(); },
               [&] {
                 redis_.Start();
                 WriteRedisProfile();
               });
         }},
    };
  }

  // --- Phases

  // What the fleet can carry: what it finishes of far too much.
  void Calibrate() {
    const Seconds time = std::max(8.0, options_.duration * 0.02);
    load_->Set(400, Mixture::kPlain);
    Sleep(time / 2);
    load_->Set(400, Mixture::kPlain);
    Sleep(time / 2);
    capacity_ = static_cast<double>(load_->Taken().ttft.count()) / (time / 2);
    Say("the fleet carries %.0f requests/s", capacity_);
    Expect(capacity_ > 0, "no request is served");
    load_->Set(0, Mixture::kPlain);
    watch_->NextPhase();
  }

  void Disturb() {
    const Seconds end = system::MonotonicNow() + options_.duration * 0.7;
    load_->Set(kUsualLoad * capacity_, Mixture::kEverything);
    Sleep(std::min(30.0, options_.duration * 0.1));
    watch_->NextPhase();
    std::map<std::string, int> happened;
    std::vector<Event> events = Events();
    do {
      for (std::size_t i = events.size(); i > 1; --i) {
        std::swap(events[i - 1], events[random_.Below(i)]);
      }
      for (const Event& event : events) {
        Say("%s", event.name);
        event.happen();
        ++happened[event.name];
        Sleep(1);
      }
    } while (system::MonotonicNow() < end);
    for (const auto& [name, count] : happened) Say("%3d × %s", count, name.c_str());
    Report("at 70 % of what the fleet carries", kUsualLoad * capacity_);
  }

  void Overload() {
    load_->Set(kOverload * capacity_, Mixture::kPlain);
    Sleep(std::min(10.0, options_.duration * 0.03));
    watch_->NextPhase();
    load_->Set(kOverload * capacity_, Mixture::kPlain);
    Sleep(options_.duration * 0.2);
    const Load::Outcome outcome = load_->Taken();
    const auto accepted = static_cast<double>(outcome.ttft.count());
    const double attained = outcome.attained / accepted;
    Histogram at_once;
    for (const auto& [reason, times] : outcome.refused) {
      Say("refused, %s: %llu, P50 %.1f ms, P99 %.1f ms, most %.1f ms", reason.c_str(),
          static_cast<unsigned long long>(times.count()), times.Quantile(0.5) * 1e3,
          times.Quantile(0.99) * 1e3, times.max() * 1e3);
      if (reason == "queue_full" || reason == "slo_unattainable") at_once.Merge(times);
    }
    Say("accepted %.1f/s, of which %.2f %% in time; time to first token P50 %.2f s, P99 %.2f s, "
        "most %.2f s",
        accepted / (options_.duration * 0.2), attained * 100, outcome.ttft.Quantile(0.5),
        outcome.ttft.Quantile(0.99), outcome.ttft.max());
    Say("refusals on arrival: P99 %.2f ms", at_once.Quantile(0.99) * 1e3);
    Expect(at_once.count() > 0, "overload, but nothing is refused");
    if (options_.timed) {
      Expect(attained >= kLeastAttained, "too many of the accepted requests missed their SLO");
      Expect(at_once.Quantile(0.99) <= kRefusalP99, "refusals are slow");
    }
    Report("at ten times what the fleet carries", kOverload * capacity_);
  }

  void Report(const char* phase, double rate) {
    const Watch::Phase seen = watch_->NextPhase();
    const Trend memory = Trend::Of(seen.memory);
    const Trend descriptors = Trend::Of(seen.descriptors);
    Say("%s, %.0f/s: memory %.1f → %.1f MiB, descriptors %.0f → %.0f; sent at most %.0f ms late",
        phase, rate, memory.first / 1048576, memory.last / 1048576, descriptors.first,
        descriptors.last, load_->Taken().most_late * 1e3);
    Expect(!kMemoryTells || memory.last <= memory.first * (1 + kMemoryGrowth) + kMemorySlack,
           std::string(phase) + ": memory grows");
    Expect(descriptors.last <= descriptors.first + kDescriptorSlack,
           std::string(phase) + ": descriptors grow");
  }

  bool Idle() const {
    const nlohmann::json status = watch_->Status();
    bool idle =
        status["in_flight"] == 0 && status["queue"]["length"] == 0 && status["queue"]["bytes"] == 0;
    for (const auto& deployment : status["deployments"]) {
      for (const auto& endpoint : deployment["endpoints"]) {
        idle = idle && endpoint["in_flight"] == 0 && endpoint["load"] == 0;
      }
    }
    return idle;
  }

  void Quiet() {
    load_->Set(0, Mixture::kPlain);
    Expect(Until([&] { return load_->open() == 0; }), "requests without an answer");
    Expect(Until([&] { return Idle(); }), "load stays: " + watch_->Status().dump());
    const auto difference = [this] {
      return load_->ledger().Difference(
          [this](const std::string& name) { return watch_->Metric(name); });
    };
    Expect(Until([&] { return difference().empty(); }), difference());
    const double retries = watch_->Metric("headrace_retries_total");
    const double ejections = watch_->Metric("headrace_ejections_total");
    Expect(retries > 0 && ejections > 0, "the engine that fails was not noticed");
    Say("%.0f retries, %.0f ejections", retries, ejections);
    Say("quiet: ledger exact, load 0; %s", load_->ledger().Summary().c_str());
  }

  void Drain(GatewayProcess& gateway) {
    load_->Set(kUsualLoad * capacity_, Mixture::kPlain);
    Sleep(3);
    watch_->End();
    load_->GatewayStops();
    gateway.Stop();
    Sleep(1);
    load_->End();
    const int status = gateway.Wait();
    Expect(status == 0, "the gateway ends with status " + std::to_string(status));
    const std::string page = gateway.Ledger();
    const std::string difference = load_->ledger().Difference(
        [&](const std::string& name) { return gateway::SumOf(page, name); });
    Expect(difference.empty(), difference);
    Say("drained: ledger exact; %s", load_->ledger().Summary().c_str());
  }

  const Options options_;
  const std::string program_;
  system::TemporaryFolder folder_;
  ChildProcess bad_;
  store::TestRedis redis_;
  Rng random_;
  int created_ = 0;
  std::vector<std::unique_ptr<EngineProcess>> engines_;
  std::unique_ptr<EngineProcess> named_;
  std::unique_ptr<EngineProcess> next_named_;
  Watch* watch_ = nullptr;
  Load* load_ = nullptr;
  double capacity_ = 0;  // Requests per second.
  std::vector<std::string> faults_;
};

// The options, or none if they are not as in the sentence below.
std::optional<Options> Read(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--untimed") {
      options.timed = false;
    } else if (word == "--duration" && i + 1 < argc) {
      const auto duration = ParseDuration(argv[++i]);
      if (!duration) return std::nullopt;
      options.duration = *duration;
    } else if (word == "--seed" && i + 1 < argc) {
      options.seed = std::strtoull(argv[++i], nullptr, 10);
    } else {
      return std::nullopt;
    }
  }
  return options;
}

}  // namespace
}  // namespace headrace

int main(int argc, char** argv) {
  using namespace headrace;
  const auto options = Read(argc, argv);
  const char* program = std::getenv("HEADRACE");
  if (!options || program == nullptr) {
    std::fputs(
        "HEADRACE=build/release/headrace soak [--duration 30m] [--seed N] [--untimed]\n"
        "--untimed: without the thresholds that need a machine of one's own\n",
        stderr);
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> faults = Soak(*options, program).Run();
  for (const std::string& fault : faults) std::fprintf(stderr, "%s\n", fault.c_str());
  return faults.empty() ? 0 : 1;
}
