// headrace profile measure --endpoint: a real server, with progress, interruptible.
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <thread>

#include "base/text.h"
#include "cli/console.h"
#include "cli/measure_command.h"
#include "cli/profile_options.h"
#include "cli/target.h"
#include "measure/benchmark_file.h"
#include "measure/endpoint_benchmark.h"
#include "system/clock.h"
#include "system/termination.h"

namespace headrace::cli {
namespace {

// What is left, from the cells that this run has measured.
class Eta {
 public:
  std::string After(std::size_t cells, std::size_t all) {
    if (!first_cell_) first_cell_ = cells;
    const std::size_t done = cells - *first_cell_;
    if (done == 0) return "";
    const Seconds left = (system::MonotonicNow() - started_) / static_cast<double>(done) *
                         static_cast<double>(all - cells);
    const auto minutes = static_cast<long>(std::ceil(left / 60));
    char text[48];
    std::snprintf(text, sizeof text, ", about %ld:%02ld h left", minutes / 60, minutes % 60);
    return text;
  }

 private:
  Seconds started_ = system::MonotonicNow();
  std::optional<std::size_t> first_cell_;
};

std::string PointText(const benchmark::GridPoint& point) {
  return "input " + std::to_string(point.input) + ", output " + std::to_string(point.output) +
         ", " + FormatNumber(point.rate) + " req/s";
}

std::string Outcome(const benchmark::Measurement& measured, const slo::Slo& slo) {
  const std::string figures = "E2E " + FormatDuration(measured.e2e.mean) + ", P99 " +
                              FormatDuration(measured.e2e.p99) + ", " +
                              std::to_string(measured.samples) + " requests";
  if (measured.ClientOverloaded()) {
    return "this client was too slow, late by " + FormatDuration(measured.send_lag) + " (" +
           figures + ")";
  }
  if (!measured.sustained || measured.tput < 0.9 * measured.point.rate) return "not sustained";
  return (benchmark::IsKept(measured, slo) ? "kept (" : "SLO missed (") + figures + ")";
}

// While it lives: stops the benchmark at SIGINT or SIGTERM, and on a terminal shows how far the
// measurement that runs has come.
class Watcher {
 public:
  Watcher(system::Termination& termination, measure::EndpointBenchmark& benchmark)
      : thread_([this, &termination, &benchmark] {
          while (!done_ && !stopped_) {
            if (termination.Wait(0.5)) {
              stopped_ = true;
              benchmark.Stop();
            } else if (isatty(STDERR_FILENO) != 0) {
              const measure::EndpointProgress progress = benchmark.Progress();
              std::fprintf(stderr, "\r\x1b[K  %llu of %llu requests",
                           static_cast<unsigned long long>(progress.finished),
                           static_cast<unsigned long long>(progress.wanted));
            }
          }
        }) {}
  ~Watcher() {
    done_ = true;
    thread_.join();
  }
  bool stopped() const { return stopped_; }

 private:
  std::atomic<bool> done_{false};
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

measure::EndpointOptions OptionsOf(const MeasureArguments& arguments) {
  const system::HostPort target = OrStop(ParseTarget(arguments.endpoint));
  measure::EndpointOptions options;
  options.target = OrStop(system::Resolve(target));
  options.host = target.ToString();
  options.model = arguments.model;
  options.api =
      arguments.api == "chat" ? openai::ApiKind::kChatCompletions : openai::ApiKind::kCompletions;
  options.headers = arguments.headers;
  options.seed = arguments.seed;
  options.samples = arguments.samples;
  options.timeout = arguments.timeout;
  options.slo = arguments.slo;
  for (const std::string& header : options.headers) {
    if (header.find(':') == header.npos) {
      Stop("header \"" + header + "\" has no colon; write it like \"Name: value\"");
    }
  }
  return options;
}

}  // namespace

void MeasureEndpoint(const MeasureArguments& arguments) {
  const measure::EndpointOptions options = OptionsOf(arguments);
  RaiseConnectionLimit();
  system::Termination termination;
  net::IoThreads threads(1);
  measure::EndpointBenchmark benchmark(threads[0], options);
  Tokens context = OrStop(benchmark.ContextLength());
  if (arguments.max_model_len > 0) context = arguments.max_model_len;
  const benchmark::GridPlan plan = PlanOf(arguments, context);
  measure::BenchmarkFile file =
      OrStop(measure::BenchmarkFile::Open(arguments.output, arguments.model));
  if (file.measurements() > 0) {
    Print(stderr, "Going on after " + std::to_string(file.measurements()) + " measurements in " +
                      arguments.output + ".\n");
  }

  Eta eta;
  std::size_t overloaded = 0;
  const Watcher watcher(termination, benchmark);
  const auto measure =
      [&](const benchmark::GridPoint& point,
          const benchmark::GridProgress& progress) -> Result<benchmark::Measurement> {
    if (const auto known = file.Find(point)) return *known;
    HEADRACE_ASSIGN(const benchmark::Measurement measured, benchmark.Measure(point));
    HEADRACE_TRY(file.Add(measured, static_cast<std::int64_t>(arguments.seed)));
    overloaded += measured.ClientOverloaded();
    const std::string clear = isatty(STDERR_FILENO) != 0 ? "\r\x1b[K" : "";
    const auto [cell, cells] = progress;
    Print(stderr, clear + "[" + std::to_string(cell) + "/" + std::to_string(cells) +
                      eta.After(cell, cells) + "] " + PointText(point) + ": " +
                      Outcome(measured, arguments.slo) + "\n");
    return measured;
  };
  const auto walked = benchmark::SearchGrid(plan, measure);
  if (!walked) {
    Stop(watcher.stopped()
             ? "Stopped; " + std::to_string(file.measurements()) + " measurements are kept in " +
                   arguments.output + ". The same command again goes on."
             : walked.error().message + " What was measured is kept in " + arguments.output +
                   "; the same command again goes on.");
  }
  if (auto finished = file.Finish(); !finished) Stop(finished.error().message);
  if (overloaded > 0) {
    Print(stderr, "In " + std::to_string(overloaded) +
                      " measurements this client could not send on time: the border found there is "
                      "the client's. Run it on a machine of its own, or lower --highest-rate.\n");
  }
  Print(stderr, std::to_string(file.measurements()) + " measurements, " +
                    std::to_string(benchmark.Progress().sent) + " requests, in " +
                    arguments.output + ". Now:\n  headrace profile generate --benchmark " +
                    arguments.output + " --deployment " + arguments.deployment +
                    " … -o profiles/\n");
}

}  // namespace headrace::cli
