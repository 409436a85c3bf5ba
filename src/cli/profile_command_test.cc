#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "benchmark/benchmark_rows.h"
#include "cli/commands.h"
#include "profile/gpu_profile.h"
#include "store/test_redis.h"
#include "system/files.h"
#include "system/temporary_folder.h"

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kBenchmark =
    "tests/data/profiles/aibrix-simulator-llama2-7b-a100.benchmark.jsonl.gz";
constexpr const char* kProfile = "tests/data/profiles/aibrix-simulator-llama2-7b-a100.json";

struct Outcome {
  int status = 0;
  std::string out, err;
};

// A fresh directory per test.
class ProfileCommand : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return (folder_.path() / name).string(); }
  void Put(const std::string& name, const std::string& text) const { folder_.Write(name, text); }
  static Outcome Run(const std::string& arguments) {
    CLI::App app("test", "headrace");
    AddProfileCommand(app);
    AddTraceCommand(app);
    Outcome outcome;
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    try {
      app.parse(arguments, false);
    } catch (const CLI::ParseError& error) {
      outcome.status = app.exit(error);
    }
    std::fflush(stdout);
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }

  system::TemporaryFolder folder_;
};

std::string Generate(const std::string& rest) {
  return std::string("profile generate --benchmark ") + kBenchmark +
         " --deployment ns/a100 --percentile 99 " + rest;
}

TEST_F(ProfileCommand, GeneratesIntoADirectoryFromGzip) {
  const Outcome outcome = Run(Generate("--e2e 5 --cost 1 --created 12.5 -o " + Path("")));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("34 of 40 cells meet the SLO"));
  EXPECT_THAT(outcome.err, HasSubstr("output 512, input 128 tokens: 0, because the best E2E P99"));
  const auto parsed = profile::ParseGpuProfile(*system::ReadFile(Path("ns_a100.json")), "written");
  ASSERT_TRUE(parsed);
  const auto expected = profile::ParseGpuProfile(*system::ReadFile(kProfile), kProfile);
  EXPECT_EQ(parsed->profile.tput, expected->profile.tput);
  EXPECT_EQ(parsed->profile.e2e, expected->profile.e2e);
  EXPECT_EQ(parsed->profile.deployment, "ns/a100");
  EXPECT_EQ(parsed->profile.created, 12.5);
  // Nothing is left beside it.
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
}

TEST_F(ProfileCommand, MakesTheDirectoryThatATargetWithASlashNames) {
  const Outcome outcome = Run(Generate("--e2e 5 -o " + Path("new/profiles/")));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(Path("new/profiles/ns_a100.json")));
}

TEST_F(ProfileCommand, GeneratesToTheStandardOutputAndTakesUnits) {
  const Outcome outcome = Run(Generate("--tpat 50ms --e2e 4s"));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const auto parsed = profile::ParseGpuProfile(outcome.out, "out");
  ASSERT_TRUE(parsed) << outcome.out;
  EXPECT_EQ(parsed->profile.slo.tpat, 0.05);
  EXPECT_EQ(parsed->profile.slo.e2e, 4);
  EXPECT_GT(parsed->profile.created, 1.7e9);
}

TEST_F(ProfileCommand, WritesToRedisWhatItWritesToAFile) {
  const store::TestRedis server;
  const std::vector<std::string> key{"aibrix:profile_llama_ns/a100"};
  const std::string url = server.Url("/2?model=llama");
  ASSERT_EQ(Run(Generate("--e2e 5 --created 12.5 -o " + Path("a.json"))).status, 0);
  const Outcome generated = Run(Generate("--e2e 5 --created 12.5 -o " + url));
  EXPECT_EQ(generated.status, 0) << generated.err;
  store::Redis redis(*store::ParseRedisUrl(url));
  EXPECT_EQ(redis.Get(key)->at(0).text, *system::ReadFile(Path("a.json")));

  ASSERT_TRUE(redis.Delete(key[0]));
  const Outcome pushed = Run("profile push " + Path("a.json") + " --to " + url);
  EXPECT_THAT(pushed.err, HasSubstr("Wrote " + key[0] + " in redis://127.0.0.1"));
  EXPECT_EQ(redis.Get(key)->at(0).text, *system::ReadFile(Path("a.json")));

  ASSERT_TRUE(redis.Set("aibrix:profile_llama_broken", "{"));
  fs::create_directory(Path("pulled"));
  const Outcome pulled = Run("profile pull " + url + " " + Path("pulled"));
  EXPECT_EQ(pulled.status, 1);
  EXPECT_THAT(pulled.err, HasSubstr("refused  aibrix:profile_llama_broken in redis://127.0.0.1"));
  EXPECT_EQ(*system::ReadFile(Path("pulled/ns_a100.json")), *system::ReadFile(Path("a.json")));

  const Outcome nameless = Run("profile push " + Path("a.json") + " --to " + server.Url());
  EXPECT_EQ(nameless.status, 1);
  EXPECT_THAT(nameless.err, HasSubstr("add ?model=NAME"));
}

