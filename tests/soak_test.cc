// Ten thousand mixed requests, half of whose clients leave at any point, while an engine dies and
// comes back and a profile changes: no request is forgotten or counted twice, and nothing is left
// behind.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "admin/admin_server.h"
#include "soak_client.h"
#include "soak_fleet.h"

namespace headrace {
namespace {

using testing::IsEmpty;

constexpr int kRequests = 10'000;
constexpr double kSpeed = 15;
constexpr int kConnections = 96;
constexpr std::uint64_t kSeed = 20261123;

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
      ledger_.Add(number, client.Perform(plan));
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

  gateway::TestGateway t_;
  std::unique_ptr<admin::AdminServer> admin_;
  std::atomic<int> begun_ = 0;
  std::atomic<bool> over_ = false;
  SoakLedger ledger_;
  int most_waiting_ = 0;
};

TEST_F(Soak, EveryRequestIsAnsweredOrCancelledAndNothingStays) {
  std::thread watcher([this] { Watch(); });
  std::vector<std::thread> clients;
  for (int i = 0; i < kConnections; ++i) clients.emplace_back([this] { RunClient(); });
  for (std::thread& client : clients) client.join();
  over_ = true;
  watcher.join();

  EXPECT_THAT(ledger_.faults(), IsEmpty());
  EXPECT_EQ(ledger_.all(), kRequests);

  // Nothing stays: not in the queue, not on an endpoint, not in an engine.
  EXPECT_TRUE(gateway::Eventually([&] { return t_.Idle(); }));
  for (std::size_t i = 0; i < t_.engines.size(); ++i) {
    if (i == 2) continue;  // It died.
    EXPECT_TRUE(gateway::Eventually([&] { return gateway::RunningAt(*t_.engines[i]) == 0; })) << i;
  }

  const auto metric = [&](const std::string& name) { return t_.Metric(name); };
  EXPECT_TRUE(gateway::Eventually([&] { return ledger_.Difference(metric).empty(); }))
      << ledger_.Difference(metric);

  // It was the mixture that it is meant to be.
  EXPECT_GT(ledger_.seen(Seen::kWhole), kRequests / 4);
  EXPECT_GT(ledger_.seen(Seen::kRefused), 0);
  EXPECT_LE(ledger_.seen(Seen::kFailed), kConnections);
  EXPECT_GT(t_.Metric(R"(headrace_requests_total{model="llama2-7b",outcome="cancelled")"),
            kRequests / 20);
  EXPECT_GT(most_waiting_, 10);
  std::printf("%s; most waiting %d\n", ledger_.Summary().c_str(), most_waiting_);
}

}  // namespace
}  // namespace headrace
