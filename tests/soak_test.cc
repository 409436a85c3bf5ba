// Ten thousand mixed requests, half of whose clients leave at any point, while an engine dies and
// comes back and a profile changes: no request is forgotten or counted twice, and nothing is left
// behind.
#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <numeric>
#include <thread>

#include "admin/admin_server.h"
#include "soak_client.h"
#include "system/mutex.h"

namespace headrace {
namespace {

using testing::IsEmpty;

constexpr int kRequests = 10'000;
constexpr double kSpeed = 15;
constexpr int kConnections = 96;
constexpr std::uint64_t kSeed = 20261123;

// What an endpoint takes at a time, in requests of the middle cell.
std::string ProfileText(const std::string& deployment, int created, double fits) {
  const std::string f = std::to_string(fits);
  return R"({"gpu": ")" + deployment + R"(", "cost": 1, "created": )" + std::to_string(created) +
         R"(, "indexes": [[8, 64], [16, 256, 1024]],)"
         R"( "tputs": [[)" +
         f + ", " + f + ", " + f + "], [" + f + ", " + f + ", " + f + "]]," +
         R"( "e2e": [[0.4, 0.5, 0.6], [0.5, 0.6, 0.8]],)"
         R"( "ttft": [[0.05, 0.06, 0.1], [0.05, 0.06, 0.1]], "slos": {"e2e": 60}})";
}

class Soak : public testing::Test {
 protected:
  Soak() {
    for (const char* deployment : {"a10", "a10", "l20", "l20", "l4"}) {
      t_.AddEngine(deployment, kSpeed, deployment);
    }
    t_.folder.Write("a10.json", ProfileText("a10", 1, 8));
    t_.folder.Write("l20.json", ProfileText("l20", 1, 12));
    // The L4 has no profile: what the others have no room for may go there.
    t_.config.models[0].deployments.back().max_in_flight = 4;
    t_.config.models[0].queue.max_length = 75;
    t_.Start();
    admin_ = std::move(*admin::AdminServer::Start("127.0.0.1:0", *t_.gateway, t_.registry));
  }

  // Starts another engine where one has died.
  void BringBack(const system::SocketAddress& address) {
    EXPECT_TRUE(gateway::Eventually([&] {
      emulator::EmulatedEngineOptions options;
      options.model = "llama2-7b";
      options.engine = *engine::GpuCatalog::Parse(engine::ShippedGpuCatalog(), "gpus.json")
                            ->Engine("l20", "llama2-7b");
      options.speed = kSpeed;
      options.listen = address;
      auto engine = emulator::EmulatedEngine::Start(options);
      if (engine) t_.engines.push_back(std::move(*engine));
      return engine.has_value();
    }));
  }

  // What happens to the fleet when that many requests have begun.
  void Happen(int begun) {
    emulator::EmulatedEngine& victim = *t_.engines[2];
    if (begun == kRequests * 3 / 10) victim.Stop();
    if (begun == kRequests * 45 / 100) BringBack(victim.address());
    if (begun == kRequests * 6 / 10) t_.folder.Write("a10.json", ProfileText("a10", 2, 5));
  }

  void RunClient() {
    SoakClient client(t_.address());
    for (int number; (number = begun_++) < kRequests;) {
      Happen(number);
      const Plan plan = MakePlan(kSeed + static_cast<std::uint64_t>(number));
      std::string fault;
      const Seen seen = client.Perform(plan, fault);
      ++seen_[static_cast<std::size_t>(seen)];
      if (fault.empty()) continue;
      const system::MutexLock lock(faults_mutex_);
      faults_.push_back(std::to_string(number) + ": " + fault);
    }
  }

  // An operator who reads status and metrics all the time.
  void Watch() {
    while (!over_) {
      const auto status = nlohmann::json::parse(gateway::Get(admin_->address(), "/status").body);
      most_waiting_ = std::max(most_waiting_, status["models"][0]["queue"]["length"].get<int>());
      EXPECT_EQ(gateway::Get(admin_->address(), "/metrics").status, 200);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  int seen(Seen kind) const { return seen_[static_cast<std::size_t>(kind)]; }
  double Ended(const std::string& outcome) const {
    return t_.Metric(R"(headrace_requests_total{model="llama2-7b",outcome=")" + outcome);
  }

  gateway::TestGateway t_;
  std::unique_ptr<admin::AdminServer> admin_;
  std::atomic<int> begun_ = 0;
  std::atomic<bool> over_ = false;
  std::array<std::atomic<int>, kSeenKinds> seen_ = {};
  int most_waiting_ = 0;
  system::Mutex faults_mutex_;
  std::vector<std::string> faults_;  // Read without the mutex once the clients have ended.
};

TEST_F(Soak, EveryRequestIsAnsweredOrCancelledAndNothingStays) {
  std::thread watcher([this] { Watch(); });
  std::vector<std::thread> clients;
  for (int i = 0; i < kConnections; ++i) clients.emplace_back([this] { RunClient(); });
  for (std::thread& client : clients) client.join();
  over_ = true;
  watcher.join();

  EXPECT_THAT(faults_, IsEmpty());
  EXPECT_EQ(std::accumulate(seen_.begin(), seen_.end(), 0), kRequests);

  // Nothing stays: not in the queue, not on an endpoint, not in an engine.
  EXPECT_TRUE(gateway::Eventually([&] { return t_.Idle(); }));
  for (std::size_t i = 0; i < t_.engines.size(); ++i) {
    if (i == 2) continue;  // It died.
    EXPECT_TRUE(gateway::Eventually([&] { return gateway::RunningAt(*t_.engines[i]) == 0; })) << i;
  }

  // Every request that reached the scheduler has ended once, as its client saw it end.
  const int answered =
      seen(Seen::kWhole) + seen(Seen::kEngineError) + seen(Seen::kRefused) + seen(Seen::kFailed);
  const int left = seen(Seen::kLeft);
  EXPECT_TRUE(gateway::Eventually([&] {
    return t_.Metric("headrace_requests_total") == answered + left;
  })) << t_.Metric("headrace_requests_total")
      << " instead of " << answered + left;
  const auto leavers = [&](const std::string& outcome, int in_full) {
    const double more = Ended(outcome) - in_full;
    EXPECT_GE(more, 0) << outcome;
    EXPECT_LE(more, left) << outcome;
    return more;
  };
  EXPECT_EQ(leavers("completed", seen(Seen::kWhole)) +
                leavers("client_error", seen(Seen::kEngineError)) +
                leavers("refused", seen(Seen::kRefused)) + leavers("failed", seen(Seen::kFailed)) +
                leavers("cancelled", 0),
            left);
  EXPECT_EQ(t_.Metric("headrace_refused_total"), Ended("refused"));

  // It was the mixture that it is meant to be.
  EXPECT_GT(seen(Seen::kWhole), kRequests / 4);
  EXPECT_GT(seen(Seen::kRefused), 0);
  EXPECT_LE(seen(Seen::kFailed), kConnections);
  EXPECT_GT(Ended("cancelled"), kRequests / 20);
  EXPECT_GT(most_waiting_, 10);
  std::printf(
      "whole %d, engine's errors %d, refused %d, failed %d, unknown model %d, left %d, "
      "left early %d; most waiting %d\n",
      seen(Seen::kWhole), seen(Seen::kEngineError), seen(Seen::kRefused), seen(Seen::kFailed),
      seen(Seen::kUnknownModel), left, seen(Seen::kLeftEarly), most_waiting_);
}

}  // namespace
}  // namespace headrace