TEST_F(ProfileCommand, ListsChecksAndShowsWhatIsInRedis) {
  const store::TestRedis server;
  store::Redis redis(*store::ParseRedisUrl(server.Url()));
  // The second model's name begins with the first one's.
  for (const std::string model : {"llama", "llama_2"}) {
    const std::string url = server.Url("?model=" + model);
    ASSERT_EQ(Run(Generate("--e2e 5 -o " + url)).status, 0);
  }
  const Outcome all = Run("profile list " + server.Url() + " " + kProfile);
  EXPECT_EQ(all.status, 0) << all.err;
  EXPECT_THAT(all.out, HasSubstr("llama    ns/a100"));
  EXPECT_THAT(all.out, HasSubstr("llama_2  ns/a100"));
  EXPECT_THAT(all.out, HasSubstr("34/40"));
  EXPECT_THAT(all.out, HasSubstr(kProfile));
  EXPECT_THAT(Run("profile list " + server.Url("?model=llama")).out, Not(HasSubstr("llama_2")));
  EXPECT_THAT(Run("profile show " + server.Url("?model=llama")).out, HasSubstr("Throughput"));
  EXPECT_THAT(Run("profile check " + server.Url()).out, HasSubstr("2 profiles: 0 refused"));

  fs::create_directory(Path("pulled"));
  const Outcome clash = Run("profile pull " + server.Url() + " " + Path("pulled"));
  EXPECT_EQ(clash.status, 1);
  EXPECT_THAT(clash.err, HasSubstr("add ?model=NAME"));
  EXPECT_TRUE(fs::is_empty(Path("pulled")));

  server.Cli("RPUSH aibrix:profile_llama_list entry");
  const Outcome list = Run("profile list " + server.Url());
  EXPECT_EQ(list.status, 1);
  EXPECT_THAT(list.err, HasSubstr("aibrix:profile_llama_list in " + server.url().Name() +
                                  ": Redis refuses GET (WRONGTYPE"));
  EXPECT_THAT(Run("profile list " + server.Url("/7")).err, HasSubstr("holds no profile"));
  EXPECT_THAT(Run("profile list redis://:secret@host:port").err, Not(HasSubstr("secret")));
  for (const std::string url : {"rediss://127.0.0.1:1/0", "unix:///nowhere.sock?db=0"}) {
    EXPECT_THAT(Run("profile list " + url).err, HasSubstr(url + ": Redis cannot be reached"))
        << "it is no folder";
  }
}

TEST_F(ProfileCommand, PushesNothingWhenOneProfileIsRefused) {
  const store::TestRedis server;
  Put("good.json", *system::ReadFile(kProfile));
  Put("zbad.json", "{");
  const Outcome pushed = Run("profile push " + Path("") + " --to " + server.Url("?model=m"));
  EXPECT_EQ(pushed.status, 1);
  EXPECT_THAT(pushed.err, HasSubstr("zbad.json: line 1"));
  Put("zbad.json", *system::ReadFile(kProfile));
  const Outcome namesakes = Run("profile push " + Path("") + " --to " + server.Url("?model=m"));
  EXPECT_EQ(namesakes.status, 1);
  EXPECT_THAT(namesakes.err, HasSubstr("push the profiles of one model at a time"));
  EXPECT_THAT(Run("profile list " + server.Url()).err, HasSubstr("holds no profile"));
}

