#include "serving/explanation.h"

#include <algorithm>

#include "base/text.h"
#include "serving/finished_request.h"

namespace headrace::serving {
namespace {

using routing::Option;
using scheduler::Hold;

// Costs that are closer than this read alike.
constexpr double kAlike = 0.0005;

std::string Promises(double cost) { return FormatFixed(cost, 3); }

std::string DescribeHold(const ChoiceFacts& facts) {
  const std::string time = FormatDuration(facts.queued);
  switch (facts.hold) {
    case Hold::kNone:
      return "";
    case Hold::kTurn:
      return "Waited " + time + " for its turn. ";
    case Hold::kDown:
      return "Waited " + time + " until an endpoint was up. ";
    case Hold::kNoRoom:
      return "Waited " + time + " until an endpoint had room. ";
    case Hold::kPromise:
      return "Held for " + time + " because even the best place would have cost " +
             Promises(facts.held_cost) + " broken promises. ";
    case Hold::kLate:
      return "Late: it could no longer meet its SLO, and after " + time +
             " an endpoint had time to spare. ";
    case Hold::kGaveUp:
      return "Gave up its place to requests that could still be in time, because it hardly could; "
             "after " +
             time + " an endpoint had time to spare. ";
  }
  return "";
}

std::string DescribeOptions(const ChoiceFacts& facts, const Considered& considered) {
  const std::vector<Option>& options = considered.facts->options;
  const auto chosen = std::ranges::find(options, facts.endpoint, &Option::endpoint);
  if (chosen == options.end()) return "";
  const Option* best = nullptr;   // Of the others: the cheapest, if any could be the best.
  const Option* first = nullptr;  // Of the others that cost about the same: where it ends first.
  for (const Option& option : options) {
    if (&option == &*chosen || option.cost == kNever) continue;
    if (best == nullptr || option.cost < best->cost) best = &option;
    if (option.cost > chosen->cost + kAlike) continue;
    if (first == nullptr || option.outlook.end < first->outlook.end) first = &option;
  }
  const std::string here = Promises(chosen->cost) + " here";
  if (best == nullptr && options.size() > 1) {
    return "Nowhere fewer expected broken promises (" + here + ").";
  }
  if (best == nullptr) {
    return "No other endpoint was considered; expected broken promises: " + here + ".";
  }
  const FleetNames::Endpoint& next = considered.names->endpoints[best->endpoint];
  const std::string other = Promises(best->cost) + " at the next best, " +
                            considered.names->deployments[next.deployment] + " " + next.address;
  if (first == nullptr) return "Least expected broken promises: " + here + ", " + other + ".";
  if (chosen->outlook.end <= first->outlook.end) {
    return "Nowhere fewer expected broken promises (" + here + ", " + other +
           "), and of such endpoints its response ends first here.";
  }
  return "About as few expected broken promises as anywhere (" + here + ", " + other +
         "), and requests of its kind are kept together here while many wait.";
}

// How much later it could have started, by the profiles.
std::string DescribeDeployments(const ChoiceFacts& facts, const Considered& considered) {
  std::string text;
  for (const scheduler::Explanation::Deployment& one : considered.facts->deployments) {
    const Seconds left = one.candidate.latest_start - facts.sent;
    text += (text.empty() ? "" : ", ") + considered.names->deployments[one.candidate.deployment] +
            ": " + (left < 0 ? FormatDuration(-left) + " too late" : FormatDuration(left));
  }
  return "Time that was left to start and still meet the SLO, by deployment: " + text + ".";
}

NamedNumber Milliseconds(std::string_view name, Seconds seconds) {
  return {name, FormatFixed(seconds * 1e3, 3)};
}

}  // namespace

std::vector<NamedNumber> NumbersOf(const fleet::Outlook& outlook, Seconds arrived) {
  std::vector<NamedNumber> numbers{Milliseconds("ttft_ms", outlook.first_token - arrived),
                                   Milliseconds("tpot_ms", outlook.pace),
                                   Milliseconds("e2e_ms", outlook.end - arrived),
                                   {"miss", FormatFixed(outlook.miss, 4)}};
  if (outlook.harm) numbers.push_back({"harm", FormatFixed(*outlook.harm, 4)});
  return numbers;
}

std::vector<NamedNumber> NumbersOf(const routing::Option& option, Seconds arrived) {
  std::vector<NamedNumber> numbers = NumbersOf(option.outlook, arrived);
  if (option.cost != kNever) numbers.insert(numbers.begin(), {"cost", FormatFixed(option.cost, 4)});
  return numbers;
}

std::string ExplanationHeader(const FinishedRequest& request) {
  std::string text = "queued_ms=" + FormatFixed(request.queued * 1e3, 3);
  const auto add = [&text](const std::vector<NamedNumber>& numbers) {
    for (const NamedNumber& number : numbers) {
      text.append("; ").append(number.name).append("=").append(number.text);
    }
  };
  if (request.hold != scheduler::Hold::kNone) {
    text.append("; hold=").append(ToString(request.hold));
  }
  if (request.refused) text.append("; reason=").append(ToString(*request.refused));
  if (!request.failed_tries.empty()) {
    text += "; failed_tries=" + std::to_string(request.failed_tries.size());
  }
  if (request.outlook) add(NumbersOf(*request.outlook, request.arrived));
  const Considered& considered = request.considered;
  if (!considered.facts) return text;
  for (const routing::Option& option : considered.facts->options) {
    const FleetNames::Endpoint& name = considered.names->endpoints[option.endpoint];
    text += ", deployment=" + considered.names->deployments[name.deployment];
    if (request.endpoint && option.endpoint == request.endpoint->id) text += "; chosen";
    add(NumbersOf(option, request.arrived));
  }
  return text;
}

std::string DescribeChoice(const ChoiceFacts& facts, const Considered& considered) {
  std::string text = DescribeHold(facts);
  if (facts.moved) return text + "The proxy chose where it went next.";
  if (facts.fallback != scheduler::FallbackCause::kNone) {
    text += "Its policy could not serve it (" + std::string(ToString(facts.fallback)) + "). ";
  }
  if (considered.facts && !considered.facts->options.empty()) {
    return text + DescribeOptions(facts, considered);
  }
  const routing::PolicyInfo* policy = routing::FindPolicy(facts.policy);
  if (policy == nullptr) return text;
  text += "Chosen by " + std::string(policy->name) + ": " + std::string(policy->summary) + ".";
  if (policy->needs == routing::PolicyNeeds::kSlo && considered.facts) {
    text += " " + DescribeDeployments(facts, considered);
  }
  return text;
}

}  // namespace headrace::serving
