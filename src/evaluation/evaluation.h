// Makes the pages of the evaluation from their templates: the prose stays, figures and tables are
// measured again.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include "base/result.h"
#include "evaluation/ablation.h"
#include "render/table.h"
#include "scenario/scenario.h"
#include "scenario/study.h"

namespace headrace::evaluation {

struct EvaluationPage {
  std::string markdown;
  std::map<std::string, std::string> figures;  // SVG by file name.
  std::size_t left = 0;                        // Directives that stay: it was stopped.
};

// Fills a template's directives, one per line:
//   {{about SCENARIO}}                  what the scenario is, and whether it can be stable
//   {{attainment SCENARIO}}             table: mean [95 % interval] · % of the upper bound
//   {{worst SCENARIO}}                  table: the same of the class with the lowest attainment
//   {{p99 SCENARIO}}                    table: P99 latency per token in ms
//   {{figure SCENARIO FILE WORDS…}}     a figure of the scenario's report; the words describe it
//   {{splits SCENARIO}}                 the best static split, by rate
//   {{published SCENARIO EQUAL}}        P99 latency per token beside the published figures; EQUAL
//                                       is the scenario with five L20
//   {{ends SCENARIO RATE}}              table: how each class's requests ended
//   {{scenarios NAME…}}                 table: what each is, and its fleet's highest rate
//   {{compare NAME…}}                   table: attainment of every policy, a row per scenario and
//                                       rate, and slo-headroom against the best other policy
//   {{order}}                           whether the published order of policies holds, for all
//                                       scenarios that have the policies
//   {{ladder SCENARIO}}                 the gain of each variant over the one before it
//   {{bars CHANGES SCENARIO:RATE:PERCENT…}}  what slo-headroom has to attain, with and without the
//                                       changes
//   {{margins [CHANGES] SCENARIO…}}     slo-headroom against all others, at every rate
//   {{goodput SCENARIO}}                the highest rates at which promises are kept
//   {{beside SCENARIO OTHER}}           slo-headroom in both, at the rates that both have
//   {{forecasts SCENARIO}}              table: real over predicted times
//   {{misses SCENARIO}}                 table: how many missed their SLO of those that were said to
//                                       with some probability
//   {{relearn SCENARIO:RATE}}           forecasts after a fault that changes an engine's speed
//   {{ablation [CHANGES] SCENARIO:RATE…}}     slo-headroom without each of its ideas
//   {{sensitivity [CHANGES] SCENARIO:RATE…}}  the same with other constants
// SCENARIO is a file name in `scenarios` without its extension, and changes of its options:
// NAME+seeds=2+rates=[0.7]. CHANGES apply to all scenarios that follow. A scenario runs once, when
// it is first named (`{{order}}` covers those named above it). Errors name the template's line.
class Evaluation {
 public:
  // `note` is called with the name of each scenario before it runs. Once `stop` is set, no run
  // begins.
  Evaluation(std::string scenarios, scenario::FileReader read_file, unsigned threads,
             std::function<void(const std::string&)> note, const std::atomic<bool>* stop = nullptr);

  // Figures are linked as `figure_folder`/FILE. Directives that are not filled when it is stopped
  // stay in the page.
  Result<EvaluationPage> Fill(std::string_view page_template, const std::string& name,
                              const std::string& figure_folder);

 private:
  struct Entry {
    scenario::Scenario scenario;
    scenario::Study study;    // Without a scenario: it has not run.
    bool has_bounds = false;  // Whether the study has those of mode_bound.h.
    double capacity = 0;      // 0: not computed yet.
  };

  bool stopped() const { return stop_ != nullptr && *stop_; }
  // A spec is a scenario's name with its changes.
  Result<Entry*> Load(const std::string& spec);
  Result<const Entry*> Run(const std::string& spec);
  Result<const Entry*> RunWithBounds(const std::string& spec);
  double CapacityOf(const std::string& spec);
  Result<std::string> Bars(std::istringstream& words);
  Result<std::string> Margins(std::istringstream& words);
  Result<std::string> Goodput(const std::string& spec);
  Result<std::string> Changes(std::istringstream& words,
                              Result<render::Table> (*table)(const std::vector<Trial>&, unsigned,
                                                             const std::atomic<bool>*));
  Result<std::string> ScenarioTable(std::istringstream& names);
  Result<std::string> CompareTable(std::istringstream& names);
  Result<std::string> Directive(const std::string& line, const std::string& figure_folder,
                                EvaluationPage& page);
  std::string OrderTable() const;

  std::string scenarios_;
  scenario::FileReader read_file_;
  unsigned threads_;
  std::function<void(const std::string&)> note_;
  const std::atomic<bool>* stop_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
  std::vector<std::string> specs_;  // That have run, in order.
};

}  // namespace headrace::evaluation