TEST_F(ProfileCommand, WarnsOfAnSloThatIsMetNowhere) {
  const Outcome outcome = Run(Generate("--e2e 1ms -o " + Path("a.json")));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("warning  " + Path("a.json") + ": no cell of `tputs`"));
  EXPECT_THAT(outcome.err, HasSubstr("a gateway routes the deployment by its fallback"));
  EXPECT_EQ(Run("profile check " + Path("a.json")).status, 0);
}

TEST_F(ProfileCommand, NamesTheFileThatFails) {
  EXPECT_THAT(Run("profile generate --benchmark /nowhere --deployment d").err,
              HasSubstr("/nowhere: cannot be opened (No such file or directory)."));
  EXPECT_THAT(Run(Generate("-o /nowhere/a.json")).err,
              HasSubstr("/nowhere/a.json: there is no folder /nowhere; make it, or name another."));
  EXPECT_EQ(Run("profile check /nowhere").status, 1);
  EXPECT_THAT(Run("profile check " + Path("")).err, HasSubstr("holds no *.json"));
  std::ifstream file(kBenchmark, std::ios::binary);
  const std::string packed(std::istreambuf_iterator<char>(file), {});
  Put("cut.gz", packed.substr(0, packed.size() / 2));
  const Outcome cut = Run("profile generate --benchmark " + Path("cut.gz") + " --deployment d");
  EXPECT_EQ(cut.status, 1);
  EXPECT_THAT(cut.err, HasSubstr("cut.gz: "));
}

TEST_F(ProfileCommand, SaysWhatToDoWithResultsOfOtherTools) {
  Put("result.json",
      R"({"model_id": "llama", "request_rate": 2.0, "completed": 100, "total_input_tokens": 12800,
          "total_output_tokens": 6400, "request_throughput": 1.95, "mean_ttft_ms": 50,
          "median_ttft_ms": 45, "p99_ttft_ms": 90, "mean_tpot_ms": 20, "median_tpot_ms": 19,
          "p99_tpot_ms": 30, "mean_e2el_ms": 1300, "median_e2el_ms": 1290, "p99_e2el_ms": 1900})");
  const std::string what =
      "result.json: is a result of vllm bench serve; make a benchmark of it "
      "with `headrace profile import results";
  EXPECT_THAT(Run("profile check " + Path("result.json")).out, HasSubstr(what));
  EXPECT_THAT(Run("profile generate --deployment d --benchmark " + Path("result.json")).err,
              HasSubstr(what));
  const std::string benchmark = Path("b.jsonl");
  const Outcome imported =
      Run("profile import results " + Path("result.json") + " -o " + benchmark);
  EXPECT_EQ(imported.status, 0) << imported.err;
  EXPECT_THAT(Run("profile check " + benchmark).out,
              HasSubstr("b.jsonl: is a benchmark; make a profile of it with `headrace profile "
                        "generate --benchmark"));
  const Outcome made = Run("profile generate --deployment d --e2e 2s --benchmark " + benchmark +
                           " -o " + Path("p.json"));
  EXPECT_EQ(made.status, 0) << made.err;
  EXPECT_THAT(*system::ReadFile(Path("p.json")), HasSubstr("\"tputs\": [[1.95]]"));
}

TEST_F(ProfileCommand, SaysWhatAFileThatIsNoBenchmarkIs) {
  const auto generate = [](const std::string& file) {
    return Run("profile generate --deployment d --benchmark " + file).err;
  };
  const std::string records = "tests/data/results/aiperf-0.13.0.jsonl";
  EXPECT_THAT(generate(records), HasSubstr("holds aiperf's records of single requests; `headrace "
                                           "profile import results` takes the"));
  EXPECT_THAT(Run("profile check " + records).out, HasSubstr("holds aiperf's records"));
  Put("b.csv", "Run Info,Benchmark\nRun ID,Type\n,\n1,2\n");
  EXPECT_THAT(generate(Path("b.csv")), HasSubstr("is guidellm's CSV"));
  EXPECT_THAT(generate(kProfile), HasSubstr("is a GPU profile already; see it with"));
  Put("lines.json", "{\n \"a\": 1\n}\n");
  EXPECT_THAT(generate(Path("lines.json")),
              HasSubstr("is one JSON document over several lines; expected one JSON object per"));
}

TEST_F(ProfileCommand, AFullDiskAndAMissingFolderAreErrorsOfEveryCommandThatWrites) {
  Put("a.json", *system::ReadFile(kProfile));
  Put("t.csv", "arrival_s,prompt_tokens,output_tokens\n0,5,6\n1,7,8\n");
  Put("r.json",
      R"({"model_id": "llama", "request_rate": 2.0, "completed": 100, "total_input_tokens": 12800,
          "total_output_tokens": 6400, "request_throughput": 1.95, "mean_ttft_ms": 50,
          "mean_tpot_ms": 20, "mean_e2el_ms": 1300})");
  for (const std::string& command : std::vector<std::string>{
           "profile measure --gpu a10 --model llama2-7b --inputs 16 --outputs 4 --samples 20 "
           "--rate-step 9 -o ",
           "profile show " + Path("a.json") + " --html ", "trace " + Path("t.csv") + " --html ",
           "profile generate --deployment d --benchmark " + std::string(kBenchmark) + " -o ",
           "profile import results " + Path("r.json") + " -o "}) {
    const Outcome full = Run(command + "/dev/full");
    EXPECT_EQ(full.status, 1) << command;
    EXPECT_THAT(full.err, HasSubstr("/dev/full: cannot be written (No space left")) << command;
    const Outcome nowhere = Run(command + "/nowhere/file");
    EXPECT_EQ(nowhere.status, 1) << command;
    EXPECT_THAT(nowhere.err, HasSubstr("there is no folder /nowhere; make it")) << command;
  }
}

TEST_F(ProfileCommand, TriesTheOutputPlaceBeforeItReads) {
  for (const std::string& command : std::vector<std::string>{
           "profile show /none --html ", "profile generate --deployment d --benchmark /none -o ",
           "profile import results /none -o ", "profile import aiconfigurator /none -o ",
           "profile import melange /none --gpu A10 --inputs 8 --outputs 4 -o "}) {
    const Outcome outcome = Run(command + "/nowhere/file");
    EXPECT_EQ(outcome.status, 1) << command;
    EXPECT_THAT(outcome.err, HasSubstr("there is no folder /nowhere; make it")) << command;
  }
  EXPECT_THAT(Run("profile generate --deployment d --benchmark /none -o redis://h").err,
              HasSubstr("the URL names no model; add ?model=NAME."));
}

TEST_F(ProfileCommand, RefusesImpossibleArguments) {
  EXPECT_NE(Run(Generate("--percentile 75")).status, 0);
  EXPECT_NE(Run(Generate("--e2e -5")).status, 0);
  EXPECT_NE(Run(Generate("--e2e 5hours")).status, 0);
  EXPECT_NE(Run("profile").status, 0);
  EXPECT_NE(Run("profile check").status, 0);
}

TEST_F(ProfileCommand, MeasureTakesATimeoutWithAUnit) {
  const std::string measure =
      "profile measure --endpoint http://127.0.0.1:1 --model m --deployment d -o " +
      Path("d.jsonl") + " --timeout ";
  for (const char* timeout : {"10m", "1h30m", "600"}) {
    const Outcome outcome = Run(measure + timeout);
    EXPECT_NE(outcome.status, 0);
    EXPECT_THAT(outcome.err, HasSubstr("127.0.0.1:1")) << "nothing listens there";
    EXPECT_THAT(outcome.err, Not(HasSubstr("timeout")));
  }
  EXPECT_THAT(Run(measure + "soon").err,
              HasSubstr("--timeout: soon is not a duration; write it like 50ms, 2s or 1h30m\n"));
  EXPECT_THAT(Run(measure + "-5").err,
              HasSubstr("--timeout: -5 is out of bounds; 1us to 30d is allowed\n"));
  EXPECT_THAT(Run(measure + "0").err,
              HasSubstr("--timeout: 0 is out of bounds; 1us to 30d is allowed\n"));
}

TEST_F(ProfileCommand, ChecksEveryProfileOfADirectory) {
  Put("a.json", *system::ReadFile(kProfile));
  Put("b.json", "{\"gpu\": \"b\",");
  Put("c.json", R"({"gpu": "c", "cost": 1, "created": 1, "tputs": [[1, NaN]],
                    "indexes": [[1], [1, 2]]})");
  Put("ignored.txt", "x");
  const Outcome outcome = Run("profile check " + Path(""));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("refused  " + Path("b.json") + ": line 1"));
  EXPECT_THAT(outcome.out, HasSubstr("error    " + Path("c.json") + ": `tputs` at output 1"));
  EXPECT_THAT(outcome.out, HasSubstr("3 profiles: 1 refused, 1 errors"));
  // Warnings alone are no failure.
  EXPECT_EQ(Run("profile check " + Path("a.json")).status, 0);
}

TEST_F(ProfileCommand, ShowsTablesAndWritesAPage) {
  const Outcome text = Run(std::string("profile show ") + kProfile);
  EXPECT_EQ(text.status, 0);
  EXPECT_THAT(text.out, HasSubstr("Throughput within the SLO"));
  EXPECT_THAT(text.out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(Run(std::string("profile show --color always ") + kProfile).out, HasSubstr("\x1b["));
  const Outcome page = Run(std::string("profile show ") + kProfile + " --html " + Path("p.html"));
  EXPECT_EQ(page.status, 0);
  EXPECT_THAT(*system::ReadFile(Path("p.html")), HasSubstr("</html>"));
}

// The requests behind a benchmark.
std::int64_t Requests(const std::string& path) {
  std::int64_t requests = 0;
  const auto benchmark = benchmark::ParseBenchmark(*system::ReadFile(path), path);
  for (const benchmark::BenchmarkRow& row : benchmark->rows) {
    if (row.metric == benchmark::Metric::kTput) requests += row.samples;
  }
  return requests;
}

TEST_F(ProfileCommand, MeasuresTheProfileOfTheFullGridWithAQuarterOfItsRequests) {
  const std::string slo = " --tpat 50ms --percentile 99 ";
  const std::string measure =
      "profile measure --gpu a10 --model llama2-7b --inputs 64,1024,256 --outputs 16,64,256"
      " --lowest-rate 0.1 --highest-rate 150 --rate-step 1.2 --samples 2000" +
      slo;
  for (const std::string name : {"searched", "full"}) {
    const Outcome measured =
        Run(measure + (name == "full" ? "--full-grid -o " : "-o ") + Path(name + ".jsonl"));
    ASSERT_EQ(measured.status, 0) << measured.err;
    const Outcome generated = Run("profile generate --deployment d --benchmark " +
                                  Path(name + ".jsonl") + slo + "-o " + Path(name + ".json"));
    ASSERT_EQ(generated.status, 0) << generated.err;
  }
  EXPECT_LE(4 * Requests(Path("searched.jsonl")), Requests(Path("full.jsonl")));
  const auto searched =
      profile::ParseGpuProfile(*system::ReadFile(Path("searched.json")), "searched")->profile;
  const auto full = profile::ParseGpuProfile(*system::ReadFile(Path("full.json")), "full")->profile;
  for (std::size_t output = 0; output < 3; ++output) {
    for (std::size_t input = 0; input < 3; ++input) {
      const double tput = full.tput.at(output, input);
      EXPECT_GT(tput, 0);
      EXPECT_NEAR(searched.tput.at(output, input), tput, 0.05 * tput);
    }
  }
}

TEST_F(ProfileCommand, SaysWhatCannotBeMeasured) {
  EXPECT_THAT(Run("profile measure --model m").err, HasSubstr("either --endpoint URL, or --gpu"));
  EXPECT_THAT(Run("profile measure --model m --endpoint http://127.0.0.1:1").err,
              HasSubstr("--deployment is needed"));
  EXPECT_THAT(Run("profile measure --model m --endpoint ftp://a --deployment d").err,
              HasSubstr("a scheme that is not known here"));
  EXPECT_THAT(
      Run("profile measure --model m --endpoint 127.0.0.1:1 --deployment d -o " + Path("d.jsonl"))
          .err,
      HasSubstr("is the engine running?"));
  EXPECT_THAT(Run("profile measure --model llama2-7b --gpu b200").err, HasSubstr("b200"));
  EXPECT_THAT(Run("profile measure --model llama2-7b --gpu a10 --inputs 5000").err,
              HasSubstr("No cell fits into a context of 4096"));
}

}  // namespace
}  // namespace headrace::cli
